"""How a run came about, for its model card: the flow of its records, its training."""

import csv
import re
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from resunet_lc_jax.data.selection import SPLITS, Split
from resunet_lc_jax.data.sources import Records
from resunet_lc_jax.runs import provenance
from resunet_lc_jax.runs.open_run import OpenRun
from tfds_physionet.diagnoses import CLASS_NAMES

_KNOBS = ("model", "data", "train", "loss", "augment", "eval")  # sections of a config
_FOLDERS = re.compile(r"(^|=)[/~].*/")  # of an absolute path, or of a flag's
_CHANGING = re.compile(r"'[^']*'|\d[\d.,]*")  # what differs between reasons of one kind


def describe_records(records: Records) -> dict[str, Any]:
    """Describes from which records to which splits.

    Returns:
      fingerprint; found, excluded and remarks (by reason, how many), used, without_split; splits:
      of each records, patients, databases and sexes (how many of each), age (quartiles, unknown),
      and classes (positives, prevalence); notes.
    """
    source = provenance.data_source(records.folder)
    excluded, remarks = _listed(records.folder / "skipped.csv")
    selection = records.selection
    served = np.any([selection.rows[name] for name in SPLITS], axis=0)
    return {
        "fingerprint": source["fingerprint"],
        "found": source["records"] + source["skipped"],
        "excluded": excluded,
        "used": source["records"],
        "remarks": remarks,
        "without_split": int((~served).sum()),
        "splits": {name: _describe_split(selection.split(name)) for name in SPLITS},
        "notes": list(records.notes),
    }


def _listed(path: Path) -> tuple[dict[str, int], dict[str, int]]:
    """Reasons in skipped.csv, the commonest first: why records were left out; remarks on others."""
    excluded, remarks = Counter[str](), Counter[str]()
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            reason = _CHANGING.sub("..", row["reason"])
            if row["field"] == "remark":
                remarks[reason] += 1
            else:
                excluded[f"{row['field']}: {reason}"] += 1
    return dict(excluded.most_common()), dict(remarks.most_common())


def _describe_split(split: Split) -> dict[str, Any]:
    table = split.table
    age = table.age[~np.isnan(table.age)]
    quartiles = np.percentile(age, (25, 50, 75)).tolist() if len(age) else [np.nan] * 3
    positives = table.labels.sum(axis=0, dtype=int)
    return {
        "records": len(split),
        "patients": len(np.unique(table.patient_id)),
        "databases": dict(sorted(Counter(table.database.tolist()).items())),
        "sexes": dict(sorted(Counter(table.sex.tolist()).items())),
        "age": {"quartiles": quartiles, "unknown": int(np.isnan(table.age).sum())},
        "classes": {
            name: {"positives": int(positives[k]), "prevalence": float(positives[k] / len(split))}
            for k, name in enumerate(CLASS_NAMES)
        },
    }


def describe_training(run: OpenRun) -> dict[str, Any]:
    """Describes the network and how it was trained.

    Returns:
      parameters (how many), config (what the network, the data and the training are), starts (of
      provenance.json) and hours, from the first start to the last end as far as each start has one;
      None where one has not, as of an interrupted run.
    """
    starts = provenance.read_provenance(run.workdir).get("starts", [])
    ends = [(start["time"], start.get("ended")) for start in starts]
    hours = None
    if ends and all(end for _, end in ends):
        spans = [datetime.fromisoformat(end) - datetime.fromisoformat(at) for at, end in ends]
        hours = sum(span.total_seconds() for span in spans) / 3600
    config = run.config.to_dict()
    parameters = sum(leaf.size for leaf in jax.tree.leaves(run.variables["params"]))
    return {
        "parameters": parameters,
        "config": without_folders({name: config[name] for name in (*_KNOBS, "seed")}),
        "starts": without_folders(starts),
        "hours": hours,
    }


def without_folders(value: Any) -> Any:
    """Returns the value with names alone for absolute paths, which tell who trained where."""
    if isinstance(value, str):
        return _FOLDERS.sub(r"\1", value)
    if isinstance(value, Mapping):
        return {key: without_folders(of_key) for key, of_key in value.items()}
    return [without_folders(one) for one in value] if isinstance(value, list | tuple) else value
