"""Random changes of training examples, on the device, inside the step.

Each change of a row takes a key and the row (`steps.Batch`, normalised, without its batch axis) and
returns the row. What a row becomes depends on the key and on its index in the global batch, never
on the devices. Where a row has no samples (padding, absent leads) it stays 0.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, Key

from resunet_lc_jax.learning.steps import Batch

RowChange = Callable[[Key[Array, ""], Batch], Batch]

# Breathing moves the baseline at 0.2 to 0.4 Hz; electrodes and bodies more slowly.
_WANDER_HZ = (0.05, 0.5)


def change_rows(key: Key[Array, ""], batch: Batch, *, changes: Sequence[RowChange | None]) -> Batch:
    """Applies the changes, one after the other, to each row with keys of its own.

    Args:
      key: Of the step.
      batch: A normalised batch.
      changes: In order; None leaves a place free, so that the others keep their keys.
    """

    def change(index: Int[Array, ""], row: Batch) -> Batch:
        row_key = jax.random.fold_in(key, index)
        for number, function in enumerate(changes):
            if function is not None:
                row = function(jax.random.fold_in(row_key, number), row)
        return row

    return jax.vmap(change)(batch["index"], dict(batch))


def time_shift(key: Key[Array, ""], row: Batch, *, samples: int) -> Batch:
    """Moves all leads together by up to `samples`, earlier or later; what leaves is lost."""
    shift = jax.random.randint(key, (), -samples, samples + 1)

    def move(values: Array) -> Array:
        padded = jnp.pad(values, ((0, 0), (samples, samples)))
        return lax.dynamic_slice_in_dim(padded, samples - shift, values.shape[1], axis=1)

    return {**row, "signal": move(row["signal"]), "known": move(row["known"])}


def amplitude_scaling(key: Key[Array, ""], row: Batch, *, spread: float) -> Batch:
    """Multiplies all leads by one factor from 1 - spread to 1 + spread."""
    signal = row["signal"]
    factor = jax.random.uniform(key, (), signal.dtype, 1 - spread, 1 + spread)
    return {**row, "signal": signal * factor}


def baseline_wander(
    key: Key[Array, ""], row: Batch, *, amplitude: float, sampling_rate: float
) -> Batch:
    """Adds one slow sine to all leads, each with its own amplitude and sign.

    The amplitude is the largest, in standard deviations of the signal; the sampling rate is in Hz.
    """
    signal = row["signal"]
    lead_key, frequency_key, phase_key = jax.random.split(key, 3)
    shape, kind = (signal.shape[0], 1), signal.dtype
    heights = jax.random.uniform(lead_key, shape, kind, -amplitude, amplitude)
    frequency = jax.random.uniform(frequency_key, (), kind, *_WANDER_HZ)
    phase = jax.random.uniform(phase_key, (), kind, 0, 2 * np.pi)
    time_s = jnp.arange(signal.shape[1], dtype=kind) / sampling_rate
    wander = heights * jnp.sin(2 * np.pi * frequency * time_s + phase)
    return {**row, "signal": jnp.where(row["known"], signal + wander, 0)}


def gaussian_noise(key: Key[Array, ""], row: Batch, *, std: float) -> Batch:
    """Adds white noise; std in standard deviations of the signal."""
    signal = row["signal"]
    noise = std * jax.random.normal(key, signal.shape, signal.dtype)
    return {**row, "signal": jnp.where(row["known"], signal + noise, 0)}


def random_lead_set(key: Key[Array, ""], row: Batch, *, sets: Bool[np.ndarray, "S L"]) -> Batch:
    """Keeps one of the sets [S, L] bool of leads, each as likely."""
    chosen = jax.random.randint(key, (), 0, len(sets))
    return _keep_leads(row, jnp.asarray(sets)[chosen])


def lead_dropping(key: Key[Array, ""], row: Batch, *, rate: float) -> Batch:
    """Drops each lead with this probability; none where all that there are would go."""
    kept = jax.random.bernoulli(key, 1 - rate, row["lead_present"].shape)
    return _keep_leads(row, kept | ~(kept & row["lead_present"]).any())


def _keep_leads(row: Batch, kept: Bool[Array, " L"]) -> Batch:
    """Leaves out the leads where kept [L] is False, as if the record had never had them."""
    return {
        **row,
        "signal": jnp.where(kept[:, None], row["signal"], 0),
        "known": row["known"] & kept[:, None],
        "lead_present": row["lead_present"] & kept,
    }


def mixup(key: Key[Array, ""], batch: Batch, *, alpha: float) -> Batch:
    """Mixes each row with its neighbour: rows 2i and 2i + 1 of the global batch are a pair.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018. The order of a batch is
    random, so neighbours are random partners; a device that holds an even number of rows holds
    whole pairs, so that the devices play no part. A row weighs at least as much as its partner.

    Args:
      key: Of the step.
      batch: A normalised batch.
      alpha: Of the weights' Beta(alpha, alpha).

    Returns:
      The batch with signal and labels mixed. A lead or sample is there where either row has it; a
      class is annotated where both are.

    Raises:
      ValueError: A device's number of rows is odd.
    """
    rows = batch["index"].shape[0]
    if rows % 2:
        raise ValueError(
            f"config.augment.mixup pairs the rows of a batch, but a device holds {rows} of them; "
            "choose a config.train.batch_size that leaves each device an even number"
        )

    def partner(values: Array) -> Array:
        return values.reshape(rows // 2, 2, *values.shape[1:])[:, ::-1].reshape(values.shape)

    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, batch["index"])
    drawn = jax.vmap(lambda k: jax.random.beta(k, alpha, alpha, dtype=batch["signal"].dtype))(keys)
    weight = jnp.maximum(drawn, 1 - drawn)

    def mixed(values: Array) -> Array:
        w = weight.reshape(-1, *[1] * (values.ndim - 1))
        return w * values + (1 - w) * partner(values)

    def either(values: Array) -> Array:
        return values | partner(values)

    return {
        **batch,
        "signal": mixed(batch["signal"]),
        "labels": mixed(batch["labels"]),
        "known": either(batch["known"]),
        "lead_present": either(batch["lead_present"]),
        "annotated": batch["annotated"] & partner(batch["annotated"]),
    }
