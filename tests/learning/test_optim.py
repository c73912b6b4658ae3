"""Learning rates: step decay, plateau, early stop; clipping."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resunet_lc_jax.learning import optim

_guide = partial(
    optim.guide, lower_is_better=True, patience=2, factor=0.1, lowest=0.01, stop_patience=5
)


@pytest.mark.parametrize(
    ("values", "rate_factor", "stop"),
    [
        ([], 1.0, False),
        ([3.0, 2.0, 1.0], 1.0, False),
        ([1.0, 2.0], 1.0, False),
        ([1.0, 2.0, 1.0], 0.1, False),  # as good as the best is no improvement
        ([1.0, 2.0, 2.0, 0.5, 0.6], 0.1, False),
        ([1.0, 2.0, 2.0, 0.5, 0.6, 0.6], 0.01, False),
        ([1.0, 2.0, 2.0, 2.0, 2.0], 0.01, False),
        ([1.0] + 9 * [2.0], 0.01, True),  # never below the lowest
        ([1.0] + 5 * [2.0], 0.01, True),
        ([float("nan"), None, 1.0], 0.1, False),
    ],
)
def test_rate_drops_on_a_plateau_and_a_long_one_ends_training(
    values: list, rate_factor: float, stop: bool
) -> None:
    guidance = _guide(values)
    assert guidance.rate_factor == pytest.approx(rate_factor)
    assert guidance.stop is stop


@given(st.lists(st.floats(0, 1), max_size=30))
def test_a_score_that_rises_guides_as_a_loss_that_falls(values: list[float]) -> None:
    assert _guide(values) == _guide([-v for v in values], lower_is_better=False)


def test_without_patience_nothing_drops_or_stops() -> None:
    guidance = _guide([1.0] + 50 * [2.0], patience=0, stop_patience=0)
    assert guidance == (1.0, False)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_a_compiled_update_takes_a_changed_rate_without_compiling_again(name: str) -> None:
    tx = optim.create_optimizer(name, optax.constant_schedule(0.5))
    traces = []

    @jax.jit
    def update(gradients: dict, state: optax.OptState) -> tuple:
        traces.append(name)
        return tx.update(gradients, state)

    gradients = {"w": jnp.array([3.0, -4.0])}
    state = tx.init(gradients)
    whole, _ = update(gradients, state)
    tenth, after = update(gradients, optim.set_rate_factor(state, 0.1))
    np.testing.assert_allclose(tenth["w"], 0.1 * whole["w"], rtol=1e-6)
    assert len(traces) == 1
    assert optax.tree.get(after, "rate_factor") == np.float32(0.1)


def test_step_decay_drops_at_the_epoch() -> None:
    rate = optim.step_decay(1.0, steps_per_epoch=10, drop_epochs=2, drop_factor=0.1)
    np.testing.assert_allclose([rate(0), rate(19), rate(20), rate(40)], [1, 1, 0.1, 0.01])
    assert optim.step_decay(0.3, steps_per_epoch=9, drop_epochs=0, drop_factor=0.1)(99) == 0.3


def test_gradients_are_clipped_by_their_norm_over_all_parameters() -> None:
    tx = optim.create_optimizer("sgd", optax.constant_schedule(1.0), clip_norm=2.5)
    gradients = {"v": jnp.array([3.0]), "w": jnp.array([-4.0])}  # of norm 5
    updates, _ = tx.update(gradients, tx.init(gradients))
    np.testing.assert_allclose([updates["v"][0], updates["w"][0]], [-1.5, 2.0], rtol=1e-6)
    small = jax.tree.map(lambda g: g / 10, gradients)
    updates, _ = tx.update(small, tx.init(small))
    np.testing.assert_allclose([updates["v"][0], updates["w"][0]], [-0.3, 0.4], rtol=1e-6)
