"""Optimisers and learning-rate schedules, as functions of the step."""

import optax


def step_decay(
    learning_rate: float, *, steps_per_epoch: int, drop_epochs: int, drop_factor: float
) -> optax.Schedule:
    """The learning rate times `drop_factor` after every `drop_epochs` epochs.

    Args:
      learning_rate: The rate of the first epochs.
      steps_per_epoch: Optimiser steps in one epoch.
      drop_epochs: Epochs between two drops; 0 keeps the rate constant.
      drop_factor: What each drop multiplies the rate by.

    Returns:
      A function from the step to the learning rate.
    """
    if drop_epochs == 0:
        return optax.constant_schedule(learning_rate)
    return optax.exponential_decay(
        learning_rate,
        transition_steps=steps_per_epoch * drop_epochs,
        decay_rate=drop_factor,
        staircase=True,
    )


def create_optimizer(name: str, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Returns Adam (Kingma and Ba 2015, with PyTorch's defaults) or plain SGD.

    Args:
      name: 'adam' or 'sgd'.
      schedule: The learning rate as a function of the step.

    Raises:
      ValueError: The name is neither.
    """
    if name == "adam":
        return optax.adam(schedule, b1=0.9, b2=0.999, eps=1e-8)
    if name == "sgd":
        return optax.sgd(schedule)
    raise ValueError(f"config.train.optimizer is {name!r}; choose 'adam' or 'sgd'")
