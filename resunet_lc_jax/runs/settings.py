"""From a run's config to the values that the wings below take: they know no configs."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
from ml_collections import ConfigDict

from resunet_lc_jax.data.selection import SPLITS, SplitRules
from resunet_lc_jax.data.sources import Source
from resunet_lc_jax.data.windows import Windowing
from resunet_lc_jax.learning.recipe import (
    AugmentSettings,
    LossSettings,
    OptimSettings,
    Recipe,
    create_augment,
    create_guide,
    create_loss,
    create_tx,
)

Values = TypeVar("Values")


def source(config: ConfigDict) -> Source:
    """Where the records come from."""
    return _picked(Source, config.data)


def split_rules(config: ConfigDict) -> SplitRules:
    """Which records serve what."""
    lists = {name: config.data[f"{name}_list"] for name in SPLITS}
    return SplitRules(
        folds={name: config.data[f"{name}_folds"] for name in SPLITS},
        lists={name: path for name, path in lists.items() if path},
        only_databases=config.data.only_databases,
        except_databases=config.data.except_databases,
        leave_out=config.data.leave_out,
        always_train=config.data.always_train,
    )


def windowing(config: ConfigDict) -> Windowing:
    """How records are cut to be scored; `train.batch_size` aside, also to be trained on."""
    return Windowing(
        length=config.data.length,
        leads=config.data.leads,
        pad=config.data.pad,
        statistics=config.data.statistics,
        rule=config.eval.windows,
        batch_size=config.eval.batch_size,
        seed=config.seed,
    )


def optimisation(config: ConfigDict) -> OptimSettings:
    """How the network's parameters are changed."""
    return _picked(OptimSettings, config.train)


def recipe(
    config: ConfigDict,
    *,
    steps_per_epoch: int,
    sampling_rate: float,
    labels: np.ndarray,
    databases: np.ndarray,
) -> Recipe:
    """How the network is trained, apart from the network.

    Args:
      config: The run's config.
      steps_per_epoch: Optimiser steps.
      sampling_rate: In Hz.
      labels: [N, K] 0/1 of the training records.
      databases: [N] names of their sources.
    """
    loss, augment = _picked(LossSettings, config.loss), _picked(AugmentSettings, config.augment)
    size = config.train.batch_size
    return Recipe(
        loss=create_loss(loss, batch_size=size, labels=labels, databases=databases),
        augment=create_augment(augment, leads=config.data.leads, sampling_rate=sampling_rate),
        tx=create_tx(optimisation(config), steps_per_epoch=steps_per_epoch),
        guide=create_guide(optimisation(config)),
    )


def _picked(kind: type[Values], section: Mapping[str, Any]) -> Values:
    """The knobs of a section that are fields of a dataclass."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: section[name] for name in names})
