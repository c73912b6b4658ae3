"""Beat times: when each heart beats, and of which kind each beat is."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tfds_physionet.simulate.heart import Heart


class Beat(IntEnum):
    """What a beat springs from."""

    REGULAR = 0
    ATRIAL = 1  # premature, from the atria
    VENTRICULAR = 2  # premature, from a ventricle


@dataclass(frozen=True, eq=False)
class Beats:
    """Beats in time, some of them before and after the record.

    Attributes:
        onsets_s: QRS onsets, float64 [beat].
        kinds: `Beat` values, int [beat].
    """

    onsets_s: np.ndarray
    kinds: np.ndarray


def draw_beats(rng: np.random.Generator, heart: Heart, duration_s: float) -> Beats:
    """Draws the beats from two before the record's start to two after its end."""
    count = int(np.ceil(duration_s / heart.rr_s * 1.3)) + 8
    intervals = _INTERVALS[heart.rhythm](rng, heart, count)
    start = -(intervals[0] + intervals[1]) - rng.uniform(0, intervals[2])
    kinds = np.full(count + 1, Beat.REGULAR, dtype=int)
    onsets = start + np.concatenate(([0.0], np.cumsum(intervals)))
    margin = 1.4 * heart.rr_s  # a beat before and after each premature one
    inside = np.flatnonzero((onsets > margin) & (onsets < duration_s - margin))
    wanted = [kind for name, kind in _PREMATURE.items() if name in heart.diagnoses]
    for kind, places in zip(wanted, _places(rng, inside, len(wanted)), strict=True):
        kinds[places] = kind
        coupling = rng.uniform(0.62, 0.74, len(places))
        # A ventricular beat leaves the sinus node alone, so that the pause compensates. An atrial
        # one resets it: the next beat comes after little more than one interval.
        pause = 2 - coupling if kind == Beat.VENTRICULAR else rng.uniform(1.03, 1.12, len(places))
        intervals[places - 1] = coupling * heart.rr_s
        intervals[places] = pause * heart.rr_s
    onsets = start + np.concatenate(([0.0], np.cumsum(intervals)))
    kept = onsets < duration_s + 2 * heart.rr_s
    return Beats(onsets[kept], kinds[kept])


def flutter_period_s(heart: Heart) -> float:
    """The time between flutter waves, a whole part of the time between beats."""
    return heart.rr_s / round(heart.rr_s / 0.21)


_PREMATURE = {"PAC": Beat.ATRIAL, "PVC": Beat.VENTRICULAR}


def _places(rng: np.random.Generator, inside: np.ndarray, kinds: int) -> list[np.ndarray]:
    """Draws one to three of the beats inside for each kind, never two in a row."""
    roomy = len(inside) > 3 * kinds
    slots = rng.permutation(inside[rng.integers(3) :: 3] if roomy else inside[::2])
    return [slots[kind::kinds][: rng.integers(1, 4)] for kind in range(kinds)]


def _sinus(rng: np.random.Generator, heart: Heart, count: int) -> np.ndarray:
    """Breathing moves the intervals; in sinus arrhythmia by more than 120 ms and 10 %."""
    depth = rng.uniform(0.0, 0.02)
    if "SA" in heart.diagnoses:
        depth = rng.uniform(1.0, 1.4) * max(0.11, 0.13 / heart.rr_s)
    breathing = 2 * np.pi * (rng.uniform(0.16, 0.28) * np.arange(count) + rng.random())
    factors = 1 + depth * np.sin(breathing) + 0.005 * rng.standard_normal(count)
    return heart.rr_s * factors / factors.mean()


def _fibrillation(rng: np.random.Generator, heart: Heart, count: int) -> np.ndarray:
    """No two intervals alike, without order; the AV node sets a shortest one."""
    factors = rng.gamma(1 / rng.uniform(0.2, 0.3) ** 2, size=count)
    return np.maximum(heart.rr_s * factors / factors.mean(), 0.33)


def _flutter(rng: np.random.Generator, heart: Heart, count: int) -> np.ndarray:
    return heart.rr_s * (1 + 0.003 * rng.standard_normal(count))


def _paced(rng: np.random.Generator, heart: Heart, count: int) -> np.ndarray:
    return np.full(count, heart.rr_s)


_INTERVALS = {"sinus": _sinus, "fibrillation": _fibrillation, "flutter": _flutter, "paced": _paced}
