"""The one small configuration of tests that train, and the flags that say the same to main.py."""

from types import ModuleType

from ml_collections import ConfigDict

from configs import quickstart

# As small as still learns: programs of the same shapes in all tests, compiled once a test run.
SMALL = {
    "model.name": "res1d_maxpool",
    "model.width": 8,
    "data.length": 256,
    "data.workers": 1,
    "train.batch_size": 16,
    "train.epochs": 2,
    "train.log_every_steps": 3,
    "train.checkpoint_every_steps": 3,
    "eval.batch_size": 16,
    "eval.bootstrap_replicates": 20,
    # JAX's own setting holds then, which is tests/conftest.py's.
    "compilation_cache": "off",
}


def small_config(base: ModuleType = quickstart, **changes: object) -> ConfigDict:
    """Returns a config of configs/ made small, with other knobs (as `**{"train.steps": 3}`)."""
    config = base.get_config()
    config.update_from_flattened_dict(SMALL | changes)
    return config


def small_flags(**changes: object) -> list[str]:
    """Returns the flags of main.py for the same config of configs/quickstart.py."""
    knobs = [f"--config.{name}={value}" for name, value in (SMALL | changes).items()]
    return ["--config=configs/quickstart.py", *knobs]
