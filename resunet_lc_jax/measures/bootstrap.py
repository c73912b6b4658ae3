"""Confidence intervals by the bootstrap over patients, without sorting anything twice.

A replicate draws as many patients as there are, with replacement. It enters as a weight per record
(how often its patient was drawn); each class is ranked once and only sums of weights are renewed.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from resunet_lc_jax.measures import metrics

# Replicates at a time: keeps the sums of weights of 20,000 records within a few MB.
_BLOCK = 64


def patient_weights(
    patient_ids: Sequence[str] | np.ndarray, *, replicates: int = 1000, seed: int = 0
) -> Iterator[np.ndarray]:
    """Draws patients with replacement.

    Args:
      patient_ids: [N]. The same patients in the same places get the same draws, so that two runs
        can be compared replicate by replicate.
      replicates: how many in all.
      seed: of the draws.

    Yields:
      [R, N] int32 in blocks of replicates: how often each record was drawn.
    """
    patients, patient = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    for start in range(0, replicates, _BLOCK):
        block = min(_BLOCK, replicates - start)
        drawn = rng.integers(len(patients), size=(block, len(patients)))
        drawn += np.arange(block)[:, None] * len(patients)
        counts = np.bincount(drawn.ravel(), minlength=block * len(patients))
        yield counts.reshape(block, -1).astype(np.int32)[:, patient]


def weighted_scores(
    labels: np.ndarray, scores: np.ndarray, decisions: np.ndarray, weights: Iterator[np.ndarray]
) -> dict[str, np.ndarray]:
    """`metrics.score` of each replicate, as if its records were repeated by their weights.

    Args:
      labels: [N, 26] 0/1.
      scores: [N, 26].
      decisions: [N, 26] 0/1.
      weights: blocks of `patient_weights`, R replicates in all.

    Returns:
      The keys of `metrics.score`: [R], or [R, 26] where that has a list of the classes.
    """
    labels, scores, decisions = metrics.check(labels, scores, decisions)
    columns = np.ascontiguousarray(scores.T)
    orders = np.argsort(columns, axis=1)
    rankings = [metrics.rank(labels[:, k], column) for k, column in enumerate(columns)]
    wrong = labels != decisions
    # What is a plain sum over records: TP, TP + FN and TP + FP of each class, and so on.
    summands = np.concatenate(
        [
            labels & decisions,
            labels,
            decisions,
            metrics.challenge_rewards(labels, decisions),
            ~wrong.any(axis=1, keepdims=True),
            wrong.sum(axis=1, keepdims=True),
        ],
        axis=1,
        dtype=np.float64,
    )
    blocks = []
    for block in weights:
        total = block.sum(axis=1)
        both, labelled, decided, rewards, right, errors = np.split(
            block @ summands, np.cumsum([26, 26, 26, 3, 1]), axis=1
        )
        shares = metrics.decision_metrics(both, labelled, decided, total)
        roc, pr = np.full(both.shape, np.nan), np.full(both.shape, np.nan)
        for k, ranking in enumerate(rankings):
            if len(ranking.positives):
                roc[:, k], pr[:, k] = _weighted_areas(block, orders[k], labels[:, k], ranking)
        blocks.append(
            {
                "auroc": metrics.macro(roc),
                "auprc": metrics.macro(pr),
                "accuracy": metrics.ratio(right[:, 0], total),
                "f_measure": metrics.macro(shares["f_measure"]),
                "challenge_metric": metrics.challenge_metric(rewards),
                "specificity": metrics.macro(shares["specificity"]),
                "hamming_loss": metrics.ratio(errors[:, 0], total * labels.shape[1]),
                "auprc_of_decisions": metrics.macro(shares["auprc_of_decisions"]),
                "auroc_classes": roc,
                "auprc_classes": pr,
                "f_measure_classes": shares["f_measure"],
            }
        )
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}


def _weighted_areas(
    weights: np.ndarray, order: np.ndarray, labels: np.ndarray, ranking: metrics.Ranking
) -> tuple[np.ndarray, np.ndarray]:
    """auroc [R] and auprc [R] of one class. order: [N] by ascending score."""
    # sums[:, i]: the weight of the i lowest scores.
    sums = np.zeros((len(weights), weights.shape[1] + 1), np.int32)
    np.cumsum(np.take(weights, order, axis=1), axis=1, out=sums[:, 1:])
    first = np.cumsum(ranking.positives) - ranking.positives
    positives = np.add.reduceat(np.take(weights, order[labels[order]], axis=1), first, axis=1)
    return metrics.areas(
        sums[:, ranking.below].astype(np.float64),
        sums[:, ranking.upto],
        positives.astype(np.float64),
        sums[:, -1].astype(np.float64),
    )


def interval(values: np.ndarray, *, confidence: float = 0.95) -> tuple[float, float]:
    """The percentile interval of replicates [R]; those that are NaN are left out.

    Returns:
      (low, high), both NaN if no replicate is defined.
    """
    defined = values[~np.isnan(values)]
    if not len(defined):
        return float("nan"), float("nan")
    tail = 50 * (1 - confidence)
    low, high = np.percentile(defined, [tail, 100 - tail])
    return float(low), float(high)
