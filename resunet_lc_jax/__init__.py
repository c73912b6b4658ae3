"""ResUNet-LC and the networks it is compared with: training, evaluation and prediction in JAX."""

__version__ = "0.1.0"
