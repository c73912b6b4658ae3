"""The training state: a pytree of arrays, never stacked over devices."""

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
    """

    step: jax.Array
    params: Any
    batch_stats: Any
    opt_state: Any

    @property
    def variables(self) -> dict[str, Any]:
        """The network's variables, as `model.apply` takes them."""
        return {"params": self.params, "batch_stats": self.batch_stats}


def init_variables(model: nn.Module, *, seed: int, num_leads: int, length: int) -> dict[str, Any]:
    """Draws a network's variables; the same for the same seed on every machine.

    Args:
      model: One of `resunet_lc_jax.models`.
      seed: Seed of the initial parameters.
      num_leads: L, the number of leads.
      length: T, the number of samples of a crop.
    """

    def init(key: jax.Array) -> dict[str, Any]:
        signal = jnp.zeros((1, num_leads, length))
        return dict(model.init(key, signal, jnp.ones((1, num_leads)), train=False))

    return jax.jit(init)(jax.random.key(seed))


def create_state(variables: dict[str, Any], tx: optax.GradientTransformation) -> TrainState:
    """Returns the state at step 0 for these variables and this optimiser."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=tx.init(variables["params"]),
    )
