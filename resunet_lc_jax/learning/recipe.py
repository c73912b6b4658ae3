"""What a config's loss, augment and train sections come to: functions for the step and the loop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from resunet_lc_jax.data.lead_sets import lead_mask
from resunet_lc_jax.learning import augmentations, losses, optim, steps
from resunet_lc_jax.models import Outputs
from tfds_physionet.diagnoses import ANNOTATED, DATABASES, NUM_CLASSES

MONITORED = ("loss", "auprc", "auroc", "f_measure", "challenge_metric")
"""The validation metrics that plateau and early stop may watch."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, apart from the network.

    Attributes:
      loss: For `steps.train_step`.
      augment: For `steps.train_step`; None where nothing is changed.
      tx: The optimiser with its schedule.
      decide: From the validation rows of metrics.jsonl to the rate factor and whether to stop.
    """

    loss: steps.Loss
    augment: steps.Augment | None
    tx: optax.GradientTransformation
    decide: Callable[[Sequence[Mapping[str, float]]], optim.Decision]


def create_recipe(
    config: ConfigDict,
    *,
    steps_per_epoch: int,
    sampling_rate: float,
    labels: np.ndarray,
    databases: np.ndarray,
) -> Recipe:
    """Makes what a config describes.

    Args:
      config: The run's config.
      steps_per_epoch: Optimiser steps in an epoch.
      sampling_rate: Of the signals, in Hz.
      labels: [N, K] 0/1 of the training records, for pos_weight.
      databases: [N] names of their sources.

    Raises:
      ValueError: A knob has a value that there is not; the message lists those that there are.
    """
    return Recipe(
        loss=create_loss(config, labels=labels, databases=databases),
        augment=create_augment(config, sampling_rate=sampling_rate),
        tx=create_tx(config, steps_per_epoch=steps_per_epoch),
        decide=_create_rule(config),
    )


def check_recipe(config: ConfigDict) -> None:
    """Raises the ValueError that `create_recipe` would raise, before there are any records."""
    if not 0 <= config.train.ema_decay < 1:
        raise ValueError(
            f"config.train.ema_decay is {config.train.ema_decay}; choose 0 (off) to below 1"
        )
    create_recipe(
        config,
        steps_per_epoch=1,
        sampling_rate=1.0,
        labels=np.zeros((0, NUM_CLASSES)),
        databases=np.zeros(0, str),
    )


def create_tx(config: ConfigDict, *, steps_per_epoch: int = 1) -> optax.GradientTransformation:
    """The optimiser with its schedule. The form of its state does not depend on the steps."""
    schedules = {"step": config.train.drop_epochs, "plateau": 0}
    if config.train.schedule not in schedules:
        raise ValueError(_choose("config.train.schedule", config.train.schedule, schedules))
    schedule = optim.step_decay(
        config.train.learning_rate,
        steps_per_epoch=steps_per_epoch,
        drop_epochs=schedules[config.train.schedule],
        drop_factor=config.train.drop_factor,
    )
    return optim.create_optimizer(
        config.train.optimizer, schedule, clip_norm=config.train.clip_norm
    )


def _create_rule(config: ConfigDict) -> Callable[[Sequence[Mapping[str, float]]], optim.Decision]:
    metric = config.train.monitor
    if metric not in MONITORED:
        raise ValueError(_choose("config.train.monitor", metric, MONITORED))
    rule = partial(
        optim.decide,
        lower_is_better=metric == "loss",
        patience=config.train.plateau_patience if config.train.schedule == "plateau" else 0,
        factor=config.train.drop_factor,
        lowest=config.train.plateau_lowest,
        stop_patience=config.train.stop_patience,
    )
    return lambda history: rule([row[f"validation_{metric}"] for row in history])


def create_loss(config: ConfigDict, *, labels: np.ndarray, databases: np.ndarray) -> steps.Loss:
    """The loss of `config.loss`; labels and databases as in `create_recipe`."""
    masked = config.loss.mask_unannotated
    weighting = config.loss.pos_weight
    if weighting not in ("none", "balanced"):
        raise ValueError(_choose("config.loss.pos_weight", weighting, ("none", "balanced")))
    weights = balanced_weights(labels, databases, masked) if weighting == "balanced" else None
    entropy = partial(losses.bce_with_logits, pos_weight=weights)
    known: dict[str, Callable[..., jax.Array]] = {
        "bce": entropy,
        "focal": partial(
            losses.focal_with_logits, gamma=config.loss.focal_gamma, alpha=config.loss.focal_alpha
        ),
        "asymmetric": partial(
            losses.asymmetric_with_logits,
            gamma_positive=config.loss.asymmetric_gamma_positive,
            gamma_negative=config.loss.asymmetric_gamma_negative,
            margin=config.loss.asymmetric_margin,
        ),
        "isibrno": partial(
            losses.isibrno,
            batch_size=config.train.batch_size,
            pos_weight=weights,
        ),
    }
    name = config.loss.name
    if name not in known:
        raise ValueError(_choose("config.loss.name", name, known))
    if weights is not None and name in ("focal", "asymmetric"):
        raise ValueError(
            f"config.loss.pos_weight is {weighting!r}, which the {name} loss does not take; "
            "choose 'none', or the loss 'bce' or 'isibrno'"
        )
    function = known[name]
    two_heads = name == "isibrno"

    def loss(outputs: Outputs, batch: steps.Batch) -> jax.Array:
        heads = (outputs.logits, outputs.scores) if two_heads else (outputs.logits,)
        weights = batch["annotated"] if masked else None
        return function(*heads, batch["labels"], mask=batch["mask"], weights=weights)

    return loss


def balanced_weights(labels: np.ndarray, databases: np.ndarray, annotated_only: bool) -> np.ndarray:
    """Negatives / positives of each class, [K]; 1 for a class without positives.

    Args:
      labels: [N, K] 0/1.
      databases: [N] names of the sources.
      annotated_only: Whether a record counts only for the classes that its source gives.
    """
    counted = np.ones(labels.shape, bool)
    if annotated_only:
        for number, name in enumerate(DATABASES):
            counted[databases == name] = ANNOTATED[:, number]
        counted |= labels > 0
    positives = (labels > 0).sum(axis=0)
    negatives = counted.sum(axis=0) - positives
    weights = np.divide(negatives, positives, out=np.ones(len(positives)), where=positives > 0)
    return weights.astype(np.float32)


def create_augment(config: ConfigDict, *, sampling_rate: float) -> steps.Augment | None:
    """The changes of `config.augment` in their order, or None where all are off."""
    knobs = config.augment
    shift = round(knobs.time_shift_s * sampling_rate)
    sets = [lead_mask(size, config.data.leads) for size in knobs.lead_sets]
    changes: list[tuple[bool, augmentations.RowChange]] = [
        (shift > 0, partial(augmentations.time_shift, samples=shift)),
        (knobs.amplitude > 0, partial(augmentations.amplitude_scaling, spread=knobs.amplitude)),
        (
            knobs.wander > 0,
            partial(
                augmentations.baseline_wander, amplitude=knobs.wander, sampling_rate=sampling_rate
            ),
        ),
        (knobs.noise > 0, partial(augmentations.gaussian_noise, std=knobs.noise)),
        (bool(sets), partial(augmentations.random_lead_set, sets=np.array(sets))),
        (knobs.lead_drop > 0, partial(augmentations.lead_dropping, rate=knobs.lead_drop)),
    ]
    chosen = [change if wanted else None for wanted, change in changes]
    alpha = knobs.mixup
    if not any(chosen) and alpha == 0:
        return None

    def augment(key: jax.Array, batch: steps.Batch) -> steps.Batch:
        rows_key, mixup_key = jax.random.split(key)
        batch = augmentations.change_rows(rows_key, batch, changes=chosen)
        return augmentations.mixup(mixup_key, batch, alpha=alpha) if alpha > 0 else batch

    return augment


def _choose(knob: str, value: str, known: Sequence[str] | Mapping[str, object]) -> str:
    return f"{knob} is {value!r}; choose {' or '.join(map(repr, known))}"
