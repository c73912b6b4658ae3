"""MVMS-Net with its own recipe (Yang et al., IEEE TETCI 2023)."""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Returns the published recipe, on Challenge 2021."""
    config = default.get_config()
    config.model.name = "mvms_net"
    config.data.variant = "100hz"
    config.data.length = 1000  # samples, 10 s
    config.train.batch_size = 64
    config.train.epochs = 100
    config.train.learning_rate = 1e-3
    config.train.drop_epochs = 0  # a constant rate
    config.augment.noise = 0.1  # standard deviations
    return config
