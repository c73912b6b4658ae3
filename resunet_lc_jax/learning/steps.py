"""The pure training and evaluation steps. Compiled in `parallel`, called by the loops."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int, Key, Num, jaxtyped

from resunet_lc_jax.learning import losses
from resunet_lc_jax.learning.state import TrainState
from resunet_lc_jax.models import Network, Outputs
from tfds_physionet.reading.records import MISSING

Batch = Mapping[str, jax.Array]
"""Arrays of one batch, see `ARRAYS`."""

ARRAYS: dict[str, tuple[Any, str]] = {
    "signal": (Num, "B L T"),  # int16, ADC units, MISSING where there is none; normalised: float
    "known": (Bool, "B L T"),  # of a normalised batch: where it has samples
    "lead_mean": (Float, "B L"),  # ADC units
    "lead_std": (Float, "B L"),  # ADC units
    "lead_present": (Bool, "B L"),
    "labels": (Float, "B K"),
    "annotated": (Bool, "B K"),  # False where the record's source never gives the class
    "mask": (Float, " B"),  # 0 for rows that only fill the batch
    "index": (Int, " B"),  # the row in the global batch
}
"""Types and shapes of a batch's arrays: B examples, L leads, T samples, K classes."""

Loss = Callable[[Outputs, Batch], Float[Array, ""]]
"""A scalar from what the network gave and the normalised batch."""

Augment = Callable[[Key[Array, ""], Batch], Batch]
"""A random change of a normalised batch, from a key; each row's by its index alone."""


def check_batch(batch: Mapping[str, jax.Array | np.ndarray]) -> None:
    """Raises ValueError where an array of a batch is not as `ARRAYS` has it."""
    with jaxtyped("context"):  # a letter is one number in all arrays
        for name in [name for name in ARRAYS if name in batch]:
            (kind, shape), array = ARRAYS[name], batch[name]
            if not isinstance(array, (kind[jax.Array, shape], kind[np.ndarray, shape])):
                others = ", ".join(f"{other} {batch[other].shape}" for other in batch)
                raise ValueError(
                    f"{name} of a batch is {array.dtype} {array.shape}; give it as {kind.__name__} "
                    f"[{shape.strip()}], each letter one number in all arrays: {others}"
                )


def normalise(batch: Mapping[str, jax.Array | np.ndarray], *, statistics: str = "record") -> Batch:
    """Z-scores each lead; 0 where there is no sample.

    Args:
      batch: As it comes from the host.
      statistics: Whose mean and standard deviation: the whole 'record''s, or the 'crop''s own.

    Returns:
      The batch, its signal [B, L, T] float32, and known [B, L, T] bool.

    Raises:
      ValueError: The statistics are of another name, or an array is not as `ARRAYS` has it.
    """
    check_batch(batch)
    arrays: Batch = {name: jnp.asarray(array) for name, array in batch.items()}
    samples = arrays["signal"]
    known = samples != MISSING
    mean, std = arrays["lead_mean"][..., None], arrays["lead_std"][..., None]
    if statistics == "record":
        z = (samples.astype(mean.dtype) - mean) / std
    elif statistics == "crop":
        z = _z_score(samples, known, mean.dtype)
    else:
        raise ValueError(f"config.data.statistics is {statistics!r}; choose 'record' or 'crop'")
    return {**arrays, "signal": jnp.where(known, z, 0), "known": known}


def _z_score(
    samples: Num[Array, "B L T"], known: Bool[Array, "B L T"], dtype: jnp.dtype
) -> Float[Array, "B L T"]:
    """Z-scores over the last axis with the known samples' own mean and population std."""
    samples = samples.astype(jnp.int32)
    # Counted from the lowest sample, in integers: a flat lead becomes exactly 0.
    lowest = jnp.where(known, samples, 2**15).min(axis=-1, keepdims=True)
    above = jnp.where(known, samples - lowest, 0).astype(dtype)
    count = jnp.maximum(known.sum(axis=-1, keepdims=True), 1)
    deviation = jnp.where(known, above - above.sum(axis=-1, keepdims=True) / count, 0)
    variance = (deviation**2).sum(axis=-1, keepdims=True) / count
    return deviation / (jnp.sqrt(variance) + 1e-8)


def bce_loss(outputs: Outputs, batch: Batch) -> Float[Array, ""]:
    """The published loss: binary cross-entropy with logits, mean over examples and classes."""
    return losses.bce_with_logits(outputs.logits, batch["labels"], mask=batch["mask"])


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    model: Network,
    tx: optax.GradientTransformation,
    seed: int,
    statistics: str = "record",
    loss: Loss = bce_loss,
    augment: Augment | None = None,
    accumulate_steps: int = 1,
    average_decay: float = 0.0,
    axis_name: str | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Takes one optimiser step.

    Dropout and augmentation depend on (seed, step, the row's index in the global batch) alone.
    Where the loss, the gradients' norm or a number of the state after the step is not finite,
    nothing but the step's number changes.

    Args:
      state: The state before the step.
      batch: A batch, or this device's part of it under an axis name.
      model: The network; its own `axis_name` says over which devices BatchNorm counts.
      tx: The optimiser.
      seed: Seed of dropout and augmentation.
      statistics: See `normalise`.
      loss: The loss of one batch.
      augment: How the normalised batch is changed, if at all.
      accumulate_steps: Parts of the batch that go through the network one after the other, their
        gradients averaged, each with BatchNorm statistics of its own (see `_parts`).
      average_decay: Of the state's moving averages, see `_moved_average`; unused without them.
      axis_name: The mapped axis over which gradients and metrics are averaged, if any.

    Returns:
      The state after the step, and the scalars loss, gradient_norm and finite (bool).
    """
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    dropout_key, augment_key = jax.random.split(key)
    inputs = normalise(batch, statistics=statistics)
    if augment is not None:
        inputs = augment(augment_key, inputs)

    def objective(params: dict, batch_stats: dict, part: Batch) -> tuple[Float[Array, ""], dict]:
        outputs, updates = model.apply(
            {"params": params, "batch_stats": batch_stats},
            part["signal"],
            part["lead_present"],
            train=True,
            index=part["index"],
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        return loss(outputs, part), dict(updates).get("batch_stats", {})

    gradient_of = jax.value_and_grad(objective, has_aux=True)
    parts = _parts(inputs, accumulate_steps)
    (value, batch_stats), gradients = gradient_of(state.params, state.batch_stats, parts[0])
    for part in parts[1:]:
        # One after the other, or the memory of all parts would be needed at once.
        part, gradients = jax.lax.optimization_barrier((part, gradients))
        (term, batch_stats), more = gradient_of(state.params, batch_stats, part)
        value, gradients = jax.tree.map(jnp.add, (value, gradients), (term, more))
    value, gradients = jax.tree.map(lambda x: x / len(parts), (value, gradients))
    if axis_name is not None:
        value, gradients = jax.lax.pmean((value, gradients), axis_name)
        if model.numerics.axis_name is None:  # otherwise they are the same on all devices
            batch_stats = jax.lax.pmean(batch_stats, axis_name)

    norm = optax.tree.norm(gradients)
    updates, opt_state = tx.update(gradients, state.opt_state, state.params)
    after = replace(
        state,
        params=optax.apply_updates(state.params, updates),
        batch_stats=batch_stats,
        opt_state=opt_state,
    )
    if state.average is not None:
        after = replace(after, average=_moved_average(after, average_decay))
    if model.numerics.form == "cpu":
        # Rounded otherwise where something else reads an update: behind a barrier a run's numbers
        # are those that it has without the guard, for a second pass over the state.
        finite = _all_finite((value, norm, batch_stats))
        after = jax.tree.map(partial(jnp.where, finite), after, state)
        after = jax.lax.optimization_barrier(after)
        finite &= _all_finite(after)
    else:
        finite = _all_finite((value, norm, after))
    after = jax.tree.map(partial(jnp.where, finite), after, state)
    after = replace(after, step=state.step + 1)
    return after, {"loss": value, "gradient_norm": norm, "finite": finite}


def _parts(batch: Batch, count: int) -> list[Batch]:
    """Splits a batch into parts of every count-th row.

    So each device finds its share of each part among its own rows, and the parts are the same
    rows however many devices there are.
    """
    if count == 1:
        return [batch]
    rows = batch["index"].shape[0]
    if rows % count:
        raise ValueError(f"{count} parts do not divide the {rows} rows of a device's batch")
    split = {k: v.reshape(rows // count, count, *v.shape[1:]) for k, v in batch.items()}
    return [{k: v[:, number] for k, v in split.items()} for number in range(count)]


def _all_finite(tree: Any) -> Bool[Array, ""]:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def _moved_average(state: TrainState, decay: float) -> dict[str, Any]:
    """The state's averages, moved towards its variables.

    The decay grows to its value as (1 + step) / (10 + step), so that the first, random variables
    are soon forgotten.
    """
    early = (1 + state.step) / (10 + state.step)

    def move(average: Array, new: Array) -> Array:
        return average + (1 - jnp.minimum(decay, early)).astype(new.dtype) * (new - average)

    return jax.tree.map(move, state.average, state.trained_variables)


def eval_step(
    variables: dict, batch: Batch, *, model: nn.Module, statistics: str = "record"
) -> Float[Array, "B K"]:
    """Returns the scores [B, K] (probabilities) of a batch, without dropout."""
    inputs = normalise(batch, statistics=statistics)
    outputs: Any = model.apply(variables, inputs["signal"], inputs["lead_present"], train=False)
    return outputs.scores
