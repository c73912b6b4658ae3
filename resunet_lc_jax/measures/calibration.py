"""How far scores can be taken for probabilities: reliability curves and calibration errors."""

from dataclasses import dataclass

import numpy as np

from resunet_lc_jax.measures.ranking import ratio


@dataclass(frozen=True, eq=False)
class Reliability:
    """Scores against outcomes in bins of equal width on 0 to 1; NaN in an empty bin.

    Attributes:
      counts: [K, bins] int, records with a score in the bin.
      mean_score: [K, bins] their mean score.
      share: [K, bins] the share of them that is positive.
      error: [K] the expected calibration error: the mean of |mean_score - share| over records.
    """

    counts: np.ndarray
    mean_score: np.ndarray
    share: np.ndarray
    error: np.ndarray


def reliability(labels: np.ndarray, scores: np.ndarray, *, bins: int = 10) -> Reliability:
    """Bins the scores of each class.

    See Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning", AAAI 2015.

    Args:
      labels: [N, K] 0/1.
      scores: [N, K], 0 to 1.
      bins: of equal width; a score of 1 falls into the last.

    Returns:
      Curves and errors of each class.

    Raises:
      ValueError: a score is not between 0 and 1.
    """
    scores = np.asarray(scores, np.float64)
    if not np.all((scores >= 0) & (scores <= 1)):
        raise ValueError("calibration needs scores between 0 and 1; give probabilities, not logits")
    classes = scores.shape[1]
    number = np.minimum((scores * bins).astype(np.int64), bins - 1) + np.arange(classes) * bins

    def sums(weights: np.ndarray | None) -> np.ndarray:
        flat = None if weights is None else np.asarray(weights, np.float64).ravel()
        return np.bincount(number.ravel(), flat, classes * bins).reshape(classes, bins)

    counts, score_sums, positives = sums(None), sums(scores), sums(labels)
    return Reliability(
        counts,
        ratio(score_sums, counts),
        ratio(positives, counts),
        ratio(np.abs(score_sums - positives).sum(axis=1), counts.sum(axis=1)),
    )
