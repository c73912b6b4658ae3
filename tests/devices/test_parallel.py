"""One device, a mesh and pmap compute the same training."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from batches import as_dtype, random_batch
from small_network import small_network

from resunet_lc_jax.devices import parallel
from resunet_lc_jax.learning import steps
from resunet_lc_jax.learning.state import TrainState, create_state, init_variables
from resunet_lc_jax.models import create_model
from resunet_lc_jax.runs.checkpoints import Checkpoints

pytestmark = pytest.mark.eight_devices

_MODEL = small_network()


def train_five_steps(mode: str, count: int, dtype: str, **changes: object) -> TrainState:
    """Five SGD steps (Adam would hide gradients that are scaled wrongly), dropout on."""
    with jax.enable_x64(dtype == "float64"):
        devices = parallel.choose_devices(mode, jax.devices()[:count])
        model, tx = small_network(dtype=dtype), optax.sgd(0.1)
        variables = init_variables(model, seed=0, num_leads=12, length=128)
        return _continue(create_state(variables, tx), range(5), devices, model, tx, **changes)


def _continue(
    state: TrainState, seeds: range, devices: parallel.Devices, model, tx, **changes: object
) -> TrainState:
    dtype = jax.numpy.dtype(model.numerics.dtype).name
    step = partial(
        steps.train_step,
        model=model.over(devices.axis_name),
        tx=tx,
        seed=3,
        axis_name=devices.axis_name,
        **changes,
    )
    compiled = parallel.compile_train_step(step, devices)
    state = parallel.place_state(jax.tree.map(np.array, state), devices)
    for seed in seeds:
        batch = as_dtype(random_batch(seed, size=8), dtype)
        state, metrics = compiled(state, parallel.place_batch(batch, devices))
        assert np.isfinite(metrics["loss"])
    return jax.tree.map(np.array, state)


_TOLERANCE = {"float32": 1e-5, "float64": 1e-10}


@pytest.fixture(scope="module", params=["float32", "float64"])
def on_one_device(request: pytest.FixtureRequest) -> tuple[str, TrainState]:
    return request.param, train_five_steps("auto", 1, request.param)


@pytest.mark.parametrize(("mode", "count"), [("jit", 8), ("pmap", 8), ("auto", 2)])
def test_several_devices_train_the_same_network_as_one(
    mode: str, count: int, on_one_device: tuple[str, TrainState]
) -> None:
    dtype, expected = on_one_device
    state = train_five_steps(mode, count, dtype)
    assert int(state.step) == 5
    # Sums in another order; far above the rounding, far below a wrong dropout mask.
    close = partial(np.testing.assert_allclose, atol=_TOLERANCE[dtype], rtol=_TOLERANCE[dtype])
    jax.tree.map(close, state, expected)


def test_statistics_of_each_device_are_the_mean_of_what_the_devices_would_keep_alone() -> None:
    """As torch's DDP trains; the running statistics are averaged so that all devices agree."""
    devices = parallel.choose_devices("pmap", jax.devices()[:2])
    tx, batch = optax.sgd(0.1), random_batch(0, size=8)
    batch["lead_mean"][:4] += 300  # the devices' parts differ
    variables = init_variables(_MODEL, seed=0, num_leads=12, length=128)
    step = partial(steps.train_step, model=_MODEL, tx=tx, seed=3)
    state = jax.tree.map(np.array, create_state(variables, tx))
    together, _ = parallel.compile_train_step(partial(step, axis_name=parallel.AXIS), devices)(
        parallel.place_state(state, devices), parallel.place_batch(batch, devices)
    )
    halves = [
        jax.jit(step)(state, {k: v[rows] for k, v in batch.items()})[0]
        for rows in (slice(0, 4), slice(4, 8))
    ]
    mean = jax.tree.map(lambda *x: np.mean(x, axis=0), *(half.batch_stats for half in halves))
    close = partial(np.testing.assert_allclose, atol=1e-6, rtol=1e-5)
    jax.tree.map(close, together.batch_stats, mean)
    whole, _ = jax.jit(step)(state, batch)
    different = jax.tree.map(lambda a, b: float(np.abs(a - b).max()), whole.batch_stats, mean)
    assert max(jax.tree.leaves(different)) > 1e-4


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-10)])
def test_a_run_goes_on_on_another_number_of_devices(
    dtype: str, tolerance: float, tmp_path: Path
) -> None:
    """Two steps on eight devices, a checkpoint, three steps on two and on one."""
    # Not a context: Orbax's threads must see it too.
    jax.config.update("jax_enable_x64", dtype == "float64")
    try:
        _go_on_elsewhere(dtype, tolerance, tmp_path)
    finally:
        jax.config.update("jax_enable_x64", False)


def _go_on_elsewhere(dtype: str, tolerance: float, folder: Path) -> None:
    model, tx = small_network(dtype=dtype), optax.sgd(0.1)
    variables = init_variables(model, seed=0, num_leads=12, length=128)
    first = create_state(variables, tx)
    eight = parallel.choose_devices("pmap", jax.devices())
    whole = _continue(first, range(5), eight, model, tx)
    begun = _continue(first, range(2), eight, model, tx)
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(parallel.place_state(begun, eight))
    for mode, count in [("auto", 1), ("jit", 2)]:
        devices = parallel.choose_devices(mode, jax.devices()[:count])
        with Checkpoints(folder) as checkpoints:
            restored = checkpoints.restore(parallel.place_state(begun, devices))
        found = _continue(restored, range(2, 5), devices, model, tx)
        close = partial(np.testing.assert_allclose, atol=tolerance, rtol=tolerance)
        jax.tree.map(close, found, whole)


@pytest.mark.parametrize("mode", ["auto", "pmap"])
def test_the_training_step_lowers_for_cuda(mode: str) -> None:
    devices = parallel.choose_devices(mode, jax.devices()[: 1 if mode == "auto" else 8])
    model, tx = create_model("resunet_lc", width=8), optax.adam(1e-3)
    step = partial(
        steps.train_step,
        model=model.over(devices.axis_name),
        tx=tx,
        seed=0,
        axis_name=devices.axis_name,
    )
    compiled = parallel.compile_train_step(step, devices)
    template = jax.eval_shape(
        lambda: create_state(init_variables(model, seed=0, num_leads=12, length=128), tx)
    )
    batch = parallel.place_batch(random_batch(0, size=8), devices)
    outermost = compiled if mode == "auto" else jax.jit(compiled)
    lowered = outermost.trace(template, batch).lower(lowering_platforms=("cuda",))
    text = lowered.as_text()
    assert "stablehlo.convolution" in text or "lax.conv" in text


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
