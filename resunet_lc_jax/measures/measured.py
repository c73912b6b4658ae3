"""What one set of predictions is worth, with intervals: the same in every report and comparison."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from resunet_lc_jax.measures import intervals, metrics
from resunet_lc_jax.measures.bootstrap import patient_weights
from resunet_lc_jax.measures.intervals import FEWEST, Estimate
from resunet_lc_jax.measures.ranking import ratio

# What a class's decisions are worth, as shares of its positives, negatives, decided, not decided.
SHARES = ("sensitivity", "specificity", "ppv", "npv")
# The replicates that free a metric of its bias, where there are better ones than its own.
_ESTIMATES = {"auprc": "auprc_of_others"}


@dataclass(frozen=True, eq=False)
class Measured:
    """Metrics and how far they may be from the truth.

    Attributes:
      scores: of `metrics.score`.
      macro: by metric of `metrics.MACRO_METRICS`.
      shares: by name of `SHARES`, [26]; NaN where there are no trials.
      low: by metric of `metrics.CLASS_METRICS` or of `SHARES`, [26]; the former are NaN for a class
        with fewer than `intervals.FEWEST` positives, counted by patients.
      high: like low.
      few: [26] bool, those classes.
      replicates: by macro metric, [1 + R]: an estimate without bias, and its replicates.
    """

    scores: dict
    macro: dict[str, Estimate]
    shares: dict[str, np.ndarray]
    low: dict[str, np.ndarray]
    high: dict[str, np.ndarray]
    few: np.ndarray
    replicates: dict[str, np.ndarray]

    def of_class(self, k: int, *, shares: bool = False) -> dict[str, Any]:
        """few_positives, `metrics.CLASS_METRICS` and if asked for `SHARES`; intervals of these."""
        values = {key: self.scores[f"{key}_classes"][k] for key in metrics.CLASS_METRICS}
        if shares:
            values |= {key: float(of[k]) for key, of in self.shares.items()}
        bounds = {key: [float(self.low[key][k]), float(self.high[key][k])] for key in values}
        return {"few_positives": bool(self.few[k]), **values, "intervals": bounds}


def measure(
    labels: np.ndarray,
    scores: np.ndarray,
    decisions: np.ndarray,
    patient_ids: np.ndarray,
    *,
    replicates: int,
) -> Measured:
    """Measures predictions; see `intervals` for the methods.

    Args:
      labels: [N, 26] 0/1, N at least 1.
      scores: [N, 26].
      decisions: [N, 26] 0/1.
      patient_ids: [N].
      replicates: of the bootstrap over patients.

    Raises:
      ValueError: arrays that `metrics.check` refuses.
    """
    labels, scores, decisions = metrics.check(labels, scores, decisions)
    names, patient = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    # The first row is the score itself.
    once = np.ones((1, len(labels)), np.int32)
    drawn = metrics.weighted_scores(
        labels,
        scores,
        decisions,
        chain([once], patient_weights(names[patient], replicates=replicates)),
    )
    measured = metrics.first_row(drawn)
    positives = intervals.by_patient(labels, patient) > 0
    count = positives.sum(axis=0)
    few = count < FEWEST
    shares, low, high = {}, {}, {}
    for key, hits, of_all in (
        ("sensitivity", labels & decisions, labels),
        ("specificity", ~labels & ~decisions, ~labels),
        ("ppv", labels & decisions, decisions),
        ("npv", ~labels & ~decisions, ~decisions),
    ):
        shares[key], low[key], high[key] = intervals.of_shares(hits, of_all, patient)
    negatives = len(names) - count
    trials = {"auroc": ratio(2 * count * negatives, count + negatives), "auprc": count}
    for key, of_key in trials.items():
        values = drawn[f"{_ESTIMATES.get(key, key)}_classes"]
        low[key], high[key] = intervals.of_areas(
            values[0], values[1:], of_key, floor=labels.mean(axis=0) if key == "auprc" else 0.5
        )
    low["f_measure"], high["f_measure"] = intervals.of_f_measure(labels, decisions, patient)
    for key in metrics.CLASS_METRICS:
        value = np.where(few, np.nan, measured[f"{key}_classes"])
        # What is reported lies within, even where it is far from the truth by its bias.
        low[key], high[key] = np.minimum(low[key], value), np.maximum(high[key], value)
    kept = {key: drawn[key] for key in metrics.MACRO_METRICS}
    kept |= {key: metrics.macro(drawn[f"{other}_classes"]) for key, other in _ESTIMATES.items()}
    macro = {
        key: estimate(measured[key], values, signed=key == "challenge_metric")
        for key, values in kept.items()
    }
    wrong = (labels != decisions).sum(axis=1, keepdims=True)
    for key, hits, most in (("accuracy", wrong == 0, 1), ("hamming_loss", wrong, labels.shape[1])):
        _, below, above = intervals.of_shares(hits, np.full_like(wrong, most), patient)
        macro[key] = Estimate(measured[key], float(below[0]), float(above[0]))
    for key, of in macro.items():
        if np.isnan(of.low) and not np.isnan(of.value):
            macro[key] = _where_nothing_varies(of.value, key, low, high, macro["accuracy"])
    return Measured(measured, macro, shares, low, high, few, kept)


def _where_nothing_varies(
    value: float,
    key: str,
    low: dict[str, np.ndarray],
    high: dict[str, np.ndarray],
    accuracy: Estimate,
) -> Estimate:
    """Bounds of a macro metric that is the same in every replicate, as of a perfect classifier.

    The mean of its classes' bounds holds for all of them at once; those of F-measure stand for the
    area of decisions, and that of accuracy for the Challenge metric.
    """
    if key == "challenge_metric":
        return Estimate(value, min(accuracy.low, value) if value == 1 else value, value)
    of_key = key if key in low else "f_measure"
    below, above = (float(metrics.macro(bound[of_key])) for bound in (low, high))
    return Estimate(value, min(below, value), max(above, value))


def estimate(value: float, replicates: np.ndarray, *, signed: bool = False) -> Estimate:
    """The interval of a macro metric from replicates [1 + R], the first without resampling."""
    bounds = (-np.inf if signed else 0.0, 1.0)
    return intervals.of_mean(value, float(replicates[0]), replicates[1:], bounds=bounds)


def mean_of(runs: Sequence[Measured]) -> Measured:
    """The mean of several runs on the same records, as of seeds: scores, macro and replicates.

    The intervals are of the mean over these runs; that other seeds give other runs is not in them.
    """
    if len(runs) == 1:
        return runs[0]
    keys = runs[0].scores
    scores = {key: _mean([run.scores[key] for run in runs]) for key in keys}
    replicates = {
        key: np.mean([run.replicates[key] for run in runs], axis=0) for key in runs[0].replicates
    }
    macro = {
        key: estimate(scores[key], values, signed=key == "challenge_metric")
        for key, values in replicates.items()
    }
    return replace(
        runs[0], scores=scores, macro=macro, replicates=replicates, shares={}, low={}, high={}
    )


def _mean(values: Sequence) -> Any:
    """Of numbers or of lists of numbers, NaN where one of them is."""
    return np.mean(np.array(values, np.float64), axis=0).tolist()


def difference(one: Measured, other: Measured, key: str) -> Estimate:
    """`other` minus `one` in a macro metric, of the same records in the same order.

    The replicates are paired: both draw the same patients.
    """
    drawn = other.replicates[key] - one.replicates[key]
    value = other.scores[key] - one.scores[key]
    if not drawn.any():
        return Estimate(value, 0.0, 0.0, 1.0)
    return intervals.of_mean(value, float(drawn[0]), drawn[1:])
