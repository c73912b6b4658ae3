"""The pure training and evaluation steps. Compiled in `parallel`, called by the loops."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from resunet_lc_jax import losses
from resunet_lc_jax.models import Outputs
from resunet_lc_jax.state import TrainState

MISSING = -32768
"""The int16 value of a sample that is unknown, absent, or padding."""

Batch = Mapping[str, jax.Array]
"""Arrays of one batch: signal [B, L, T] int16 (ADC units, MISSING where there is none),
lead_mean and lead_std [B, L] float32 (ADC units), lead_present [B, L] bool, labels [B, K] float32,
mask [B] float32 (0 for rows that only fill the batch), index [B] int32 (the row in the global
batch)."""

Loss = Callable[[Outputs, Batch], jax.Array]
"""A scalar from what the network gave and the normalised batch."""

Augment = Callable[[jax.Array, Batch], Batch]
"""A random change of a normalised batch, from a key; each row's by its index alone."""


def normalise(batch: Batch) -> Batch:
    """Z-scores the samples with their record's own statistics; 0 where there is no sample.

    Returns:
      The batch, its signal [B, L, T] float32.
    """
    samples = batch["signal"]
    mean = batch["lead_mean"][..., None]
    std = batch["lead_std"][..., None]
    z = jnp.where(samples == MISSING, 0, (samples.astype(mean.dtype) - mean) / std)
    return {**batch, "signal": z}


def bce_loss(outputs: Outputs, batch: Batch) -> jax.Array:
    """The published loss: binary cross-entropy with logits, mean over examples and classes."""
    return losses.bce_with_logits(outputs.logits, batch["labels"], mask=batch["mask"])


def train_step(
    state: TrainState,
    batch: Batch,
    *,
    model: nn.Module,
    tx: optax.GradientTransformation,
    seed: int,
    loss: Loss = bce_loss,
    augment: Augment | None = None,
    axis_name: str | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Takes one optimiser step.

    Dropout and augmentation depend on (seed, step, the row's index in the global batch) alone.

    Args:
      state: The state before the step.
      batch: A batch, or this device's part of it under an axis name.
      model: The network; its own `axis_name` says over which devices BatchNorm counts.
      tx: The optimiser.
      seed: Seed of dropout and augmentation.
      loss: The loss of one batch.
      augment: How the normalised batch is changed, if at all.
      axis_name: The mapped axis over which gradients and metrics are averaged, if any.

    Returns:
      The state after the step, and the scalars loss and gradient_norm.
    """
    key = jax.random.fold_in(jax.random.key(seed), state.step)
    dropout_key, augment_key = jax.random.split(key)
    inputs = normalise(batch)
    if augment is not None:
        inputs = augment(augment_key, inputs)

    def objective(params: dict) -> tuple[jax.Array, dict]:
        outputs, updates = model.apply(
            {"params": params, "batch_stats": state.batch_stats},
            inputs["signal"],
            inputs["lead_present"],
            train=True,
            index=inputs["index"],
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        return loss(outputs, inputs), dict(updates).get("batch_stats", {})

    (value, batch_stats), gradients = jax.value_and_grad(objective, has_aux=True)(state.params)
    if axis_name is not None:
        value, gradients, batch_stats = jax.lax.pmean((value, gradients, batch_stats), axis_name)
    updates, opt_state = tx.update(gradients, state.opt_state, state.params)
    after = TrainState(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        batch_stats=batch_stats,
        opt_state=opt_state,
    )
    return after, {"loss": value, "gradient_norm": optax.tree.norm(gradients)}


def eval_step(variables: dict, batch: Batch, *, model: nn.Module) -> jax.Array:
    """Returns the scores [B, K] (probabilities) of a batch, without dropout."""
    inputs = normalise(batch)
    outputs: Any = model.apply(variables, inputs["signal"], inputs["lead_present"], train=False)
    return outputs.scores
