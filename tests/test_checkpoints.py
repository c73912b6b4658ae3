"""Checkpoints: what is kept, and what comes back."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resunet_lc_jax.checkpoints import Checkpoints
from resunet_lc_jax.state import TrainState, create_state


def _state(step: int) -> TrainState:
    variables = {
        "params": {"kernel": jnp.full((2, 3), step, jnp.float32)},
        "batch_stats": {"mean": jnp.arange(3.0) + step},
    }
    return create_state(variables, optax.adam(1e-3)).replace(step=jnp.int32(step))


def _same(a: TrainState, b: TrainState) -> None:
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_restored_state_is_bit_exact(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(7))
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 7
        _same(checkpoints.restore(_state(0)), _state(7))


def test_the_best_and_the_latest_checkpoints_are_kept(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        for step, metric in [(1, 0.2), (2, 0.9), (3, float("nan")), (4, 0.5), (5, None), (6, 0.6)]:
            checkpoints.save(_state(step), metric=metric)
    with Checkpoints(tmp_path) as checkpoints:
        assert (checkpoints.latest, checkpoints.best) == (6, 2)
        _same(checkpoints.restore(_state(0), 2), _state(2))
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_dir()) == ["2", "5", "6"]


def test_of_equal_metrics_the_earlier_checkpoint_is_best(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(1), metric=0.5)
        checkpoints.save(_state(2), metric=0.5)
        assert checkpoints.best == 1


def test_a_metric_may_come_after_the_state_was_saved(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(1), metric=0.1)
        checkpoints.save(_state(2), wait=True)
        checkpoints.save(_state(2), metric=0.3)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.best == 2


def test_the_weights_alone_can_be_restored(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(_state(4))
    like = jax.eval_shape(lambda: _state(0).variables)
    with Checkpoints(tmp_path) as checkpoints:
        variables = checkpoints.restore_variables(like)
    jax.tree.map(np.testing.assert_array_equal, variables, _state(4).variables)


def test_a_run_without_checkpoints_has_no_latest_one(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest is None and checkpoints.best is None
        with pytest.raises(FileNotFoundError):
            checkpoints.restore(_state(0))
