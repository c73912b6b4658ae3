"""What is between the shell and a command: which config is meant, and how a command ends."""
