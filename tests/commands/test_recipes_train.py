"""Each config's network and recipe, made small, trains alike on one device and on eight."""

import importlib
from functools import partial

import jax
import numpy as np
import pytest
from batches import random_batch
from ml_collections import ConfigDict

from resunet_lc_jax.devices import parallel
from resunet_lc_jax.learning import steps
from resunet_lc_jax.learning.state import TrainState, create_state, init_variables
from resunet_lc_jax.runs import settings
from resunet_lc_jax.runs.workdir import build_model

pytestmark = pytest.mark.eight_devices

_ROWS = 16
# Widths and lengths as small as each network takes.
_SMALL = {
    "default": (8, 128),
    "res1d_maxpool": (8, 128),
    "res2d_maxpool": (8, 128),
    "res2d_lc": (8, 128),
    "ribeiro_resnet": (16, 256),
    "mvms_net": (8, 128),
    "isibrno": (8, 256),
}


def _config(name: str) -> ConfigDict:
    config = importlib.import_module(f"configs.{name}").get_config()
    config.model.width, config.data.length = _SMALL[name]
    config.train.batch_size = _ROWS
    # Adam would hide gradients that are scaled wrongly.
    config.train.optimizer, config.train.learning_rate = "sgd", 1e-2
    return config


def _train(config: ConfigDict, count: int) -> tuple[TrainState, list[float]]:
    devices = parallel.choose_devices("auto", jax.devices()[:count])
    labels = np.concatenate([random_batch(n, size=_ROWS)["labels"] for n in range(3)])
    recipe = settings.recipe(
        config,
        steps_per_epoch=2,
        sampling_rate=500.0,
        labels=labels,
        databases=np.full(len(labels), "ptb"),
    )
    model = build_model(config)
    step = partial(
        steps.train_step,
        model=model.over(devices.axis_name),
        tx=recipe.tx,
        seed=config.seed,
        statistics=config.data.statistics,
        loss=recipe.loss,
        augment=recipe.augment,
        axis_name=devices.axis_name,
    )
    compiled = parallel.compile_train_step(step, devices)
    variables = init_variables(model, seed=0, num_leads=12, length=config.data.length)
    state = parallel.place_state(create_state(variables, recipe.tx), devices)
    values = []
    for number in range(3):
        batch = random_batch(number, size=_ROWS, length=config.data.length)
        batch["annotated"] = np.ones((_ROWS, 26), bool)
        state, metrics = compiled(state, parallel.place_batch(batch, devices))
        values.append(float(metrics["loss"]))
    return jax.device_get(state), values


# Compiling the others takes a minute and more; the winner's recipe uses the most of what there is.
_FAST = ("isibrno", "res1d_maxpool")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in _FAST else [pytest.mark.slow]) for name in _SMALL],
)
def test_a_config_trains_alike_under_jit_and_under_pmap_on_eight_devices(name: str) -> None:
    config = _config(name)
    one, values = _train(config, 1)
    eight, same_values = _train(config, 8)
    assert np.isfinite(values).all() and len(set(values)) == 3
    # Sums in another order; the winner's loss is a sum over the batch, of about ten.
    np.testing.assert_allclose(values, same_values, rtol=2e-5)
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-4, rtol=1e-4), one, eight)
