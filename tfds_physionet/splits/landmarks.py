"""A fingerprint that tells a signal again at another gain or rate, cut, or with its leads moved.

Landmarks are where the slopes of all leads together are steepest, heartbeats above all. Each is
kept with the shape of these slopes around it, relative to the landmark's own. Two signals are the
same where several landmarks look alike at the same distances in time: as Wang, "An
Industrial-Strength Audio Search Algorithm" (ISMIR 2003), tells music.
"""

import base64
import binascii
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from tfds_physionet.reading.sixteen_bits import MISSING

_SLOPE_S = 0.010  # standard deviations of the Gaussians that smooth slopes, and their squares' sum
_SUM_S = 0.015
_APART_S = 0.35
_AROUND_S = np.array([-0.24, -0.16, -0.10, -0.05, 0.05, 0.10, 0.16, 0.24, 0.32, 0.40])
_BEFORE_S, _AFTER_S = 0.26, 0.42
_FLOOR = 1e-3  # of the squared slope at the landmark: below is noise
_STEPS = 80  # of a shape, a decade
_TICKS = 200  # of a landmark's time, a second; counted modulo 2 ** 16
_FEWEST, _MOST = 12, 128  # of landmarks that are kept
_LONGEST = 1 << 20  # samples a lead: of longer signals the beginning
_FASTEST = 1000  # Hz: of faster ones every second sample, every third, ..
_ENOUGH = 240  # Hz: of faster ones as many samples are averaged as leave no fewer

_ALIKE = 1.0  # root mean square of the difference of two shapes, in steps
_TICKS_OFF = 3
# The same beat is alike in many records by chance, three at the same distances are not.
_VOTES, _VOTES_OF_FEW, _FEW = 3, 2, 6

_KEPT = np.dtype([("time", "<u2"), ("shape", "u1", (len(_AROUND_S),))])


@dataclass(frozen=True, eq=False)
class Landmarks:
    """The landmarks of many signals.

    Attributes:
        owner: [N] int64, which signal each is of.
        kept: [N] time and shape of each, as `find_landmarks` has them.
    """

    owner: np.ndarray
    kept: np.ndarray


def find_landmarks(signal: np.ndarray, sampling_rate: float) -> str:
    """Returns a signal's landmarks as text: 12 bytes each, in base 64; '' if it has none.

    Of a long signal half are kept, those with the weakest surroundings: of a part of it, the same.

    Args:
        signal: int16 [lead, time]; MISSING (-32768) marks missing samples.
        sampling_rate: In Hz.
    """
    every = max(1, int(sampling_rate // _FASTEST))
    signal, sampling_rate = signal[:, : _LONGEST * every : every], sampling_rate / every
    height, sampling_rate = _slopes(signal, sampling_rate)
    times, peaks = _peaks(height, sampling_rate)
    around = (times[:, None] + _AROUND_S * sampling_rate).ravel()
    relative = np.interp(around, np.arange(len(height)), height).reshape(-1, len(_AROUND_S))
    shape = np.log10(relative / peaks[:, None] + _FLOOR) - np.log10(_FLOOR)
    count = min(max(_FEWEST, len(times) // 2), _MOST)
    chosen = np.sort(np.argsort(shape.sum(axis=1), kind="stable")[:count])
    kept = np.zeros(len(chosen), _KEPT)
    kept["time"] = np.rint(times[chosen] * _TICKS / sampling_rate).astype(np.int64) % (1 << 16)
    kept["shape"] = np.clip(np.rint(shape[chosen] * _STEPS), 0, 255)
    return base64.b64encode(kept.tobytes()).decode()


def _slopes(signal: np.ndarray, sampling_rate: float) -> tuple[np.ndarray, float]:
    """Returns float32 [time]: the squared slopes of all leads, smoothed; and its rate in Hz."""
    values = signal.astype(np.float32)
    for lead in np.flatnonzero((signal == MISSING).any(axis=1)):
        missing = signal[lead] == MISSING
        values[lead, missing] = values[lead, ~missing].mean() if not missing.all() else 0.0
    block = max(1, min(int(sampling_rate // _ENOUGH), values.shape[1]))
    whole = values.shape[1] // block * block
    sums = sum(values[:, first:whole:block] for first in range(block))
    # What the blocks have smoothed already: the variance of their samples' places.
    smoothed_s2 = (block * block - 1) / 12 / sampling_rate**2
    sampling_rate /= block
    sigma = math.sqrt(_SLOPE_S**2 - smoothed_s2) * sampling_rate
    slopes = ndimage.gaussian_filter1d(sums, sigma, order=1, mode="nearest")
    total = np.einsum("lt,lt->t", slopes, slopes)
    total = ndimage.gaussian_filter1d(total, _SUM_S * sampling_rate, mode="nearest")
    return total, sampling_rate


def _peaks(height: np.ndarray, sampling_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Returns where [time] is highest within `_APART_S`, in samples and parts of one, and how high.

    Only those whose surroundings lie within the signal.
    """
    width = 2 * round(_APART_S * sampling_rate) + 1
    highest = ndimage.maximum_filter1d(height, width, mode="nearest")
    found = np.flatnonzero((height == highest) & (height > 0))
    first, last = _BEFORE_S * sampling_rate + 2, len(height) - _AFTER_S * sampling_rate - 2
    found = found[(found >= first) & (found < last)]
    left, middle, right = (height[found + step].astype(np.float64) for step in (-1, 0, 1))
    bend = left - 2 * middle + right
    shift = np.divide(left - right, 2 * bend, out=np.zeros(len(found)), where=bend < 0)
    return found + shift, middle


def read_landmarks(texts: Sequence[str]) -> Landmarks:
    """Reads what `find_landmarks` returned of several signals, numbered in this order.

    Raises:
        ValueError: One of them is no such text.
    """
    try:
        parts = [np.frombuffer(base64.b64decode(text, validate=True), _KEPT) for text in texts]
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"landmarks are damaged ({error})") from error
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Landmarks(owner, np.concatenate([np.zeros(0, _KEPT), *parts]))


def same_signals(known: Landmarks, asked: Landmarks) -> dict[int, int]:
    """Finds signals that are the same but for gain, rate, cut, or the order of their leads.

    Args:
        known: Signals.
        asked: Signals that may be among them.

    Returns:
        By the number of each signal of `asked` that is found, the number of the first it is.
    """
    return _search(known, asked, earlier=False)


def join_same(names: Sequence[str], of: Landmarks) -> list[str]:
    """Returns the names of signals, where each that is the same as an earlier one has its name."""
    joined = list(names)
    for number, earlier in sorted(_search(of, of, earlier=True).items()):
        joined[number] = joined[earlier]
    return joined


def _search(known: Landmarks, asked: Landmarks, *, earlier: bool) -> dict[int, int]:
    """Returns the first of `known`, of those with lower numbers alone, that each of `asked` is."""
    if not len(known.kept) or not len(asked.kept):
        return {}
    tree = cKDTree(known.kept["shape"].astype(np.float32))
    radius = _ALIKE * len(_AROUND_S) ** 0.5
    counts = np.bincount(known.owner)
    numbers, starts = np.unique(asked.owner, return_index=True)
    found: dict[int, int] = {}
    for number, mine in zip(numbers.tolist(), np.split(asked.kept, starts[1:]), strict=True):
        hits = tree.query_ball_point(mine["shape"].astype(np.float32), radius)
        rows = np.repeat(np.arange(len(mine)), [len(hit) for hit in hits])
        theirs = np.array([row for hit in hits for row in hit], np.int64)
        owners = known.owner[theirs]
        for other in np.unique(owners[owners < number] if earlier else owners).tolist():
            of = owners == other
            needed = _VOTES_OF_FEW if min(counts[other], len(mine)) < _FEW else _VOTES
            apart = mine["time"][rows[of]] - known.kept["time"][theirs[of]]  # modulo 2 ** 16
            if _votes(apart, rows[of]) >= needed:
                found[number] = other
                break
    return found


def _votes(apart: np.ndarray, rows: np.ndarray) -> int:
    """Returns how many different landmarks [N] agree on a distance in time uint16 [N]."""
    most = 0
    for start in np.unique(apart):
        agreeing = (apart - start).astype(np.uint16) <= _TICKS_OFF
        most = max(most, len(np.unique(rows[agreeing])))
    return most
