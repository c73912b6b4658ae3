"""The one table of knobs: what each may be, and when it may change.

configs/default.py says what a knob does and in which unit; here stands which values it takes. What
knobs may be together is in `combinations`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from resunet_lc_jax.data.leads import LEAD_SETS
from resunet_lc_jax.data.selection import database_names
from resunet_lc_jax.data.sources import VARIANTS
from resunet_lc_jax.learning.recipe import MONITORED
from resunet_lc_jax.measures.thresholds import METHODS
from resunet_lc_jax.models import MODEL_NAMES
from tfds_physionet.building.build_plan import NUM_FOLDS
from tfds_physionet.reading.signals import STANDARD_LEADS
from tfds_physionet.simulate import STYLES

_MOST = 2**31 - 1  # steps and sizes are counted in int32
_LARGEST = 3.4e38  # of float32, in which the network counts


class Kind(NamedTuple):
    """A kind of value: whether one is of it, and what is allowed, in words."""

    fits: Callable[[Any], bool]
    allowed: str


@dataclass(frozen=True)
class Knob:
    """A row of the table.

    Attributes:
      kind: What it may be.
      on_resume: Whether a run may be taken up again with another value.
      in_use: Whether a finished run may be evaluated and applied with another value.
    """

    kind: Kind
    on_resume: bool = False
    in_use: bool = True


def _number(
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
    below: float | None = None,
) -> Kind:
    """A finite number within these bounds."""

    def fits(value: Any) -> bool:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) <= _LARGEST  # False of inf and nan
            and (low is None or value >= low)
            and (above is None or value > above)
            and (high is None or value <= high)
            and (below is None or value < below)
        )

    bounds = {" from": low, " above": above, " to": high, " to below": below}
    words = "".join(f"{word} {bound:g}" for word, bound in bounds.items() if bound is not None)
    return Kind(fits, f"a finite number{words}")


def _whole(low: int, high: int = _MOST) -> Kind:
    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high

    return Kind(fits, f"a whole number from {low} to {high}")


def _word(*words: object) -> Kind:
    def fits(value: Any) -> bool:
        return any(type(value) is type(word) and value == word for word in words)

    *others, last = map(repr, words)
    return Kind(fits, f"{', '.join(others)} or {last}")


def _switch() -> Kind:
    return Kind(lambda value: isinstance(value, bool), "True or False")


def _text(what: str) -> Kind:
    return Kind(lambda value: isinstance(value, str) and bool(value.strip()), what)


def _unset_or(kind: Kind) -> Kind:
    return Kind(
        lambda value: value is None or kind.fits(value), f"{kind.allowed}, or leave it unset"
    )


def _several(kind: Kind, *, fewest: int, example: str) -> Kind:
    """Different values of a kind."""

    def fits(value: Any) -> bool:
        return (
            isinstance(value, tuple | list)
            and len(value) >= fewest
            and all(map(kind.fits, value))
            and len(set(value)) == len(value)
        )

    number = "one or more" if fewest else "none or more"
    return Kind(fits, f"{number}, each once, of {kind.allowed}; for instance {example}")


def _databases() -> Kind:
    """Names of databases; an entry may hold several, as 'ptb,ptb-xl' does."""

    def fits(value: Any) -> bool:
        if not isinstance(value, tuple | list) or not all(isinstance(v, str) for v in value):
            return False
        names = database_names(value)
        return all(names) and len(set(names)) == len(names)

    return Kind(fits, "different names of databases, as ptb,ptb-xl, or ()")


_FOLDS = _several(_whole(1, NUM_FOLDS), fewest=1, example="(1, 2)")
_LEADS = _several(_word(*STANDARD_LEADS), fewest=1, example="\"('I', 'II')\"")
_LEAD_SETS = _several(_word(*LEAD_SETS), fewest=0, example="(12, 6)")
_PATH = _unset_or(_text("a path"))

KNOBS: dict[str, Knob] = {
    # JAX's keys know the lowest 32 bits of a seed.
    "seed": Knob(_whole(0, 2**32 - 1)),
    "precision": Knob(_word("default", "high", "highest")),
    "compilation_cache": Knob(_text("a folder or 'off'"), on_resume=True),
    "init_from": Knob(_unset_or(_text("a run's folder or a PyTorch checkpoint"))),
    "init_checkpoint": Knob(_word("best", "latest")),
    "model.name": Knob(_word(*MODEL_NAMES), in_use=False),
    "model.width": Knob(_unset_or(_whole(1)), in_use=False),
    "model.dropout": Knob(_unset_or(_number(low=0, below=1)), in_use=False),
    "model.unbiased_variance": Knob(_switch(), in_use=False),
    "model.odd_lead_shift": Knob(_switch(), in_use=False),
    "model.freeze_statistics": Knob(_switch(), in_use=False),
    "model.dtype": Knob(_word("float32", "bfloat16"), in_use=False),
    "model.remat": Knob(_switch(), on_resume=True),
    "data.records": Knob(_unset_or(_text("a folder or 'simulated'"))),
    "data.data_dir": Knob(_PATH, on_resume=True),
    "data.patients": Knob(_PATH),
    "data.simulated_count": Knob(_whole(NUM_FOLDS)),
    "data.simulated_seed": Knob(_whole(0, 2**32 - 1)),
    "data.simulated_style": Knob(_word(*STYLES)),
    "data.variant": Knob(_word(*VARIANTS), in_use=False),
    "data.length": Knob(_whole(1), in_use=False),
    "data.pad": Knob(_word("right", "left"), in_use=False),
    "data.statistics": Knob(_word("record", "crop"), in_use=False),
    "data.leads": Knob(_LEADS, in_use=False),
    "data.only_databases": Knob(_databases()),
    "data.except_databases": Knob(_databases()),
    "data.leave_out": Knob(_databases()),
    "data.train_list": Knob(_PATH),
    "data.validation_list": Knob(_PATH),
    "data.test_list": Knob(_PATH),
    "data.train_folds": Knob(_FOLDS),
    "data.validation_folds": Knob(_FOLDS),
    "data.test_folds": Knob(_FOLDS),
    "data.workers": Knob(_whole(0), on_resume=True),
    "train.batch_size": Knob(_whole(1)),
    "train.epochs": Knob(_whole(1), on_resume=True),
    "train.steps": Knob(_unset_or(_whole(1)), on_resume=True),
    "train.optimizer": Knob(_word("adam", "sgd")),
    "train.learning_rate": Knob(_number(above=0)),
    "train.schedule": Knob(_word("step", "plateau")),
    "train.drop_factor": Knob(_number(above=0, high=1)),
    "train.drop_epochs": Knob(_whole(0)),
    "train.plateau_patience": Knob(_whole(0)),
    "train.plateau_lowest": Knob(_number(low=0, high=1)),
    "train.stop_patience": Knob(_whole(0)),
    "train.monitor": Knob(_word(*MONITORED)),
    "train.clip_norm": Knob(_number(low=0)),
    "train.accumulate_steps": Knob(_whole(1)),
    "train.ema_decay": Knob(_number(low=0, below=1)),
    "train.skip_not_finite": Knob(_whole(0), on_resume=True),
    "train.log_every_steps": Knob(_whole(0), on_resume=True),
    "train.checkpoint_every_steps": Knob(_whole(0), on_resume=True),
    "loss.name": Knob(_word("bce", "focal", "asymmetric", "isibrno")),
    "loss.pos_weight": Knob(_word("none", "balanced")),
    "loss.mask_unannotated": Knob(_switch()),
    "loss.focal_gamma": Knob(_number(low=0)),
    "loss.focal_alpha": Knob(_number(low=0, high=1)),
    "loss.asymmetric_gamma_positive": Knob(_number(low=0)),
    "loss.asymmetric_gamma_negative": Knob(_number(low=0)),
    "loss.asymmetric_margin": Knob(_number(low=0, below=1)),
    "augment.time_shift_s": Knob(_number(low=0)),
    "augment.amplitude": Knob(_number(low=0, high=1)),
    "augment.wander": Knob(_number(low=0)),
    "augment.noise": Knob(_number(low=0)),
    "augment.lead_sets": Knob(_LEAD_SETS),
    "augment.lead_drop": Knob(_number(low=0, below=1)),
    "augment.mixup": Knob(_number(low=0)),
    "eval.batch_size": Knob(_whole(1), on_resume=True),
    "eval.windows": Knob(_word("all", "first", "random")),
    "eval.thresholds": Knob(_word(*METHODS)),
    "eval.other_records": Knob(_switch()),
    "eval.seen_records": Knob(_switch(), on_resume=True),
    "eval.bootstrap_replicates": Knob(_whole(1)),
    "parallel.mode": Knob(_word("auto", "jit", "pmap"), on_resume=True),
    "parallel.batch_statistics": Knob(_word("global", "device")),
    "parallel.coordinator": Knob(_unset_or(_text("address:port of process 0"))),
    "parallel.num_processes": Knob(_unset_or(_whole(1))),
    "parallel.process_id": Knob(_unset_or(_whole(0))),
}
"""Every knob of configs/default.py, by its dotted name."""
