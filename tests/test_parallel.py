"""One device, a mesh and pmap compute the same training."""

from functools import partial

import jax
import numpy as np
import optax
import pytest
from batches import random_batch

from resunet_lc_jax import parallel, steps
from resunet_lc_jax.models import create_model
from resunet_lc_jax.state import TrainState, create_state, init_variables

_MODEL = create_model("res1d_maxpool", width=8)


def _train(mode: str, count: int) -> TrainState:
    """Five SGD steps (Adam would hide gradients that are scaled wrongly), dropout on."""
    devices = parallel.choose_devices(mode, jax.devices()[:count])
    tx = optax.sgd(0.1)
    step = partial(
        steps.train_step,
        model=_MODEL.clone(axis_name=devices.axis_name),
        tx=tx,
        seed=3,
        axis_name=devices.axis_name,
    )
    compiled = parallel.compile_train_step(step, devices)
    variables = init_variables(_MODEL, seed=0, num_leads=12, length=128)
    state = parallel.place_state(create_state(variables, tx), devices)
    for seed in range(5):
        state, metrics = compiled(state, parallel.place_batch(random_batch(seed, size=8), devices))
        assert np.isfinite(metrics["loss"])
    return jax.device_get(state)


@pytest.fixture(scope="module")
def on_one_device() -> TrainState:
    return _train("auto", 1)


@pytest.mark.parametrize(("mode", "count"), [("jit", 8), ("pmap", 8), ("auto", 2)])
def test_several_devices_train_the_same_network_as_one(
    mode: str, count: int, on_one_device: TrainState
) -> None:
    state = _train(mode, count)
    assert int(state.step) == 5
    # Sums in another order; far above float32's rounding, far below a wrong dropout mask.
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5), state, on_one_device)


@pytest.mark.parametrize(("mode", "count"), [("auto", 1), ("jit", 8), ("pmap", 8)])
def test_scores_come_in_the_order_of_the_batch(mode: str, count: int) -> None:
    devices = parallel.choose_devices(mode, jax.devices()[:count])
    variables = init_variables(_MODEL, seed=0, num_leads=12, length=128)
    compiled = parallel.compile_eval_step(partial(steps.eval_step, model=_MODEL), devices)
    batch = random_batch(0, size=8)
    placed = parallel.place_state(variables, devices)
    scores = np.asarray(compiled(placed, parallel.place_batch(batch, devices)))
    alone = jax.jit(partial(steps.eval_step, model=_MODEL))(variables, batch)
    np.testing.assert_allclose(scores, alone, atol=1e-6)


def test_auto_takes_pmap_on_several_devices_and_plain_jit_on_one() -> None:
    assert parallel.choose_devices("auto").mode == "pmap"
    assert parallel.choose_devices("auto", jax.devices()[:1]).mode == "single"
    with pytest.raises(ValueError, match="config.parallel.mode is 'ddp'"):
        parallel.choose_devices("ddp")


def test_a_batch_that_the_devices_do_not_divide_is_refused() -> None:
    devices = parallel.choose_devices("auto")
    with pytest.raises(ValueError, match="config.train.batch_size is 12, which 8 devices"):
        parallel.check_batch_size(devices, 12, name="config.train.batch_size")
