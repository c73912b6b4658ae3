"""What the knobs of a config may be together, as far as the values alone tell."""

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any

from resunet_lc_jax.data.leads import LEAD_SETS
from resunet_lc_jax.data.selection import database_names
from resunet_lc_jax.data.sources import VARIANTS
from resunet_lc_jax.runs.knobs import KNOBS

Values = Mapping[str, Any]
_LISTS = ("data.train_list", "data.validation_list", "data.test_list")
_FOLDS = ("data.train_folds", "data.validation_folds", "data.test_folds")
_PROCESSES = ("parallel.coordinator", "parallel.num_processes", "parallel.process_id")


def faults(values: Values) -> list[str]:
    """Returns all that is wrong with a config's values, a sentence each.

    Args:
      values: By dotted name, as `flat.flatten` gives them.
    """
    wrong = {name for name, knob in KNOBS.items() if not knob.kind.fits(values.get(name))}
    found = [
        f"config.{name} is {values.get(name)!r}; choose {KNOBS[name].kind.allowed}"
        for name in KNOBS
        if name in wrong
    ]
    found += [f"config.{name} is no knob of configs/default.py" for name in values.keys() - KNOBS]
    for names, problems in _RULES.items():
        if not wrong & set(names):
            found += problems(values)
    return found


def _parts(v: Values) -> Iterator[str]:
    size, parts = v["train.batch_size"], v["train.accumulate_steps"]
    if size % parts:
        yield (
            f"config.train.batch_size is {size}, which {parts} parts "
            f"(config.train.accumulate_steps) do not divide; choose a multiple of {parts}"
        )


def _pairs(v: Values) -> Iterator[str]:
    size = v["train.batch_size"]
    if v["augment.mixup"] > 0 and size % 2:
        yield (
            f"config.augment.mixup pairs the rows of a batch, but config.train.batch_size is "
            f"{size}; choose an even one, or mixup 0"
        )


def _weighting(v: Values) -> Iterator[str]:
    if v["loss.pos_weight"] != "none" and v["loss.name"] in ("focal", "asymmetric"):
        yield (
            f"config.loss.pos_weight is {v['loss.pos_weight']!r}, which the {v['loss.name']} loss "
            "does not take; choose 'none', or the loss 'bce' or 'isibrno'"
        )


def _lead_sets(v: Values) -> Iterator[str]:
    for size in v["augment.lead_sets"]:
        if missing := [lead for lead in LEAD_SETS[size] if lead not in v["data.leads"]]:
            yield (
                f"config.augment.lead_sets is {tuple(v['augment.lead_sets'])}; the set of {size} "
                f"leads needs {', '.join(missing)}, which config.data.leads leaves out"
            )


def _shift(v: Values) -> Iterator[str]:
    crop_s = v["data.length"] / VARIANTS[v["data.variant"]].sampling_rate
    if v["augment.time_shift_s"] >= crop_s:
        yield (
            f"config.augment.time_shift_s is {v['augment.time_shift_s']}; choose less than a crop, "
            f"which is {crop_s:g} s (config.data.length)"
        )


def _selection(v: Values) -> Iterator[str]:
    lists = [name for name in _LISTS if v[name] is not None]
    needed = [name for name in (_LISTS[0], _LISTS[2]) if name not in lists]
    if lists and needed:
        given = " and ".join(f"config.{name}" for name in lists)
        verb = "is" if len(lists) == 1 else "are"
        yield f"{given} {verb} given, but {' and '.join(f'config.{n}' for n in needed)} not"
    if lists and v["data.leave_out"]:
        yield "give config.data.leave_out or lists of records, not both"
    if lists or v["data.leave_out"]:
        if v["data.always_train"]:
            yield "config.data.always_train goes with folds alone; unset it, or leave_out and lists"
        return
    for one, other in combinations(_FOLDS, 2):
        if shared := set(v[one]) & set(v[other]):
            yield (
                f"fold {min(shared)} is in config.{one} and in {other.partition('.')[2]}; a record "
                "serves only one of training, validation (best epoch, thresholds) and test"
            )


def _named(v: Values) -> Iterator[str]:
    only, without, left_out = (
        set(database_names(v[f"data.{name}"]))
        for name in ("only_databases", "except_databases", "leave_out")
    )
    for name in sorted(only & without):
        yield f"{name} is in config.data.only_databases and in except_databases; choose one"
    for name in sorted(left_out & without):
        yield f"{name} is in config.data.leave_out and in except_databases; choose one"
    for name in sorted(left_out - only if only else ()):
        yield f"config.data.leave_out names {name}, which config.data.only_databases lacks"


def _statistics(v: Values) -> Iterator[str]:
    if v["parallel.batch_statistics"] == "device" and v["parallel.mode"] == "jit":
        yield (
            "config.parallel.batch_statistics='device' is there under pmap alone, and "
            "config.parallel.mode is 'jit'"
        )


def _processes(v: Values) -> Iterator[str]:
    given = tuple(v[name] for name in _PROCESSES)
    count, number = given[1:]
    if any(value is None for value in given) and any(value is not None for value in given):
        yield (
            "config.parallel.coordinator, num_processes and process_id go together: "
            f"there are {given}"
        )
    if count is None:
        return
    if number is not None and number >= count:
        yield f"config.parallel.process_id is {number}; choose one of 0 to {count - 1}"
    if count > 1 and v["parallel.mode"] == "pmap":
        yield "config.parallel.mode='pmap' serves one process; leave it at 'auto'"
    if v["train.batch_size"] % count:
        yield (
            f"config.train.batch_size is {v['train.batch_size']}, which {count} processes do not "
            f"divide; choose a multiple of {count}"
        )


_RULES: dict[tuple[str, ...], Callable[[Values], Iterator[str]]] = {
    ("train.batch_size", "train.accumulate_steps"): _parts,
    ("train.batch_size", "augment.mixup"): _pairs,
    ("loss.pos_weight", "loss.name"): _weighting,
    ("augment.lead_sets", "data.leads"): _lead_sets,
    ("augment.time_shift_s", "data.length", "data.variant"): _shift,
    (*_LISTS, *_FOLDS, "data.leave_out", "data.always_train"): _selection,
    ("data.only_databases", "data.except_databases", "data.leave_out"): _named,
    ("parallel.batch_statistics", "parallel.mode"): _statistics,
    (*_PROCESSES, "parallel.mode", "train.batch_size"): _processes,
}
"""The knobs that are looked at together, and what finds their problems."""
