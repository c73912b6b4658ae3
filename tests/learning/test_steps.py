"""The pure steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from batches import random_batch

from resunet_lc_jax.learning import steps
from resunet_lc_jax.learning.state import create_state, init_variables
from resunet_lc_jax.models import create_model

_MODEL = create_model("res1d_maxpool", width=8)


def _state(tx: optax.GradientTransformation, seed: int = 0):
    return create_state(init_variables(_MODEL, seed=seed, num_leads=12, length=128), tx)


def test_normalised_signal_is_the_z_score_and_zero_where_a_sample_is_missing() -> None:
    batch = random_batch(0, size=3)
    z = np.asarray(steps.normalise(batch)["signal"])
    known = batch["signal"] != steps.MISSING
    expected = (batch["signal"].astype(np.float64) - 20) / 300
    np.testing.assert_allclose(z[known], expected[known], atol=1e-6)
    assert (z[~known] == 0).all() and not known.all()


def test_training_lowers_the_loss() -> None:
    tx = optax.adam(1e-2)
    step = jax.jit(lambda s, b: steps.train_step(s, b, model=_MODEL, tx=tx, seed=0))
    batch, state = random_batch(0, size=8), _state(tx)
    values = []
    for _ in range(12):
        state, metrics = step(state, batch)
        values.append(float(metrics["loss"]))
    assert values[-1] < 0.8 * values[0]
    assert int(state.step) == 12


def test_dropout_depends_on_seed_and_step_alone() -> None:
    tx = optax.sgd(0.0)
    batch = random_batch(0, size=4)

    compiled = {
        seed: jax.jit(
            lambda s, b, seed=seed: steps.train_step(s, b, model=_MODEL, tx=tx, seed=seed)[1]
        )
        for seed in (1, 2)
    }
    state = _state(tx)

    def loss(seed: int, step: int) -> float:
        return float(compiled[seed](state.replace(step=np.int32(step)), batch)["loss"])

    assert loss(1, 5) == loss(1, 5)
    assert loss(1, 5) != loss(1, 6)
    assert loss(1, 5) != loss(2, 5)


def test_rows_that_fill_a_batch_do_not_change_the_loss() -> None:
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(4, 26)))
    batch = {name: jnp.asarray(x) for name, x in random_batch(0, size=4).items()}
    whole = steps.bce_loss(steps.Outputs(logits[:3], logits[:3]), _rows(batch, 3))
    batch["mask"] = batch["mask"].at[3].set(0)
    outputs = steps.Outputs(logits, logits)
    np.testing.assert_allclose(steps.bce_loss(outputs, batch), whole, rtol=1e-6)


def _rows(batch: dict, count: int) -> dict:
    return {name: values[:count] for name, values in batch.items()}


def test_crop_statistics_are_those_of_its_known_samples_and_a_flat_lead_is_zero() -> None:
    batch = random_batch(0, size=3)
    batch["signal"][1, 2] = 12_345  # flat here, whatever the record's own statistics are
    batch["signal"][2, 5] = steps.MISSING
    z = np.asarray(steps.normalise(batch, statistics="crop")["signal"])
    known = batch["signal"] != steps.MISSING
    samples = np.where(known, batch["signal"].astype(np.float64), np.nan)
    with np.errstate(invalid="ignore"):
        samples = samples[:2]
        std = np.nanstd(samples, axis=-1, keepdims=True) + 1e-8
        expected = (samples - np.nanmean(samples, axis=-1, keepdims=True)) / std
    np.testing.assert_allclose(z[:2][known[:2]], expected[known[:2]], atol=1e-5)
    assert (z[1, 2] == 0).all() and (z[2, 5] == 0).all() and (z[~known] == 0).all()
    with pytest.raises(ValueError, match="config.data.statistics is 'lead'"):
        steps.normalise(batch, statistics="lead")
