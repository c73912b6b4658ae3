"""The training state: a pytree of arrays, never stacked over devices."""

from dataclasses import replace
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from flax import linen as nn


@flax.struct.dataclass
class TrainState:
    """What a training step reads and returns, and what a checkpoint holds.

    Attributes:
      step: int32 scalar, the number of optimiser steps taken.
      params: The network's parameters.
      batch_stats: BatchNorm's running means and variances.
      opt_state: The optimiser's state.
      average: Moving averages of params and batch_stats, as `model.apply` takes them; None (no
        leaves) where the run keeps none.
    """

    step: Any
    params: Any
    batch_stats: Any
    opt_state: Any
    average: Any = None

    @property
    def trained_variables(self) -> dict[str, Any]:
        """The variables that the optimiser changes."""
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def variables(self) -> dict[str, Any]:
        """The variables to score records with: the averages where the run keeps them."""
        return self.trained_variables if self.average is None else self.average


def init_variables(model: nn.Module, *, seed: int, num_leads: int, length: int) -> dict[str, Any]:
    """Draws a network's variables for signals [B, num_leads, length].

    They are the same for the same seed on every machine.
    """

    def init(key: jax.Array) -> dict[str, Any]:
        signal = jnp.zeros((1, num_leads, length))
        return dict(model.init(key, signal, jnp.ones((1, num_leads)), train=False))

    return jax.jit(init)(jax.random.key(seed))


def create_state(
    variables: dict[str, Any], tx: optax.GradientTransformation, *, average: bool = False
) -> TrainState:
    """Returns the state at step 0, with averages if moving ones of the variables are kept."""
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=tx.init(variables["params"]),
    )
    if not average:
        return state
    # Copies: a step donates the state, and no array can be donated twice.
    return replace(state, average=jax.tree.map(jnp.copy, state.trained_variables))
