"""The pure parts of training: steps, state, losses, augmentations, optimisers."""
