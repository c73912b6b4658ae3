"""What a report says of one class: counts, shares, areas, calibration, curve."""

from typing import Any

import numpy as np

from resunet_lc_jax.measures import calibration
from resunet_lc_jax.measures.calibration import Reliability, Temperatures
from resunet_lc_jax.measures.intervals import wilson
from resunet_lc_jax.measures.measured import Measured
from resunet_lc_jax.measures.predictions import Predictions
from resunet_lc_jax.measures.ranking import rank
from tfds_physionet.diagnoses import CLASS_NAMES

SPECIFICITIES = (0.90, 0.95)
# Points kept of a precision-recall curve; a screen shows no more.
_CURVE_POINTS = 200


def describe_classes(
    predictions: Predictions, measured: Measured, temperatures: Temperatures | None
) -> dict[str, dict[str, Any]]:
    """Describes each class.

    Args:
      predictions: of the split, labels and decisions bool.
      measured: of the same.
      temperatures: of the run, for calibration after them.

    Returns:
      By abbreviation: positives, prevalence, few_positives, threshold (NaN where several made the
      decisions, which are listed under thresholds), true_positives, false_positives,
      false_negatives, true_negatives, `SHARES`, sensitivity at 90 and 95 % specificity,
      `CLASS_METRICS`, intervals of these, calibration and precision_recall.
    """
    labels, scores, decisions = predictions.labels, predictions.scores, predictions.decisions
    before = _calibration(labels, scores)
    after = None
    if temperatures is not None:
        after = _calibration(labels, temperatures.apply(scores))
    classes: dict[str, dict[str, Any]] = {}
    for k, name in enumerate(CLASS_NAMES):
        label, decided = labels[:, k], decisions[:, k]
        at, at_intervals = _at_specificities(label, scores[:, k])
        of_calibration = dict(before[k])
        if after is not None and temperatures is not None:
            of_calibration["temperature"] = float(temperatures.values[k])
            of_calibration["after"] = after[k]
        own = measured.of_class(k, shares=True)
        classes[name] = own | {
            "positives": int(label.sum()),
            "prevalence": float(label.mean()),
            **_thresholds(predictions.thresholds[..., k]),
            "true_positives": int((label & decided).sum()),
            "false_positives": int((~label & decided).sum()),
            "false_negatives": int((label & ~decided).sum()),
            "true_negatives": int((~label & ~decided).sum()),
            **at,
            "intervals": own["intervals"] | at_intervals,
            "calibration": of_calibration,
            "precision_recall": _precision_recall(label, scores[:, k]),
        }
    return classes


def _thresholds(values: np.ndarray) -> dict[str, Any]:
    """The threshold of a class; of folds with their own none, but a list of them."""
    each = np.unique(values)
    if len(each) == 1:
        return {"threshold": float(each[0])}
    return {"threshold": float("nan"), "thresholds": each.tolist()}


def _at_specificities(
    labels: np.ndarray, scores: np.ndarray
) -> tuple[dict[str, float], dict[str, list[float]]]:
    """The best sensitivity at given specificities, by the cut that these records need for them."""
    positive, negative = scores[labels], np.sort(scores[~labels])
    values, bounds = {}, {}
    for specificity in SPECIFICITIES:
        key = f"sensitivity_at_{100 * specificity:.0f}_specificity"
        share = float("nan")
        if len(positive) and len(negative):
            # So many negatives must lie below the cut; those that tie with it do not.
            below = int(np.ceil(specificity * len(negative) - 1e-9))
            share = float((positive > negative[below - 1]).mean())
        low, high = wilson(np.array(share), np.array(len(positive)))
        values[key], bounds[key] = share, [float(low), float(high)]
    return values, bounds


def _calibration(labels: np.ndarray, scores: np.ndarray) -> list[dict[str, Any]]:
    found: Reliability = calibration.reliability(labels, scores)
    brier = calibration.brier(labels, scores)
    entries = []
    for k in range(labels.shape[1]):
        line = calibration.line(labels[:, k], scores[:, k])
        entries.append(
            {
                "error": float(found.error[k]),
                "debiased_error": float(found.debiased[k]),
                "brier": float(brier[0][k]),
                "slope": line.slope,
                "intercept": line.intercept,
                "intervals": {
                    "debiased_error": [float(found.debiased_low[k]), float(found.debiased_high[k])],
                    "brier": [float(brier[1][k]), float(brier[2][k])],
                    "slope": list(line.slope_interval),
                    "intercept": list(line.intercept_interval),
                },
                "records": found.counts[k].tolist(),
                "mean_score": found.mean_score[k].tolist(),
                "share": found.share[k].tolist(),
                "share_low": found.low[k].tolist(),
                "share_high": found.high[k].tolist(),
            }
        )
    return entries


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
