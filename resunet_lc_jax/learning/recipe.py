"""How a network is trained, apart from the network: functions for the step and the loop."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
import optax

from resunet_lc_jax.data.leads import set_mask
from resunet_lc_jax.learning import augmentations, losses, optim, steps
from resunet_lc_jax.models import Outputs
from tfds_physionet.diagnoses import ANNOTATED, DATABASES

MONITORED = ("loss", "auprc", "auroc", "f_measure", "challenge_metric")
"""The validation metrics that plateau and early stop may watch."""


@dataclass(frozen=True)
class LossSettings:
    """The knobs of `config.loss`; configs/default.py tells what each means."""

    name: str
    pos_weight: str
    mask_unannotated: bool
    focal_gamma: float
    focal_alpha: float
    asymmetric_gamma_positive: float
    asymmetric_gamma_negative: float
    asymmetric_margin: float


@dataclass(frozen=True)
class AugmentSettings:
    """The knobs of `config.augment`; configs/default.py tells what each means."""

    time_shift_s: float
    amplitude: float
    wander: float
    noise: float
    lead_sets: tuple[int, ...]
    lead_drop: float
    mixup: float


@dataclass(frozen=True)
class OptimSettings:
    """The knobs of `config.train` that say how it optimises; configs/default.py tells of each."""

    optimizer: str
    learning_rate: float
    schedule: str
    drop_factor: float
    drop_epochs: int
    plateau_patience: int
    plateau_lowest: float
    stop_patience: int
    monitor: str
    clip_norm: float


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, apart from the network.

    Attributes:
      loss: For `steps.train_step`.
      augment: For `steps.train_step`; None where nothing is changed.
      tx: The optimiser with its schedule.
      guide: From the validations so far, oldest first, to the rate factor and whether to stop.
    """

    loss: steps.Loss
    augment: steps.Augment | None
    tx: optax.GradientTransformation
    guide: Callable[[Sequence[Mapping[str, float]]], optim.Guidance]


def create_tx(settings: OptimSettings, *, steps_per_epoch: int = 1) -> optax.GradientTransformation:
    """The optimiser with its schedule. The form of its state does not depend on the steps."""
    schedule = optim.step_decay(
        settings.learning_rate,
        steps_per_epoch=steps_per_epoch,
        drop_epochs={"step": settings.drop_epochs, "plateau": 0}[settings.schedule],
        drop_factor=settings.drop_factor,
    )
    return optim.create_optimizer(settings.optimizer, schedule, clip_norm=settings.clip_norm)


def create_guide(
    settings: OptimSettings,
) -> Callable[[Sequence[Mapping[str, float]]], optim.Guidance]:
    """What reduces the rate on a plateau and stops early, from the validations' metrics."""
    guide = partial(
        optim.guide,
        lower_is_better=settings.monitor == "loss",
        patience=settings.plateau_patience if settings.schedule == "plateau" else 0,
        factor=settings.drop_factor,
        lowest=settings.plateau_lowest,
        stop_patience=settings.stop_patience,
    )
    return lambda validations: guide([metrics[settings.monitor] for metrics in validations])


def create_loss(
    settings: LossSettings, *, batch_size: int, labels: np.ndarray, databases: np.ndarray
) -> steps.Loss:
    """Makes the loss for global batches of this size.

    Labels [N, K] 0/1 and databases [N] (names of the sources) are those of the training records.
    """
    masked, balanced = settings.mask_unannotated, settings.pos_weight == "balanced"
    weights = balanced_weights(labels, databases, masked) if balanced else None
    known: dict[str, Callable[..., jax.Array]] = {
        "bce": partial(losses.bce_with_logits, pos_weight=weights),
        "focal": partial(
            losses.focal_with_logits, gamma=settings.focal_gamma, alpha=settings.focal_alpha
        ),
        "asymmetric": partial(
            losses.asymmetric_with_logits,
            gamma_positive=settings.asymmetric_gamma_positive,
            gamma_negative=settings.asymmetric_gamma_negative,
            margin=settings.asymmetric_margin,
        ),
        "isibrno": partial(losses.isibrno, batch_size=batch_size, pos_weight=weights),
    }
    function = known[settings.name]
    two_heads = settings.name == "isibrno"

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


def create_augment(
    settings: AugmentSettings, *, leads: Sequence[str], sampling_rate: float
) -> steps.Augment | None:
    """The random changes of training examples in their order, or None where all are off."""
    shift = round(settings.time_shift_s * sampling_rate)
    sets = np.array([set_mask(size, leads) for size in settings.lead_sets])
    wander = partial(
        augmentations.baseline_wander, amplitude=settings.wander, sampling_rate=sampling_rate
    )
    changes: list[tuple[bool, augmentations.RowChange]] = [
        (shift > 0, partial(augmentations.time_shift, samples=shift)),
        (
            settings.amplitude > 0,
            partial(augmentations.amplitude_scaling, spread=settings.amplitude),
        ),
        (settings.wander > 0, wander),
        (settings.noise > 0, partial(augmentations.gaussian_noise, std=settings.noise)),
        (len(sets) > 0, partial(augmentations.random_lead_set, sets=sets)),
        (settings.lead_drop > 0, partial(augmentations.lead_dropping, rate=settings.lead_drop)),
    ]
    chosen = [change if wanted else None for wanted, change in changes]
    alpha = settings.mixup
    if not any(chosen) and alpha == 0:
        return None

    def augment(key: jax.Array, batch: steps.Batch) -> steps.Batch:
        rows_key, mixup_key = jax.random.split(key)
        batch = augmentations.change_rows(rows_key, batch, changes=chosen)
        return augmentations.mixup(mixup_key, batch, alpha=alpha) if alpha > 0 else batch

    return augment
