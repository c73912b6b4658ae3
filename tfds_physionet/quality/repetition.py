"""Finds signals that were made longer: stretches that come twice, samples between two others."""

import functools

import numpy as np

_BASE = np.uint64(6364136223846793005)  # odd, so that it has an inverse modulo 2 ** 64
_INVERSE = np.uint64(pow(6364136223846793005, -1, 2**64))


def repeated_s(samples: np.ndarray, rate: float, *, shortest_s: float = 1.0) -> float:
    """Returns how many seconds of a lead are the samples of an earlier stretch again.

    Args:
        samples: int16 [time].
        rate: In Hz.
        shortest_s: Of a stretch; no real signal of a second comes again to the last digit.
    """
    width = round(shortest_s * rate)
    if len(samples) < 2 * width:
        return 0.0
    powers, back = _powers(len(samples))
    numbers = samples.astype(np.int64).astype(np.uint64)
    sums = np.concatenate([[np.uint64(0)], np.cumsum(numbers * powers, dtype=np.uint64)])
    hashes = (sums[width:] - sums[:-width]) * back[: len(samples) - width + 1]
    varied = _changes(samples, width) > width // 20  # a flat stretch is like any other
    hashes, starts = hashes[varied], np.flatnonzero(varied)
    ordered = np.sort(hashes)
    if not (ordered[1:] == ordered[:-1]).any():
        return 0.0
    _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    again = starts - starts[first][which] >= width
    covered = np.zeros(len(samples) + 1, np.int64)
    np.add.at(covered, starts[again], 1)
    np.add.at(covered, starts[again] + width, -1)
    return float((np.cumsum(covered)[:-1] > 0).sum() / rate)


@functools.lru_cache(maxsize=4)
def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the powers 0 to count - 1 of the base and of its inverse, modulo 2 ** 64."""
    bases = (np.full(count, base, np.uint64) for base in (_BASE, _INVERSE))
    powers, back = (np.cumprod(base, dtype=np.uint64) for base in bases)
    return powers * _INVERSE, back * _BASE


def is_interpolated(samples: np.ndarray) -> bool:
    """Returns whether every second sample is its neighbour again, or lies midway between two."""
    x = samples.astype(np.int64)
    if len(x) < 100:
        return False
    x = x[: len(x) // 2 * 2]
    midway = 2 * x[1:-1] - x[:-2] - x[2:]  # in halves of a step
    for phase in (0, 1):
        own, other = np.abs(midway[phase::2]), np.abs(midway[1 - phase :: 2])
        if (own <= 1).mean() > 0.99 and (other > 1).mean() > 0.3:
            return True
        held = (np.diff(x)[phase::2] == 0).mean()
        if held > 0.99 and (np.diff(x)[1 - phase :: 2] != 0).mean() > 0.5:
            return True
    return False


def _changes(samples: np.ndarray, width: int) -> np.ndarray:
    """Returns how often the value changes in each stretch of `width` samples."""
    changes = np.concatenate([[0, 0], np.cumsum(samples[1:] != samples[:-1])])
    return changes[width:] - changes[1 : len(changes) - width + 1]
