"""95 % intervals that cover; docs/coverage.md shows how often, and why these methods.

- Shares (accuracy, sensitivity, PPV, ...) and, as one, F-measure: Wilson's interval, with fewer
  trials where the records of a patient agree.
- Areas of a class: Wilson's interval for as many trials as give the bootstrap's variance, which is
  drawn towards that of a share, since few positives make it unsteady.
- Macro averages and differences: the bootstrap's standard error about a value freed of its bias.
"""

import math
from dataclasses import dataclass

import numpy as np

from resunet_lc_jax.measures.ranking import ratio

# A class with fewer positives (patients with it) gets no interval.
FEWEST = 5
NORMAL_975 = 1.959963984540054  # 97.5 % of the normal distribution lie below
# Of how many positives the assumed variance of an area counts; see `of_areas`.
_PRIOR = 10.0


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where there is none.

    Attributes:
      value: as measured.
      low: of the interval.
      high: of the interval.
      p_value: two-sided, that the true number is 0, by the normal distribution; for differences.
    """

    value: float
    low: float
    high: float
    p_value: float = math.nan


def wilson(share: np.ndarray, trials: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of a share.

    Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", JASA 1927.

    Args:
      share: [...].
      trials: [...] any numbers; 0 gives NaN.

    Returns:
      low [...] and high [...].
    """
    weight = ratio(NORMAL_975 * NORMAL_975, trials)
    half = NORMAL_975 * np.sqrt(
        ratio(share * (1 - share), trials) + weight * weight / (4 * NORMAL_975 * NORMAL_975)
    )
    middle = share + weight / 2
    return (
        np.clip((middle - half) / (1 + weight), 0, share),
        np.clip((middle + half) / (1 + weight), share, 1),
    )


def of_shares(
    hits: np.ndarray, trials: np.ndarray, patient: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares with their intervals; the records of a patient are no independent trials.

    The number of trials is divided by the design effect: the share's variance over patients by its
    variance if records were independent (Kish, "Survey Sampling", 1965), at least 1. Where all
    hits or none are hits, that cannot be estimated, and patients are the trials.

    Args:
      hits: [N, K] 0 up to trials.
      trials: [N, K] whole numbers.
      patient: [N] whole numbers from 0.

    Returns:
      share [K], low [K] and high [K]; NaN where there are no trials.
    """
    hits, trials = (by_patient(values, patient) for values in (hits, trials))
    total = trials.sum(axis=0)
    share = ratio(hits.sum(axis=0), total)
    spread = ratio(((hits - share * trials) ** 2).sum(axis=0), total)
    effect = ratio(spread, share * (1 - share))
    patients = np.minimum((trials > 0).sum(axis=0), total)
    independent = np.where(np.isnan(effect), patients, total / np.maximum(effect, 1.0))
    return share, *wilson(share, independent)


def by_patient(values: np.ndarray, patient: np.ndarray) -> np.ndarray:
    """Sums of [N, K] over the records of each patient [N]: [patients, K]."""
    order = np.argsort(patient, kind="stable")
    first = np.flatnonzero(np.diff(patient[order], prepend=-1))
    return np.add.reduceat(np.asarray(values, np.float64)[order], first, axis=0)


def of_f_measure(
    labels: np.ndarray, decisions: np.ndarray, patient: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of the F-measure of each class.

    TP / (TP + FP + FN) is a share of the records that are labelled or decided, and F-measure is
    2 share / (1 + share): so are the bounds.

    Args:
      labels: [N, K] bool.
      decisions: [N, K] bool.
      patient: [N] whole numbers from 0.

    Returns:
      low [K] and high [K].
    """
    _, low, high = of_shares(labels & decisions, labels | decisions, patient)
    return 2 * low / (1 + low), 2 * high / (1 + high)


def of_areas(
    estimate: np.ndarray,
    replicates: np.ndarray,
    count: np.ndarray,
    *,
    floor: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Intervals of an area of each class.

    Over 1,000 classes of like size the variance of an area is close to that of a share among
    `count` trials, but a bootstrap on few positives gives anything from nothing (a class that is
    ranked perfectly) to twice that: the mean of the two variances, by weights of count and 10.

    Args:
      estimate: [K], without bias.
      replicates: [R, K] of the bootstrap; undefined ones are left out.
      count: [K] how many trials a share would need for a variance like the area's: for AUROC the
        harmonic mean of positives and negatives, for AUPRC the positives.
      floor: [K] what the area of a classifier is at least, for the assumed variance alone.

    Returns:
      low [K] and high [K].
    """
    defined = ~np.isnan(replicates)
    spread = _variance(replicates, defined)
    # Half a trial short of 1, as an area of 1 does not mean that there is no variance.
    near = np.clip(estimate, floor, 1 - 0.5 / (count + 1))
    assumed = ratio(near * (1 - near), count)
    variance = (count * spread + _PRIOR * assumed) / (count + _PRIOR)
    return wilson(estimate, ratio(near * (1 - near), variance))


def _variance(values: np.ndarray, defined: np.ndarray) -> np.ndarray:
    """Of [R, ...] over the defined replicates; 0 where there are fewer than two."""
    count = defined.sum(axis=0)
    mean = ratio(np.where(defined, values, 0.0).sum(axis=0), count)
    squares = np.where(defined, (values - mean) ** 2, 0.0).sum(axis=0)
    return squares / np.maximum(count - 1, 1)


def of_mean(
    value: float,
    estimate: float,
    replicates: np.ndarray,
    *,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """The interval of a macro average, or of a difference of two.

    The bootstrap's mean is as far from the estimate as the estimate from the truth: that is taken
    off. What is reported lies within, even where it is far from the truth by its bias.

    Args:
      value: as it is reported.
      estimate: the same, or one with less bias.
      replicates: [R] of the estimate; undefined ones are left out.
      bounds: which values there are.

    Returns:
      The value with its interval and p-value; NaN where nothing varies, or too little is defined.
    """
    defined = replicates[~np.isnan(replicates)]
    if math.isnan(value) or len(defined) < 2:
        return Estimate(value, math.nan, math.nan)
    centre = 2 * estimate - float(defined.mean())
    error = float(defined.std(ddof=1))
    # Equal up to rounding: a perfect classifier, or one that never decides.
    if error <= 1e-12:
        return Estimate(value, math.nan, math.nan)
    low, high = centre - NORMAL_975 * error, centre + NORMAL_975 * error
    return Estimate(
        value,
        min(max(low, bounds[0]), value),
        max(min(high, bounds[1]), value),
        math.erfc(abs(centre) / error / math.sqrt(2)),
    )
