"""Optimisers, learning-rate schedules, and what the validations so far ask for."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax


def step_decay(
    learning_rate: float, *, steps_per_epoch: int, drop_epochs: int, drop_factor: float
) -> optax.Schedule:
    """The learning rate, from the step: times `drop_factor` after every `drop_epochs` epochs.

    With 0 epochs it is constant.
    """
    if drop_epochs == 0:
        return optax.constant_schedule(learning_rate)
    return optax.exponential_decay(
        learning_rate,
        transition_steps=steps_per_epoch * drop_epochs,
        decay_rate=drop_factor,
        staircase=True,
    )


class RateFactor(NamedTuple):
    """State of `scale_by_rate_factor`: what the schedule's rate is multiplied by."""

    rate_factor: jax.Array


def scale_by_rate_factor() -> optax.GradientTransformation:
    """Scales updates by a factor that lives in the optimiser's state, 1 at first.

    So a compiled step takes a changed rate as it takes any other number.
    """

    def init(params: Any) -> RateFactor:
        return RateFactor(jnp.ones(()))

    def update(updates: Any, state: RateFactor, params: Any = None) -> tuple[Any, RateFactor]:
        scaled = jax.tree.map(lambda u: u * state.rate_factor.astype(u.dtype), updates)
        return scaled, state

    return optax.GradientTransformation(init, update)


def rate_factor(opt_state: Any) -> float:
    """Returns the rate factor of the optimiser's state."""
    return float(optax.tree.get(opt_state, "rate_factor"))


def set_rate_factor(opt_state: Any, factor: float) -> Any:
    """Returns the optimiser's state with another rate factor, on the same devices."""
    before = optax.tree.get(opt_state, "rate_factor")
    value = jax.device_put(np.asarray(factor, before.dtype), before.sharding)
    return optax.tree.set(opt_state, rate_factor=value)


def create_optimizer(
    name: str, schedule: optax.Schedule, *, clip_norm: float = 0.0
) -> optax.GradientTransformation:
    """Returns 'adam' (Kingma and Ba 2015, with PyTorch's defaults) or plain 'sgd'.

    Gradients of a larger global norm than clip_norm are scaled down to it; 0: never.
    """
    rules = {"adam": partial(optax.adam, b1=0.9, b2=0.999, eps=1e-8), "sgd": optax.sgd}
    clip = [optax.clip_by_global_norm(clip_norm)] if clip_norm else []
    return optax.chain(*clip, rules[name](schedule), scale_by_rate_factor())


class Guidance(NamedTuple):
    """What the validations so far ask for.

    Attributes:
      rate_factor: What the learning rate is multiplied by.
      stop: Whether training ends here.
    """

    rate_factor: float
    stop: bool


def guide(
    values: Sequence[float | None],
    *,
    lower_is_better: bool,
    patience: int,
    factor: float,
    lowest: float,
    stop_patience: int,
) -> Guidance:
    """Reduces the rate on a plateau and stops early, as a pure function of the history.

    So a run that is taken up again goes on as it would have without the interruption.

    Args:
      values: The metric at each validation, oldest first; None or NaN is no improvement.
      lower_is_better: Whether the metric is a loss.
      patience: Validations without a new best after which the rate drops; 0 for never.
      factor: What each drop multiplies the rate by.
      lowest: The rate factor never falls below it.
      stop_patience: Validations without a new best after which training ends; 0 for never.
    """
    best, rate_factor, since_best, since_drop = math.inf, 1.0, 0, 0
    for value in values:
        cost = math.nan if value is None else value if lower_is_better else -value
        if cost < best:
            best, since_best, since_drop = cost, 0, 0
            continue
        since_best, since_drop = since_best + 1, since_drop + 1
        if patience and since_drop >= patience:
            rate_factor, since_drop = max(rate_factor * factor, lowest), 0
    return Guidance(rate_factor, bool(stop_patience) and since_best >= stop_patience)
