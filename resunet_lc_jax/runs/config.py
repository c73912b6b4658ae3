"""A run's config: checked, stored as config.json, and read again by later versions."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from resunet_lc_jax.runs.combinations import faults
from resunet_lc_jax.runs.flat import flatten
from resunet_lc_jax.runs.kind import RUN, SHIPPED, expect
from resunet_lc_jax.runs.knobs import KNOBS
from tfds_physionet.files import read_values, write_json

NO_RECORDS = """no records were given. Either train on the Challenge's own:
  python -m tfds_physionet.prepare --download --data_dir=DIR     fetches them (about 6 GB), then
  python main.py --config=configs/default.py --config.data.records=DIR --workdir=W
or see everything work on embedded simulated records, in minutes:
  python main.py --config=configs/quickstart.py --workdir=W"""

CHANGEABLE = tuple(name for name, knob in KNOBS.items() if knob.on_resume)
"""Knobs that a run may be taken up again with another value of."""

_FILE = "config.json"
_OF_ONE_START = ("parallel.coordinator", "parallel.num_processes", "parallel.process_id")

OF_ONE_PROCESS = (*_OF_ONE_START, "compilation_cache", "data.workers")
"""Knobs that each of several processes may have its own value of."""


def check_config(config: ConfigDict, *, where: str = "the config") -> None:
    """Checks every knob by the table; `where` is what the message calls the config.

    Raises:
      ValueError: Knobs or combinations of them are wrong; the message has a line for each.
    """
    if not (found := faults(flatten(config.to_dict()))):
        return
    if len(found) == 1:
        raise ValueError(found[0])
    raise ValueError(f"{len(found)} things are wrong in {where}:\n  " + "\n  ".join(found))


def check_files(config: ConfigDict) -> None:
    """Checks that the files that a config names are there, before minutes are spent.

    Raises:
      ValueError: The config names no records.
      FileNotFoundError: A folder or file is not there; the message has a line for each.
    """
    if config.data.records is None:
        raise ValueError(NO_RECORDS)
    missing = []
    if config.data.records != "simulated" and not _path(config.data.records).is_dir():
        missing.append(f"config.data.records is {config.data.records}; there is no such folder")
    for name in ("patients", "train_list", "validation_list", "test_list"):
        if (file := config.data[name]) is not None and not _path(file).is_file():
            missing.append(f"config.data.{name} is {file}; there is no such file")
    if missing:
        raise FileNotFoundError("\n  ".join(missing))


def _path(text: str) -> Path:
    return Path(text).expanduser()


def store_config(workdir: Path, config: ConfigDict) -> None:
    """Writes a run's config.json, whole or not at all."""
    write_json(workdir / _FILE, config.to_dict())


def load_config(
    workdir: Path, default: ConfigDict, *, say: Callable[[str], None] | None = None
) -> ConfigDict:
    """Reads a run's config; knobs that it does not know yet keep their default.

    So do those that say which processes there were: they were of one start of the run.

    Args:
      workdir: The run's folder.
      default: configs/default.py's config.
      say: Takes one line if something was translated from an earlier version.

    Raises:
      FileNotFoundError: There is no run in the folder.
      ValueError: The file is damaged, or holds what this version does not know.
    """
    path = workdir / _FILE
    if not path.is_file():
        _check_complete(workdir)
        raise FileNotFoundError(f"{workdir} holds no run: there is no {_FILE} in it")
    stored = read_values(path, what="knobs")
    values, notes = _translated(flatten(stored), path)
    config = default.copy_and_resolve_references()
    for name in values.keys() - set(_OF_ONE_START):
        if not (kind := KNOBS[name].kind).fits(values[name]):
            raise ValueError(f"{path}: config.{name} is {values[name]!r}; choose {kind.allowed}")
        config.update_from_flattened_dict({name: values[name]})
    if notes and say is not None:
        say(f"{path}: {'; '.join(notes)}")
    return config


def load_for_use(
    workdir: Path,
    default: ConfigDict,
    changes: Mapping[str, Any],
    *,
    say: Callable[[str], None] | None = None,
) -> ConfigDict:
    """Reads the config of a run that is to be evaluated or applied.

    Args:
      workdir: The run's folder.
      default: As in `load_config`.
      changes: The command's own values, by dotted name.
      say: As in `load_config`.

    Raises:
      ValueError: As `load_config`; or the folder holds no run but something else, or a change
        would make another network of it, or is wrong.
    """
    expect(workdir, RUN, SHIPPED)
    config = load_config(workdir, default, say=say)
    own = flatten(config.to_dict())
    config.update_from_flattened_dict(dict(changes))
    check_config(config, where=f"the config of {workdir}")
    given = flatten(config.to_dict())
    if other := [n for n, k in KNOBS.items() if not k.in_use and given[n] != own[n]]:
        listing = ", ".join(f"config.{n} ({own[n]!r} there, {given[n]!r} given)" for n in other)
        raise ValueError(f"{workdir} holds a run of another network: {listing}; leave that out")
    return config


def with_records_of(config: ConfigDict, other: ConfigDict) -> ConfigDict:
    """Returns a config that asks for the records and splits of another, in its own form."""
    given, changed = flatten(other.to_dict()), config.copy_and_resolve_references()
    names = [name for name, knob in KNOBS.items() if name.startswith("data.") and knob.in_use]
    changed.update_from_flattened_dict({name: given[name] for name in names})
    return changed


def check_resumable(workdir: Path, config: ConfigDict) -> None:
    """Checks that a folder holds no run, or one that this config takes up again.

    Raises:
      ValueError: The folder holds a run whose config differs in more than `CHANGEABLE`, or is
        gone.
    """
    if not (workdir / _FILE).is_file():
        _check_complete(workdir)
        return
    stored = flatten(load_config(workdir, config).to_dict())
    given = flatten(config.to_dict())
    changeable = {*CHANGEABLE, *_OF_ONE_START}
    if stored["data.records"] is None:  # imported weights: no records were needed
        changeable.add("data.records")
    if differing := [k for k in given if stored[k] != given[k] and k not in changeable]:
        listing = ", ".join(f"{k} ({stored[k]!r} there)" for k in differing)
        raise ValueError(
            f"{workdir} holds a run of another config: {listing}; "
            "give the same values or another --workdir"
        )


def _check_complete(workdir: Path) -> None:
    """Raises ValueError if the config of a folder with checkpoints is gone."""
    if any(path.name.isdigit() for path in (workdir / "checkpoints").glob("*")):
        raise ValueError(
            f"{workdir / _FILE} is gone, and there are checkpoints: put it back (each start's "
            "command is in provenance.json), or give another --workdir"
        )


def _translated(values: dict[str, Any], path: Path) -> tuple[dict[str, Any], list[str]]:
    """Takes a stored config's values to the knobs of this version, and says what it changed."""
    notes = []
    if values.pop("eval.crop", "fixed") == "random":
        values["eval.windows"] = "random"
        notes.append("eval.crop='random' is eval.windows='random' now")
    if values.get("eval.thresholds") == "f1_grid":
        values["eval.thresholds"] = "f1"
        notes.append("eval.thresholds='f1_grid' is 'f1' now, and the run's own thresholds stay")
    for name in ("loss.challenge_weight", "loss.sparsity_weight"):
        if (factor := values.pop(name, 1)) != 1 and values.get("loss.name") == "isibrno":
            raise ValueError(
                f"{path}: config.{name} is {factor}; in this version it is always 1. Use the "
                "version that wrote the run (its commit is in provenance.json)"
            )
    if unknown := sorted(values.keys() - KNOBS):
        raise ValueError(
            f"{path}: this version knows no config.{unknown[0]}; use the version that wrote the "
            "run (its commit is in provenance.json), or take the line out"
        )
    return values, notes
