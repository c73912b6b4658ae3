"""The report of one split's predictions: every number that a paper or a reader asks for."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from resunet_lc_jax.measures import metrics
from resunet_lc_jax.measures.calibration import Temperatures
from resunet_lc_jax.measures.class_report import describe_classes
from resunet_lc_jax.measures.groups import annotated_only, by_group
from resunet_lc_jax.measures.intervals import FEWEST
from resunet_lc_jax.measures.measured import SHARES, measure
from resunet_lc_jax.measures.metrics import CLASS_METRICS, MACRO_METRICS
from resunet_lc_jax.measures.predictions import Predictions
from resunet_lc_jax.measures.selective import risk_coverage
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.splits.folds import PATIENTS_UNKNOWN

GROUPS = {"databases": "database", "sexes": "sex", "ages": "age"}
_PART_COLUMNS = ("auroc", "auprc", "f_measure", "challenge_metric", "hamming_loss")


def build_report(
    predictions: Predictions,
    *,
    replicates: int = 1000,
    about: Mapping[str, Any] | None = None,
    temperatures: Temperatures | None = None,
) -> dict[str, Any]:
    """Measures a split's predictions.

    Args:
      predictions: of the split.
      replicates: of the bootstrap over patients.
      about: what made them: run, network, checkpoint, step, split, rule of thresholds and so on.
      temperatures: of the run, for its calibration before and after them.

    Returns:
      A dict that `files.write_json` takes: the keys of `metrics.score`, and beside them
      - about, records, patients, replicates;
      - intervals: 95 % interval [low, high] of each of `metrics.MACRO_METRICS`;
      - few_positives: the classes with fewer than `intervals.FEWEST` positives, by patients;
      - classes: by abbreviation, see `class_report.describe_classes`;
      - databases, sexes, ages: by name, see `groups.by_group`; only what the predictions carry;
      - annotated_only: see `groups.annotated_only`;
      - risk_coverage: see `selective.risk_coverage`;
      - confusion: [26 labels, 26 decisions], see `metrics.co_occurrence`;
      - missed: [26 labels, 26 decisions], see `metrics.wrong_where_missed`.

    Raises:
      ValueError: there are no records, or arrays that `metrics.check` refuses.
    """
    if not len(predictions.record_id):
        raise ValueError("there are no records to evaluate; is the split's fold empty?")
    labels, scores, decisions = metrics.check(
        predictions.labels, predictions.scores, predictions.decisions
    )
    checked = replace(predictions, labels=labels, scores=scores, decisions=decisions)
    measured = measure(labels, scores, decisions, predictions.patient_id, replicates=replicates)
    return {
        **measured.scores,
        "about": dict(about or {}),
        "records": len(labels),
        "patients": len(np.unique(predictions.patient_id)),
        "replicates": replicates,
        "intervals": {key: [of.low, of.high] for key, of in measured.macro.items()},
        "few_positives": [name for k, name in enumerate(CLASS_NAMES) if measured.few[k]],
        "classes": describe_classes(checked, measured, temperatures),
        **by_group(checked, replicates),
        "annotated_only": annotated_only(checked),
        "risk_coverage": risk_coverage(labels, scores, decisions, predictions.thresholds),
        "confusion": metrics.co_occurrence(labels, decisions).tolist(),
        "missed": metrics.wrong_where_missed(labels, decisions).tolist(),
    }


def counted(report: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Returns how many records a report is of, and of how many patients where these are known."""
    unknown = about.get("patients_unknown")
    of = f"({PATIENTS_UNKNOWN})" if unknown else f"of {report['patients']:,} patients"
    return f"{report['records']:,} records {of}"


def over(about: Mapping[str, Any]) -> str:
    """Returns whom the bootstrap draws, as captions say it."""
    return (
        f"over records ({PATIENTS_UNKNOWN})" if about.get("patients_unknown") else "over patients"
    )


def format_report(report: Mapping[str, Any], *, title: str) -> str:
    """Lays out a report of `build_report` as tables for the screen.

    Args:
      report: of `build_report`.
      title: of the first line, such as 'resunet_lc, test'.
    """
    about = report["about"]
    lines = [
        f"{title}: {counted(report, about)}",
        f"  {'':18} {'value':>7}   95 % interval {over(about)}",
    ]
    for key in MACRO_METRICS:
        low, high = report["intervals"][key]
        lines.append(f"  {key:18} {report[key]:7.3f}   {low:.3f} to {high:.3f}")
    return "\n".join(lines + _class_tables(report) + _group_tables(report))


def _class_tables(report: Mapping[str, Any]) -> list[str]:
    header = "".join(f"{name:>23}" for name in ("AUROC", "AUPRC", "F1"))
    lines = ["", f"  {'class':8}{'positives':>10}{'threshold':>11}{header}{'ECE':>8}{'slope':>8}"]
    untrusted = report.get("about", {}).get("untrusted", {})
    for name, entry in report["classes"].items():
        cells = "".join(f"{cell(entry[key], entry['intervals'][key]):>23}" for key in CLASS_METRICS)
        of = entry["calibration"]
        lines.append(
            f"  {name + '?' * (name in untrusted):8}{entry['positives']:9,}"
            f"{'*' if entry['few_positives'] else ' '}"
            f"{_threshold(entry):>11}{cells}{of['error']:8.3f}{cell(of['slope'], digits=2):>8}"
        )
    if report["few_positives"]:
        lines.append(f"  * fewer than {FEWEST} positives (patients with the class): no interval")
    counts = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    header = "".join(f"{name:>8}" for name in ("TP", "FP", "FN", "TN"))
    header += "".join(f"{name:>21}" for name in ("sensitivity", "specificity", "PPV", "NPV"))
    lines += ["", f"  {'class':8}{header}"]
    for name, entry in report["classes"].items():
        numbers = "".join(f"{entry[key]:8,}" for key in counts)
        cells = "".join(f"{cell(entry[key], entry['intervals'][key]):>21}" for key in SHARES)
        starred = f"{name}{'*' * entry['few_positives']}"
        lines.append(f"  {starred:8}{numbers}{cells}")
    return lines


def _threshold(entry: Mapping[str, Any]) -> str:
    each = entry.get("thresholds", [entry["threshold"]])
    return "-".join(f"{value:.3f}" for value in dict.fromkeys((each[0], each[-1])))


def _group_tables(report: Mapping[str, Any]) -> list[str]:
    kinds = [(kind, heading) for kind, heading in GROUPS.items() if kind in report]
    return [f"\n{format_parts(report[kind], heading)}" for kind, heading in kinds]


def format_parts(entries: Mapping[str, Mapping[str, Any]], heading: str) -> str:
    """Lays out macro metrics with their intervals, a line an entry.

    Args:
      entries: reports, or parts of one, by name.
      heading: what the names are of.
    """
    header = "".join(f"{key:>20}" for key in _PART_COLUMNS)
    lines = [f"  {heading:16}{'records':>8}{header}"]
    for name, entry in entries.items():
        cells = (cell(entry[key], entry["intervals"][key]) for key in _PART_COLUMNS)
        lines.append(f"  {name[:16]:16}{entry['records']:8,}" + "".join(f"{c:>20}" for c in cells))
    return "\n".join(lines)


def cell(value: float, bounds: Sequence[float] = (), *, digits: int = 3) -> str:
    """A number and its interval as tables show them; '-' for NaN."""
    if math.isnan(value):
        return "-"
    known = len(bounds) and not math.isnan(bounds[0])
    if not known:
        return f"{value:.{digits}f}"
    dash = "-" if bounds[0] >= 0 else " to "
    return f"{value:.{digits}f} ({bounds[0]:.{digits}f}{dash}{bounds[1]:.{digits}f})"
