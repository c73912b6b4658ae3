"""How far scores can be taken for probabilities: reliability, errors, slope, and a remedy."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import chdtrc

from resunet_lc_jax.measures.intervals import FEWEST, NORMAL_975, wilson
from resunet_lc_jax.measures.ranking import ratio
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.files import write_json

CALIBRATION = "calibration.json"
_ROUNDS = 50  # of Newton's method; it takes about eight
_CLIP = 1e-7  # a score of 0 or 1 has no logit
_STEEPEST = 50.0  # a slope beyond this means that the scores part the class from the rest


@dataclass(frozen=True, eq=False)
class Reliability:
    """Scores against outcomes in bins of equal width on 0 to 1; NaN in an empty bin.

    Attributes:
      counts: [K, bins] int, records with a score in the bin.
      mean_score: [K, bins] their mean score.
      share: [K, bins] the share of them that is positive.
      low: [K, bins] of the share's 95 % interval.
      high: [K, bins] of the share's 95 % interval.
      error: [K] the expected calibration error: the mean of |mean_score - share| over records. It
        is above 0 for perfect scores, too, the more so the fewer records there are.
      debiased: [K] the root of the mean squared difference, freed of what chance adds to it.
      debiased_low: [K] of its 95 % interval.
      debiased_high: [K] of its 95 % interval.
    """

    counts: np.ndarray
    mean_score: np.ndarray
    share: np.ndarray
    low: np.ndarray
    high: np.ndarray
    error: np.ndarray
    debiased: np.ndarray
    debiased_low: np.ndarray
    debiased_high: np.ndarray


def reliability(labels: np.ndarray, scores: np.ndarray, *, bins: int = 10) -> Reliability:
    """Bins the scores of each class.

    See Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian
    Binning", AAAI 2015; for the debiased error Kumar, Liang and Ma, "Verified Uncertainty
    Calibration", NeurIPS 2019. Records are taken as independent.

    Args:
      labels: [N, K] 0/1.
      scores: [N, K], 0 to 1.
      bins: of equal width; a score of 1 falls into the last.

    Returns:
      Curves and errors of each class.

    Raises:
      ValueError: a score is not between 0 and 1.
    """
    scores = _probabilities(scores)
    classes = scores.shape[1]
    number = np.minimum((scores * bins).astype(np.int64), bins - 1) + np.arange(classes) * bins

    def sums(weights: np.ndarray | None) -> np.ndarray:
        flat = None if weights is None else np.asarray(weights, np.float64).ravel()
        return np.bincount(number.ravel(), flat, classes * bins).reshape(classes, bins)

    counts, score_sums, positives = sums(None), sums(scores), sums(labels)
    mean, share = ratio(score_sums, counts), ratio(positives, counts)
    total = counts.sum(axis=1)
    # What chance adds to a bin's squared difference; a bin of one record says nothing.
    chance = ratio(share * (1 - share), np.maximum(counts - 1, 0))
    squared = np.nan_to_num((mean - share) ** 2 - chance)
    weight = np.where(counts > 1, counts, 0) / np.maximum(total, 1)[:, None]
    excess = (weight * squared).sum(axis=1)
    # With one hit and one miss more: a bin of all alike is not known to be so.
    expected = (np.nan_to_num(positives) + 1) / (counts + 2)
    noise = np.maximum(np.nan_to_num(chance), expected * (1 - expected) / np.maximum(counts, 1))
    spread = 4 * np.maximum(squared, 0) * noise + 2 * noise**2
    half = NORMAL_975 * np.sqrt((weight**2 * spread).sum(axis=1))
    debiased, below, above = (
        np.sqrt(np.maximum(value, 0)) for value in (excess, excess - half, excess + half)
    )
    return Reliability(
        counts,
        mean,
        share,
        *wilson(share, counts),
        ratio(np.abs(score_sums - positives).sum(axis=1), total),
        debiased,
        below,
        above,
    )


def _probabilities(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if not np.all((scores >= 0) & (scores <= 1)):
        raise ValueError("calibration needs scores between 0 and 1; give probabilities, not logits")
    return scores


def logits(scores: np.ndarray) -> np.ndarray:
    """Logits of scores 0 to 1, float64; 0 and 1 are moved by 1e-7."""
    clipped = np.clip(_probabilities(scores), _CLIP, 1 - _CLIP)
    return np.log(clipped) - np.log1p(-clipped)


def brier(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The mean squared difference of score and label [N, K], with its 95 % interval: 3 times [K].

    Brier, "Verification of Forecasts Expressed in Terms of Probability", 1950.
    """
    each = (_probabilities(scores) - labels) ** 2
    mean = each.mean(axis=0)
    half = NORMAL_975 * each.std(axis=0) / np.sqrt(max(len(each), 1))
    return mean, np.maximum(mean - half, 0), mean + half


@dataclass(frozen=True)
class Line:
    """The logistic line of a class's labels over the logits of its scores.

    Attributes:
      slope: 1 if calibrated, below 1 where scores are too extreme. (low, high) is its interval.
      intercept: of the line of slope 1: 0 if calibrated, below 0 where scores are too high.
    """

    slope: float
    slope_interval: tuple[float, float]
    intercept: float
    intercept_interval: tuple[float, float]


def line(labels: np.ndarray, scores: np.ndarray) -> Line:
    """Fits slope and intercept of one class, [N] each.

    Cox, "Two Further Applications of a Model for Binary Regression", Biometrika 1958. NaN where
    there are fewer than five positives or negatives, and where the scores part them wholly.
    """
    labels = np.asarray(labels, np.float64)
    x = logits(scores)
    undefined = (float("nan"), float("nan"))
    if min(labels.sum(), (1 - labels).sum()) < FEWEST:
        return Line(float("nan"), undefined, float("nan"), undefined)
    both = np.stack([np.ones_like(x), x], axis=1)
    (_, slope), (_, slope_error) = _fit(both, labels, np.zeros_like(x), np.array([0.0, 1.0]))
    (shift,), (shift_error,) = _fit(np.ones((len(x), 1)), labels, x, np.zeros(1))
    if not 1 / _STEEPEST <= abs(slope) <= _STEEPEST:
        slope = slope_error = float("nan")
    return Line(
        float(slope),
        (float(slope - NORMAL_975 * slope_error), float(slope + NORMAL_975 * slope_error)),
        float(shift),
        (float(shift - NORMAL_975 * shift_error), float(shift + NORMAL_975 * shift_error)),
    )


def _loss(z: np.ndarray, labels: np.ndarray) -> float:
    """Minus the logarithm of the likelihood of labels given their logits."""
    return float(np.sum(np.logaddexp(0, z) - labels * z))


def _lowest(columns: np.ndarray, labels: np.ndarray) -> float:
    """The loss of the line of the highest likelihood."""
    weights, _ = _fit(columns, labels, np.zeros(len(labels)), np.array([0.0, 1.0]))
    return _loss(columns @ weights, labels)


def _fit(
    columns: np.ndarray, labels: np.ndarray, offset: np.ndarray, start: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression by Newton's method with halved steps: weights and standard errors."""

    def loss(weights: np.ndarray) -> float:
        return _loss(columns @ weights + offset, labels)

    weights, now = start, loss(start)
    covariance = np.full((len(start), len(start)), np.nan)
    for _ in range(_ROUNDS):
        chance = 0.5 * (1 + np.tanh((columns @ weights + offset) / 2))
        curvature = columns.T @ (columns * (chance * (1 - chance))[:, None])
        # A trace of a ridge: with scores that part a class wholly there is no curvature left.
        covariance = np.linalg.inv(curvature + 1e-9 * np.eye(len(start)))
        step = covariance @ (columns.T @ (labels - chance))
        while (after := loss(weights + step)) > now and np.abs(step).max() > 1e-12:
            step = step / 2
        weights, before, now = weights + step, now, min(after, now)
        if before - now < 1e-10:
            break
    return weights, np.sqrt(np.diag(covariance))


def differently_calibrated(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], *, significance: float = 0.05
) -> list[str]:
    """The classes of which scores of several parts, such as folds, mean different probabilities.

    Compares the likelihood of one logistic line over the scores' logits for all parts with that of
    a line for each, whose logarithm times 2 is distributed as chi square (Wilks 1938); p-values
    hold for all classes at once (Bonferroni).

    Args:
      parts: labels [N, 26] 0/1 and scores [N, 26] of each.
      significance: A class is named if its p-value is below.

    Returns:
      Abbreviations; parts with fewer than five positives or negatives of a class are left out.
    """
    named = []
    for k, name in enumerate(CLASS_NAMES):
        lines = []
        for labels, scores in parts:
            label, x = np.asarray(labels[:, k], np.float64), logits(scores[:, k])
            if min(label.sum(), (1 - label).sum()) >= FEWEST:
                lines.append((np.stack([np.ones_like(x), x], axis=1), label))
        if len(lines) < 2:
            continue
        whole = [np.concatenate(of) for of in zip(*lines, strict=True)]
        gained = _lowest(*whole) - sum(_lowest(*one) for one in lines)
        p_value = chdtrc(2 * (len(lines) - 1), 2 * gained)
        if p_value * len(CLASS_NAMES) < significance:
            named.append(name)
    return named


@dataclass(frozen=True, eq=False)
class Temperatures:
    """One temperature a class, by which logits are divided to be calibrated.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Attributes:
      values: [26] float64; 1 for a class with fewer than five positives or negatives.
    """

    values: np.ndarray

    @classmethod
    def fit(cls, labels: np.ndarray, scores: np.ndarray) -> "Temperatures":
        """Chooses the temperatures of the highest likelihood on validation records, [N, 26]."""
        values = np.ones(scores.shape[1])
        for k, x in enumerate(logits(scores).T):
            label = np.asarray(labels[:, k], np.float64)
            if min(label.sum(), (1 - label).sum()) >= FEWEST:
                (factor,), _ = _fit(x[:, None], label, np.zeros_like(x), np.ones(1))
                # Scores without worth would have none left, and those that part it no end.
                values[k] = 1 / np.clip(factor, 1 / _STEEPEST, _STEEPEST)
        return cls(values)

    def apply(self, scores: np.ndarray) -> np.ndarray:
        """Returns calibrated probabilities for scores [..., 26]; order within a class stays."""
        return 0.5 * (1 + np.tanh(logits(scores) / self.values / 2))

    def to_json(self, path: str | Path, *, step: int | None) -> None:
        """Writes calibration.json beside `path` and renames.

        Args:
          path: The file.
          step: The checkpoint's; None of several runs together.
        """
        by_class = dict(zip(CLASS_NAMES, self.values.tolist(), strict=True))
        write_json(path, {"step": step, "temperatures": by_class})

    @classmethod
    def from_json(cls, path: str | Path, *, step: int | None) -> "Temperatures | None":
        """Reads what `to_json` wrote; None if it is not there, or of another step's scores.

        Raises:
          ValueError: A class is missing or no positive number.
        """
        if not Path(path).is_file():
            return None
        try:
            content = json.loads(Path(path).read_text())
            by_class: Mapping[str, Any] = content["temperatures"]
            values = np.array([float(by_class[name]) for name in CLASS_NAMES])
            if content["step"] != step:
                return None
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a calibration file ({error!r})") from error
        if not np.all((values > 0) & np.isfinite(values)):
            raise ValueError(f"{path}: a temperature is no positive number")
        return cls(values)
