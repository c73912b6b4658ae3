"""The paper's ablation with leads as channels: a 1-D residual network and a global maximum."""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Returns ResUNet-LC's recipe with another network, as the paper compares them."""
    config = default.get_config()
    config.model.name = "res1d_maxpool"
    return config
