"""A narrow ResUNet-LC on embedded simulated records: minutes on a laptop's CPU, no data needed."""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Returns the default configuration, made small."""
    config = default.get_config()
    config.model.width = 16
    config.data.records = "simulated"
    config.data.simulated_count = 2000
    # 1024 samples at 100 Hz: a whole record of 10 s in a 20th of the work.
    config.data.variant = "100hz"
    config.data.length = 1024
    config.train.epochs = 10
    config.train.drop_epochs = 8
    config.train.learning_rate = 3e-3
    config.train.log_every_steps = 10
    return config
