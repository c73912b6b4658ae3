"""Whole records to windows of a fixed length, and the windows' scores back to records.

Evaluation and prediction share this: the same record gets the same scores in both.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from resunet_lc_jax.data.leads import standard_rows
from tfds_physionet.reading.records import MISSING
from tfds_physionet.reading.signals import PreparedSignal

Key = TypeVar("Key")
Count = TypeVar("Count")

ScoreBatch = Callable[[dict[str, np.ndarray]], np.ndarray]
"""From a batch of windows (the arrays of `steps.Batch` but for the labels) to scores [B, K]."""


@dataclass(frozen=True)
class Windowing:
    """How records are cut into windows of one length, and these are put into batches.

    Attributes:
      length: T, samples of a window.
      leads: The names of the leads that are kept, in this order.
      pad: The side at which a shorter record is padded: 'right' or 'left'.
      statistics: Whose mean and standard deviation a window is z-scored by: the whole 'record''s or
        the 'crop''s own.
      rule: Which windows of a longer record are scored, see `window_starts`; training draws.
      batch_size: B, windows in a batch.
      seed: Of windows that are drawn.
    """

    length: int
    leads: tuple[str, ...]
    pad: str
    statistics: str
    rule: str
    batch_size: int
    seed: int


def window_starts(samples: int, length: int, rule: str, *, seed: Sequence[int] = (0,)) -> list[int]:
    """Returns the first sample of each window of a record.

    Args:
      samples: n, the record's number of samples.
      length: T, the window's.
      rule: 'all': ceil(n / T) windows, evenly spaced from 0 to n - T, so that none is padded
        where n >= T; 'first': the one at 0; 'random': one at a place drawn from the seed (the
        published evaluation).
      seed: Seed of 'random'.

    Raises:
      ValueError: Another name.
    """
    last = max(samples - length, 0)
    if rule == "first":
        return [0]
    if rule == "random":
        return [int(np.random.default_rng(list(seed)).integers(last + 1))]
    if rule == "all":
        count = max(math.ceil(samples / length), 1)
        return [round(start) for start in np.linspace(0, last, count)]
    raise ValueError(f"windows by {rule!r}: choose 'all', 'first' or 'random'")


def padding(count: Count, side: str) -> tuple[Count | int, Count | int]:
    """Returns how many of `count` missing samples stand before a record and how many after it.

    Args:
      count: Missing samples, any kind of integer.
      side: 'left' or 'right'.

    """
    return (count, 0) if side == "left" else (0, count)


def score_signals(
    signals: Iterable[tuple[Key, PreparedSignal]], score_batch: ScoreBatch, windowing: Windowing
) -> Iterator[tuple[Key, np.ndarray]]:
    """Scores records as they come: the mean over each one's windows.

    Args:
      signals: Pairs of a key and a prepared signal [12, n].
      score_batch: Scores `windowing.batch_size` windows at once. The last batch is filled up with
        rows whose mask is 0.
      windowing: How the records are cut. The seed of a window that is drawn is its own, with the
        record's place in the sequence.

    Yields:
      (key, scores [K] float32), in the order of the signals.
    """
    waiting: list[tuple[Key, int, list[np.ndarray]]] = []
    rows = standard_rows(windowing.leads)
    pending: list[dict[str, np.ndarray]] = []

    def flush() -> None:
        filled = pending + [_empty(pending[0])] * (windowing.batch_size - len(pending))
        batch = {name: np.stack([row[name] for row in filled]) for name in pending[0]}
        scores = iter(np.asarray(score_batch(batch))[: len(pending)])
        pending.clear()
        for _, count, got in waiting:
            got.extend(score for _, score in zip(range(count - len(got)), scores, strict=False))

    for number, (key, prepared) in enumerate(signals):
        samples, seed = prepared.signal.shape[1], (windowing.seed, number)
        starts = window_starts(samples, windowing.length, windowing.rule, seed=seed)
        waiting.append((key, len(starts), []))
        for start in starts:
            pending.append(_window(prepared, start, rows, windowing))
            if len(pending) == windowing.batch_size:
                flush()
        while waiting and len(waiting[0][2]) == waiting[0][1]:
            key, _, got = waiting.pop(0)
            yield key, _mean(got)
    if pending:
        flush()
    for key, _, got in waiting:
        yield key, _mean(got)


def _mean(scores: list[np.ndarray]) -> np.ndarray:
    return np.asarray(np.mean(scores, axis=0, dtype=np.float64), np.float32)


def _window(
    prepared: PreparedSignal, start: int, rows: np.ndarray, windowing: Windowing
) -> dict[str, np.ndarray]:
    samples = prepared.signal[rows, start : start + windowing.length]
    signal = np.full((len(rows), windowing.length), MISSING, np.int16)
    before, _ = padding(windowing.length - samples.shape[1], windowing.pad)
    signal[:, before : before + samples.shape[1]] = samples
    return {
        "signal": signal,
        "lead_mean": prepared.lead_mean[rows],
        "lead_std": prepared.lead_std[rows],
        "lead_present": prepared.lead_present[rows],
        "mask": np.ones((), np.float32),
    }


def _empty(window: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        **window,
        "signal": np.full_like(window["signal"], MISSING),
        "mask": np.zeros((), np.float32),
    }
