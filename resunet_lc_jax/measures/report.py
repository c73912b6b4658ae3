"""The evaluation report of one split: every metric with its interval, by class and by source."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resunet_lc_jax.measures import metrics
from resunet_lc_jax.measures.calibration import reliability
from resunet_lc_jax.measures.intervals import FEWEST
from resunet_lc_jax.measures.measured import measure
from resunet_lc_jax.measures.metrics import CLASS_METRICS
from resunet_lc_jax.measures.predictions import Predictions
from resunet_lc_jax.measures.ranking import rank
from tfds_physionet.diagnoses import CLASS_NAMES

# Points kept of a precision-recall curve; a screen shows no more.
_CURVE_POINTS = 200


def build_report(predictions: Predictions, *, replicates: int = 1000) -> dict[str, Any]:
    """Measures a split's predictions.

    Args:
      predictions: of the split.
      replicates: of the bootstrap over patients.

    Returns:
      A dict that `files.write_json` takes: the keys of `metrics.score`, and beside them
      - records, patients, replicates;
      - intervals: 95 % interval [low, high] of each of `metrics.MACRO_METRICS`;
      - few_positives: the classes with fewer than `intervals.FEWEST` positives, by patients;
      - classes: by abbreviation: positives, few_positives, threshold, the three `CLASS_METRICS`,
        their intervals (NaN where there are few positives), calibration (error and bins, see
        `calibration.Reliability`) and precision_recall (recall, precision, score), at most 200
        points of the curve;
      - databases: by name: records, the macro metrics, and classes (positives, `CLASS_METRICS`);
      - confusion: [26 labels, 26 decisions], see `metrics.co_occurrence`.

    Raises:
      ValueError: there are no records, or arrays that `metrics.check` refuses.
    """
    if not len(predictions.record_id):
        raise ValueError("there are no records to evaluate; is the split's fold empty?")
    labels, scores, decisions = metrics.check(
        predictions.labels, predictions.scores, predictions.decisions
    )
    measured = measure(labels, scores, decisions, predictions.patient_id, replicates=replicates)
    calibration = reliability(labels, scores)
    classes = {}
    for k, name in enumerate(CLASS_NAMES):
        classes[name] = {
            "positives": int(labels[:, k].sum()),
            "few_positives": bool(measured.few[k]),
            "threshold": float(predictions.thresholds[k]),
            **{key: measured.scores[f"{key}_classes"][k] for key in CLASS_METRICS},
            "intervals": {
                key: [float(measured.low[key][k]), float(measured.high[key][k])]
                for key in CLASS_METRICS
            },
            "calibration": {
                "error": float(calibration.error[k]),
                "records": calibration.counts[k].tolist(),
                "mean_score": calibration.mean_score[k].tolist(),
                "share": calibration.share[k].tolist(),
            },
            "precision_recall": _precision_recall(labels[:, k], scores[:, k]),
        }
    return {
        **measured.scores,
        "records": len(labels),
        "patients": len(np.unique(predictions.patient_id)),
        "replicates": replicates,
        "intervals": {key: [of.low, of.high] for key, of in measured.macro.items()},
        "few_positives": [name for k, name in enumerate(CLASS_NAMES) if measured.few[k]],
        "classes": classes,
        "databases": {
            str(name): _of_database(predictions.take(np.asarray(predictions.database) == name))
            for name in np.unique(predictions.database)
        },
        "confusion": metrics.co_occurrence(labels, decisions).tolist(),
    }


def _of_database(predictions: Predictions) -> dict[str, Any]:
    measured = metrics.score(predictions.labels, predictions.scores, predictions.decisions)
    positives = predictions.labels.sum(axis=0)
    return {
        "records": len(predictions.record_id),
        **{key: measured[key] for key in metrics.MACRO_METRICS},
        "classes": {
            name: {
                "positives": int(positives[k]),
                **{key: measured[f"{key}_classes"][k] for key in CLASS_METRICS},
            }
            for k, name in enumerate(CLASS_NAMES)
        },
    }


def _precision_recall(labels: np.ndarray, scores: np.ndarray) -> dict[str, list[float]]:
    """The curve at scores of positives, by falling score."""
    ranking = rank(labels, scores)
    distinct = np.unique(scores[labels])[::-1]
    found = np.cumsum(ranking.positives[::-1])
    taken = len(labels) - ranking.below[::-1]
    count = len(distinct)
    kept = np.unique(np.linspace(0, count - 1, min(count, _CURVE_POINTS)).round().astype(int))
    recall, precision = found[kept] / max(int(labels.sum()), 1), found[kept] / taken[kept]
    return {
        "recall": recall.tolist(),
        "precision": precision.tolist(),
        "score": distinct[kept].astype(float).tolist(),
    }


def format_report(report: Mapping[str, Any], *, title: str) -> str:
    """Lays out a report of `build_report` as tables for the screen.

    Args:
      report: of `build_report`.
      title: of the first line, such as 'resunet_lc, test'.
    """
    lines = [
        f"{title}: {report['records']:,} records of {report['patients']:,} patients",
        f"  {'':18} {'value':>7}   95 % interval over patients",
    ]
    for key in metrics.MACRO_METRICS:
        low, high = report["intervals"][key]
        lines.append(f"  {key:18} {report[key]:7.3f}   {low:.3f} to {high:.3f}")
    header = "".join(f"{name:>23}" for name in ("AUROC", "AUPRC", "F1"))
    lines += ["", f"  {'class':8}{'positives':>10}{'threshold':>11}{header}{'ECE':>8}"]
    for name, entry in report["classes"].items():
        cells = "".join(
            f"{_cell(entry[key], entry['intervals'][key]):>23}" for key in CLASS_METRICS
        )
        lines.append(
            f"  {name:8}{entry['positives']:9,}{'*' if entry['few_positives'] else ' '}"
            f"{entry['threshold']:11.3f}"
            f"{cells}{entry['calibration']['error']:8.3f}"
        )
    if report["few_positives"]:
        lines.append(f"  * fewer than {FEWEST} positives (patients with the class): no interval")
    columns = ("auroc", "auprc", "f_measure", "challenge_metric", "hamming_loss")
    lines += ["", f"  {'database':22}{'records':>9}" + "".join(f"{key:>18}" for key in columns)]
    for name, entry in report["databases"].items():
        cells = "".join(f"{_cell(entry[key]):>18}" for key in columns)
        lines.append(f"  {name:22}{entry['records']:9,}{cells}")
    return "\n".join(lines)


def _cell(value: float, bounds: Sequence[float] = ()) -> str:
    if np.isnan(value):
        return "-"
    known = len(bounds) and not np.isnan(bounds[0])
    return f"{value:.3f}" + (f" ({bounds[0]:.3f}-{bounds[1]:.3f})" if known else "")
