"""The network of configs/simulated.py, trained on on few real records: the second that ships.

The folder of the records holds the real ones and 600 simulated ones, which keep the network from
forgetting what the real ones do not show (docs/simulation.md has the trials). As it is, it
measures the recipe by cross-validation; --config.data.always_train="(names of the real databases)"
trains on all of them, with simulated ones to validate and test.

  python -m benchmarks.make_pretrained --records=DIR --output=OUT
"""

from ml_collections import ConfigDict

from configs import simulated


def get_config() -> ConfigDict:
    """Returns the recipe; the records and `init_from` are to be given."""
    config = simulated.get_config()
    config.data.records = None
    config.data.always_train = ("simulated_a", "simulated_b", "simulated_c")

    config.model.freeze_statistics = True
    config.train.batch_size = 16
    config.train.epochs = 6
    config.train.learning_rate = 7e-4
    config.train.drop_epochs = 4
    config.train.ema_decay = 0.98
    # Or a source's premature beats, which it never labels, would teach that there are none.
    config.loss.mask_unannotated = True
    config.eval.checkpoint = "latest"
    return config
