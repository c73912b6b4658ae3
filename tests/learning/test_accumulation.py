"""Gradient accumulation, frozen statistics and moving averages: what a step comes to."""

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
from resunet_lc_jax.runs.checkpoints import Checkpoints

_TX = optax.sgd(0.1)


def _first_state(dtype: str, **changes: object) -> TrainState:
    """A network whose running statistics are not those of a new one."""
    model = small_network(dtype=dtype)
    variables = init_variables(model, seed=0, num_leads=12, length=64)
    variables["batch_stats"] = jax.tree.map(lambda x: x * 1.5 + 0.1, variables["batch_stats"])
    return create_state(variables, _TX, **changes)


def _train(
    parts: int, *, mode: str = "auto", count: int = 1, dtype: str = "float32", frozen: bool = False
) -> tuple[TrainState, list[float]]:
    """Three SGD steps, dropout on; the state and the losses."""
    with jax.enable_x64(dtype == "float64"):
        devices = parallel.choose_devices(mode, jax.devices()[:count])
        model = small_network(dtype=dtype, freeze_statistics=frozen)
        step = partial(
            steps.train_step,
            model=model.over(devices.axis_name),
            tx=_TX,
            seed=3,
            accumulate_steps=parts,
            axis_name=devices.axis_name,
        )
        compiled = parallel.compile_train_step(step, devices)
        state, losses = parallel.place_state(_first_state(dtype), devices), []
        for seed in range(3):
            batch = as_dtype(random_batch(seed, size=16, length=64), dtype)
            state, metrics = compiled(state, parallel.place_batch(batch, devices))
            losses.append(float(metrics["loss"]))
        return jax.tree.map(np.array, state), losses


def test_with_frozen_statistics_the_parts_of_a_batch_come_to_the_whole() -> None:
    whole, losses = _train(1, dtype="float64", frozen=True)
    in_parts, losses_in_parts = _train(4, dtype="float64", frozen=True)
    np.testing.assert_allclose(losses_in_parts, losses, rtol=1e-12)
    # Float64's rounding over three steps: dropout's masks are the same ones.
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-10), in_parts, whole)
    with jax.enable_x64(True):
        before = _first_state("float64")
    jax.tree.map(np.testing.assert_array_equal, whole.batch_stats, before.batch_stats)


@pytest.fixture(scope="module")
def in_two_parts() -> tuple[TrainState, list[float]]:
    return _train(2)


@pytest.mark.eight_devices
@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_the_parts_are_the_same_ones_on_eight_devices(
    mode: str, in_two_parts: tuple[TrainState, list[float]]
) -> None:
    state, losses = _train(2, mode=mode, count=8)
    np.testing.assert_allclose(losses, in_two_parts[1], rtol=1e-5)
    # Float32's sums in another order, as in test_parallel.
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5, rtol=1e-5), state, in_two_parts[0])


def test_each_part_has_batch_statistics_of_its_own(
    in_two_parts: tuple[TrainState, list[float]],
) -> None:
    model, state = small_network(), _first_state("float32")
    step = jax.jit(partial(steps.train_step, model=model, tx=_TX, seed=3))
    batch = random_batch(0, size=16, length=64)
    losses = [
        float(step(state, {k: v[first::2] for k, v in batch.items()})[1]["loss"])
        for first in (0, 1)
    ]
    np.testing.assert_allclose(np.mean(losses), in_two_parts[1][0], rtol=1e-6)


def test_the_averages_follow_parameters_and_statistics_and_serve_instead_of_them(
    tmp_path: Path,
) -> None:
    model = small_network()
    step = jax.jit(partial(steps.train_step, model=model, tx=_TX, seed=3, average_decay=0.2))
    state = _first_state("float32", average=True)
    expected = state.trained_variables
    for number in range(3):
        state, _ = step(state, random_batch(number, size=8, length=64))
        decay = min(0.2, (1 + number) / (10 + number))
        expected = jax.tree.map(
            lambda average, new, d=decay: d * average + (1 - d) * new,
            expected,
            state.trained_variables,
        )
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), state.average, expected)
    assert state.variables is state.average
    assert not np.array_equal(state.average["params"]["fc"]["bias"], state.params["fc"]["bias"])

    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state, wait=True)
        restored = checkpoints.restore(_first_state("float32", average=True))
        to_score_with = checkpoints.restore_variables(_first_state("float32").variables)
    jax.tree.map(np.testing.assert_array_equal, restored, state)
    jax.tree.map(np.testing.assert_array_equal, to_score_with, state.average)


def test_a_state_without_averages_holds_nothing_for_them() -> None:
    state = _first_state("float32")
    assert jax.tree.leaves(state.average) == []
    assert state.variables == state.trained_variables
    averaged = _first_state("float32", average=True)
    assert len(jax.tree.leaves(averaged)) == len(jax.tree.leaves(state)) + len(
        jax.tree.leaves(state.variables)
    )
    jax.tree.map(np.testing.assert_array_equal, averaged.average, state.variables)
