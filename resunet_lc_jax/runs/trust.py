"""Which classes of a network no reader should trust: by its figures on real records."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from resunet_lc_jax.runs.kept_thresholds import Checkpoint
from resunet_lc_jax.runs.kind import SHIPPED
from resunet_lc_jax.runs.weights import CARD
from tfds_physionet.files import read_values

LEAST_AUROC = 0.7
NOT_TRUSTED = f"not to be trusted (AUROC below {LEAST_AUROC} on real records, or not known there)"
Untrusted = Mapping[str, str]
"""Why a class is not to be trusted, by its abbreviation; the others are not in it."""


def of_simulated(report: Mapping[str, Any]) -> bool:
    """Whether all records of a report are simulated."""
    return all(name.startswith("simulated") for name in report.get("databases", {}))


def judge(report: Mapping[str, Any]) -> Untrusted:
    """Judges the classes of a report on real records, see `report.build_report`.

    A class is not to be trusted where its AUROC is below `LEAST_AUROC`, and where too few patients
    have it for the report to tell.
    """
    found = {}
    for name, entry in report["classes"].items():
        positives, auroc = entry["positives"], entry["auroc"]
        if entry["few_positives"] or auroc is None or math.isnan(auroc):
            found[name] = f"not known, with {positives:,} positives among the real records"
        elif auroc < LEAST_AUROC:
            found[name] = f"AUROC {auroc:.3f} on real records, of which {positives:,} have it"
    return found


def read_untrusted(workdir: Path, checkpoint: Checkpoint) -> Untrusted:
    """Returns what a shipped network's card says, or a run's own report on its test records.

    Nothing is known, and {} returned, where that report is of simulated records, of another
    checkpoint or not there.

    Raises:
      ValueError: The card or the report is damaged.
    """
    if (workdir / SHIPPED.mark).is_file():
        return dict(read_values(workdir / CARD)["untrusted"])
    path = workdir / "evaluation" / "test.json"
    report = read_values(path, remedy="evaluate the run again") if path.is_file() else {}
    own = report.get("about", {}).get("checkpoint") == checkpoint.hash
    return judge(report) if own and not of_simulated(report) else {}


def format_untrusted(names: Iterable[str]) -> str:
    """A sentence on classes that are not to be trusted."""
    return f"{NOT_TRUSTED}: {', '.join(names)}"
