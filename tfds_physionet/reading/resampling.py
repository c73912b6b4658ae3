"""Changes the sampling rate of int16 signals the way of the reference, with missing samples."""

import numpy as np

from tfds_physionet.reading.sixteen_bits import MISSING

LONGEST = 1 << 23
"""Samples a lead, before or after, that are resampled or filtered: more would need much memory."""


def resampled_length(length: int, rate: float, new_rate: float) -> int:
    """Returns how many samples there are at another rate."""
    if rate == new_rate:
        return length
    if (rate, new_rate) == (1000.0, 500.0):
        return -(-length // 2)  # as resample_poly has it
    return max(1, int(length * new_rate / rate))


def nearest_missing(missing: np.ndarray, new_length: int, ratio: float) -> np.ndarray:
    """Returns bool [L, new_length]: the samples nearest to those missing in bool [L, time].

    Args:
        missing: Which are missing.
        new_length: As `resampled_length` says.
        ratio: Old samples a new one.
    """
    length = missing.shape[1]
    # Each new sample asks its nearest old one, and each old one tells its nearest new one.
    asked = np.clip(np.rint(np.arange(new_length) * ratio).astype(int), 0, length - 1)
    nearest = missing[:, asked]
    leads, times = np.nonzero(missing)
    nearest[leads, np.clip(np.rint(times / ratio).astype(int), 0, new_length - 1)] = True
    return nearest


def lead_groups(num_leads: int, length: int) -> list[slice]:
    """Returns the leads in groups that fit into memory as numbers of 64 bits: all, where short."""
    size = max(1, (1 << 22) // max(length, 1))
    return [slice(start, min(start + size, num_leads)) for start in range(0, num_leads, size)]


def resample(
    signal: np.ndarray, mean: np.ndarray, rate: float, new_rate: float, new_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns (float64 [L, new_length] without its mean, bool: which samples are missing).

    What is missing takes its lead's mean meanwhile.

    Args:
        signal: int16 [L, time]; MISSING marks missing samples.
        mean: float64 [L], of the samples that are not missing.
        rate: In Hz.
        new_rate: In Hz.
        new_length: Samples at the new rate.
    """
    missing = signal == MISSING
    centred = np.where(missing, 0.0, signal - mean[:, None])
    if rate == new_rate:
        return centred, missing
    import scipy.signal  # half a second, which records at the wanted rate need not wait for

    missing = nearest_missing(missing, new_length, rate / new_rate)
    if (rate, new_rate) == (1000.0, 500.0):
        return scipy.signal.resample_poly(centred, 1, 2, axis=1), missing
    return scipy.signal.resample(centred, new_length, axis=1), missing


def to_int16(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Returns numbers rounded to int16, MISSING where they are missing."""
    return np.where(missing, MISSING, np.clip(np.rint(values), -32767, 32767)).astype(np.int16)
