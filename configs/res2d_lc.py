"""The paper's ablation without U-blocks: 2-D residual blocks and the lead combiner.

The published code of this network stops with an error; see the models' documentation.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Returns ResUNet-LC's recipe with another network, as the paper compares them."""
    config = default.get_config()
    config.model.name = "res2d_lc"
    return config
