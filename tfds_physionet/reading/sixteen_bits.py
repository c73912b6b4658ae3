"""Samples as int16: what marks a missing one, and how values of more bits fit.

Values come as int16, as int32 whose least number is missing, or as float64 whose nan is.
"""

import numpy as np

MISSING = -32768
"""WFDB's invalid sample in 16 bits: a sample that is unknown, an absent lead, or padding."""

_INVALID_INT32 = -(1 << 31)


def missing_mark(values: np.ndarray) -> float:
    """Returns what marks a missing sample among values of this type."""
    if values.dtype.kind == "f":
        return np.nan
    return MISSING if values.dtype.itemsize == 2 else _INVALID_INT32


def mark_missing(values: np.ndarray, invalid: int | None) -> np.ndarray:
    """Returns values [time] in which the invalid number of their format is marked as missing."""
    mark = missing_mark(values)
    if invalid is None or invalid == mark:
        return values
    return np.where(values == invalid, np.array(mark, values.dtype), values)


def to_floats(values: np.ndarray) -> np.ndarray:
    """Returns the values as float64 with nan for missing ones."""
    if values.dtype.kind == "f":
        return values.astype(np.float64, copy=False)
    return np.where(values == missing_mark(values), np.nan, values)


def fit(values: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Returns (int16 samples [time], scale, offset) with value = sample * scale + offset.

    Whole numbers that 16 bits hold are kept as they are (scale 1, offset 0), or shifted by a whole
    offset. So are whole multiples of one step, as a quantised signal's mV are, by that step. Others
    are spread over all 65,535 numbers, which costs at most half a step: 1e-4 of the
    standard deviation of a lead whose range is 13 of them or less.

    Args:
        values: [time], as described above; none that is missing, infinite or beyond 1e15 counts.
    """
    if values.dtype == np.int16:
        return values, 1.0, 0.0
    floats = to_floats(values)
    missing = ~(np.abs(floats) < 1e15)
    if missing.all():
        return np.full(floats.shape, MISSING, np.int16), 1.0, 0.0
    floats = np.where(missing, floats[~missing][0], floats)
    low, high = float(floats.min()), float(floats.max())
    whole = bool(np.all(floats == np.rint(floats)))
    scale, offset = 1.0, 0.0
    if not whole and (step := _step(floats[~missing], low, high)):
        scale, offset = step, low + step * ((high - low) / step // 2)
    elif not whole or high - low > 65534:
        scale, offset = (high - low) / 65534, (high + low) / 2
    elif low < -32767 or high > 32767:
        offset = (high + low) // 2
    samples = np.clip(np.rint((floats - offset) / (scale or 1.0)), -32767, 32767)
    return np.where(missing, MISSING, samples).astype(np.int16), scale or 1.0, offset


def is_coarse(values: np.ndarray, samples: np.ndarray, scale: float, offset: float) -> bool:
    """Returns whether `fit` had to round values by more than 1e-4 of their deviation."""
    valid = samples != MISSING
    # Rounding costs 0.29 of a step (root mean square), but nothing where that is the values' own.
    if scale == 1.0 or 0.29 <= 1e-4 * samples[valid].std():
        return False
    off = to_floats(values)[valid] - (samples[valid] * scale + offset)
    return bool(np.abs(off).max() > 0.05 * scale)


def _step(values: np.ndarray, low: float, high: float) -> float:
    """Returns the step of which all values are whole multiples above the least; 0 if there is none.

    Text and float32 round them: that must be much less than a step.
    """
    levels = np.unique(values)
    gaps = np.diff(levels)
    noise = 4e-7 * max(abs(low), abs(high))
    apart = gaps[gaps > 2 * noise]
    if not len(apart) or (high - low) / apart.min() > 65535:
        return 0.0
    # Neighbours tell how many steps lie between all of them, and those how long one is.
    counts = np.rint(gaps / apart[apart < 1.5 * apart.min()].mean())
    steps = np.r_[0, np.cumsum(counts)]
    step = (high - low) / max(float(steps[-1]), 1.0)
    off = float(np.abs(levels - low - steps * step).max())
    return step if off <= max(noise, 0.01 * step) <= 0.1 * step and steps[-1] <= 65534 else 0.0
