"""PyTorch files and names to variables and back."""
