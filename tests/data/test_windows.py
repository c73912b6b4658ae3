"""Windows of whole records and their mean scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resunet_lc_jax.data.windows import Windowing, score_signals, window_starts
from tfds_physionet.reading.records import MISSING
from tfds_physionet.reading.signals import PreparedSignal


def _windowing(size: int, leads: tuple[str, ...], pad: str = "right") -> Windowing:
    return Windowing(
        length=10,
        leads=leads,
        pad=pad,
        statistics="record",
        rule="all",
        batch_size=size,
        seed=0,
    )


def _prepared(samples: int, value: int = 1) -> PreparedSignal:
    return PreparedSignal(
        signal=np.full((12, samples), value, np.int16),
        lead_mean=np.arange(12, dtype=np.float32),
        lead_std=np.ones(12, np.float32),
        lead_present=np.ones(12, bool),
        sampling_rate=500.0,
    )


@settings(deadline=None)  # up to 100,000 windows, on a machine with other work
@given(st.integers(1, 100_000), st.integers(1, 5000))
def test_all_windows_cover_the_record_evenly_and_none_is_padded(samples: int, length: int) -> None:
    starts = window_starts(samples, length, "all")
    assert len(starts) == -(-samples // length)
    assert starts[0] == 0 and starts[-1] == max(samples - length, 0)
    steps = np.diff(starts)
    assert (steps <= length).all() and (np.ptp(steps) <= 1 if len(steps) else True)


def test_first_and_random_take_one_window() -> None:
    assert window_starts(9000, 4096, "first") == [0]
    drawn = {window_starts(9000, 4096, "random", seed=(0, n))[0] for n in range(50)}
    assert len(drawn) > 40 and 0 <= min(drawn) and max(drawn) <= 9000 - 4096
    assert window_starts(9000, 4096, "random", seed=(1, 2)) == window_starts(
        9000, 4096, "random", seed=(1, 2)
    )
    with pytest.raises(ValueError, match="windows by 'last'"):
        window_starts(9000, 4096, "last")


@given(st.lists(st.integers(1, 60), min_size=1, max_size=30), st.integers(1, 7))
def test_each_record_gets_the_mean_over_its_own_windows(lengths: list[int], size: int) -> None:
    """The scores here are a window's number of known samples, which tells windows apart."""
    seen = []

    def score_batch(batch: dict[str, np.ndarray]) -> np.ndarray:
        assert batch["signal"].shape == (size, 2, 10)
        known = (batch["signal"] != MISSING).sum(axis=(1, 2))
        assert (known[batch["mask"] == 0] == 0).all()
        seen.append(int(batch["mask"].sum()))
        return np.stack([known, batch["signal"][:, 0, 0]], axis=1).astype(np.float32)

    records = [(name, _prepared(n, name)) for name, n in enumerate(lengths)]
    scored = list(score_signals(records, score_batch, _windowing(size, ("II", "aVR"))))
    assert [name for name, _ in scored] == list(range(len(lengths)))
    for (name, scores), n in zip(scored, lengths, strict=True):
        np.testing.assert_array_equal(scores, [2 * min(n, 10), name])
    assert sum(seen) == sum(-(-n // 10) for n in lengths)


def test_leads_keep_their_own_statistics() -> None:
    def score_batch(batch: dict[str, np.ndarray]) -> np.ndarray:
        return batch["lead_mean"]

    windowing = _windowing(2, ("V2", "II"))
    (_, scores), *_ = score_signals([("a", _prepared(10))], score_batch, windowing)
    np.testing.assert_array_equal(scores, [7, 1])


@pytest.mark.parametrize(("pad", "place"), [("right", slice(0, 6)), ("left", slice(4, 10))])
def test_a_short_record_is_padded_at_the_side_that_is_asked_for(pad: str, place: slice) -> None:
    def score_batch(batch: dict[str, np.ndarray]) -> np.ndarray:
        return batch["signal"][:, 0].astype(np.float32)

    windowing = _windowing(1, ("I",), pad)
    ((_, scores),) = score_signals([("a", _prepared(6))], score_batch, windowing)
    expected = np.full(10, MISSING)
    expected[place] = 1
    np.testing.assert_array_equal(scores, expected)
