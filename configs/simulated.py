"""A small network for real ECGs from simulated ones alone: the recipe of the weights that ship.

Chosen on 218 real records by the trials in docs/simulation.md; some half an hour on two cores.

  python main.py --config=configs/simulated.py --workdir=W
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Returns the recipe."""
    config = default.get_config()
    # The paper's ablation in one dimension takes a fifth of a narrow ResUNet-LC's time, and what
    # counts here is how many different hearts are seen.
    config.model.name = "res1d_maxpool"
    config.model.width = 48

    config.data.records = "simulated"
    config.data.simulated_style = "clinical"
    config.data.simulated_count = 30000
    config.data.variant = "100hz"
    config.data.length = 1024

    config.train.batch_size = 64
    config.train.epochs = 12
    config.train.learning_rate = 2e-3
    config.train.drop_epochs = 9
    config.train.ema_decay = 0.999
    config.eval.batch_size = 64

    config.augment.wander = 0.3
    config.augment.noise = 0.1
    config.augment.lead_drop = 0.05
    return config
