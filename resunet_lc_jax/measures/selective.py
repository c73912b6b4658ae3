"""What is gained by leaving the least certain records to a human: the risk-coverage curve."""

import numpy as np

from resunet_lc_jax.measures.calibration import logits

_POINTS = 20


def risk_coverage(
    labels: np.ndarray, scores: np.ndarray, decisions: np.ndarray, thresholds: np.ndarray
) -> dict[str, list[float] | float]:
    """The share of wrong decisions among the most certain records.

    A record is as certain as its least certain class: the smallest distance of a score to its
    threshold, in logits. See El-Yaniv and Wiener, "On the Foundations of Noise-free Selective
    Classification", JMLR 2010.

    Args:
      labels: [N, K] bool.
      scores: [N, K] 0 to 1.
      decisions: [N, K] bool.
      thresholds: [K].

    Returns:
      coverage: 20 shares of records, ascending to 1; risk: the share of wrong decisions (Hamming
      loss) among so many of the most certain ones; records_right: the share of them that are right
      in all classes; area: the mean of risk over all records' coverages.
    """
    distance = np.abs(logits(scores) - logits(np.clip(thresholds, 0, 1)))
    order = np.argsort(-distance.min(axis=1), kind="stable")
    wrong = (labels != decisions)[order]
    number = np.arange(1, len(order) + 1)
    risk = np.cumsum(wrong.mean(axis=1)) / number
    right = np.cumsum(~wrong.any(axis=1)) / number
    taken = np.unique(np.ceil(np.arange(1, _POINTS + 1) / _POINTS * len(order)).astype(int))
    return {
        "coverage": (taken / len(order)).tolist(),
        "risk": risk[taken - 1].tolist(),
        "records_right": right[taken - 1].tolist(),
        "area": float(risk.mean()),
    }
