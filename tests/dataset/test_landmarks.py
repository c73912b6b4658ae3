"""A signal is told again at another gain or rate, cut, or with its leads moved; no other is."""

from pathlib import Path

import numpy as np
import pytest
from builds import build
from scipy.signal import resample

from tfds_physionet.building.records_table import read_table
from tfds_physionet.reading.records import MISSING, read_record
from tfds_physionet.reading.signals import standard_leads
from tfds_physionet.simulate import simulate_record, write_records
from tfds_physionet.splits.landmarks import find_landmarks, join_same, read_landmarks, same_signals

_ORDER = np.random.default_rng(0).permutation(12)


def _changed(signal: np.ndarray, rate: float, gain: float) -> dict[str, tuple[np.ndarray, float]]:
    length = signal.shape[1]
    slower = resample(np.where(signal == MISSING, 0, signal), int(length * 400 / rate), axis=1)
    slower = np.clip(np.rint(slower), -32767, 32767).astype(np.int16)
    return {
        "first half": (signal[:, : length // 2], rate),
        "second half": (signal[:, length // 2 :], rate),
        "a half within": (signal[:, length // 5 : length // 5 + length // 2], rate),
        "at 400 Hz": (slower, 400.0),
        "scaled": (np.rint(signal * gain).astype(np.int16), rate),
        "leads moved": (signal[_ORDER], rate),
        "cut, slower, moved": (slower[_ORDER, : slower.shape[1] // 2], 400.0),
    }


@pytest.fixture(scope="module")
def simulated() -> list[tuple[np.ndarray, float]]:
    return [(simulate_record(5, number).signal, 500.0) for number in range(150)]


def _check(signals: list[tuple[np.ndarray, float]], others: list[str], gain: float) -> None:
    """At least 99 % of each change of the signals are found among them and others, none wrongly."""
    texts = [find_landmarks(*signal) for signal in signals]
    known = read_landmarks([*texts, *others])
    changes = [_changed(*signal, gain) for signal in signals]
    for change in changes[0]:
        asked = read_landmarks([find_landmarks(*of[change]) for of in changes])
        found = same_signals(known, asked)
        assert len(found) >= 0.99 * len(signals), change
        assert all(number == at for number, at in found.items()), change
    names = [str(number) for number in range(len(texts) + len(others))]
    assert join_same(names, known) == names


def test_changed_signals_are_found_among_simulated_ones(simulated: list) -> None:
    # Some have a gain of 200 a mV, of which a fifth would leave little.
    _check(simulated[:50], [find_landmarks(*signal) for signal in simulated[50:]], 0.5)


def test_changed_real_signals_are_found_among_real_and_simulated_ones(
    physionet2021: Path, simulated: list
) -> None:
    records = [read_record(path) for path in sorted(physionet2021.rglob("*.hea"))]
    real = [(standard_leads(record), record.sampling_rate) for record in records]
    _check(real, [find_landmarks(*signal) for signal in simulated], 0.2)


def test_the_same_signals_have_one_name(simulated: list) -> None:
    (one, rate), (other, _) = simulated[:2]
    texts = [find_landmarks(signal, rate) for signal in (one, other, one[:, :3000], one // 2)]
    joined = join_same(["one", "other", "cut", "scaled"], read_landmarks(texts))
    assert joined == ["one", "other", "one", "one"]


def test_a_scaled_copy_is_in_the_fold_of_its_record(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    write_records(folder, count=40, seed=3, workers=1, progress=False)
    for header in sorted(folder.rglob("*.hea"))[:6]:
        signal = header.with_suffix(".mat").read_bytes()
        halved = (np.frombuffer(signal[24:], "<i2") // 2).tobytes()
        header.with_name(f"Z{header.stem}.mat").write_bytes(signal[:24] + halved)
        text = header.read_text().replace(header.stem, f"Z{header.stem}")
        header.with_name(f"Z{header.name}").write_text(text)
    table = read_table(build(folder, tmp_path / "data").builder_dir / "records.csv")
    folds = dict(zip(table.record_id.tolist(), table.fold.tolist(), strict=True))
    copies = [name for name in folds if name.startswith("Z")]
    assert len(copies) == 6 and len(set(table.signal_hash.tolist())) == 46
    assert all(folds[name] == folds[name[1:]] for name in copies)


@pytest.mark.parametrize(
    "signal",
    [
        np.zeros((12, 5000), np.int16),
        np.full((12, 5000), MISSING, np.int16),
        np.ones((12, 1), np.int16),
        np.tile(np.int16([[-32767, 32767]]), (12, 20)),
    ],
)
@pytest.mark.parametrize("rate", [1.0, 500.0, 1e5])
def test_a_signal_without_beats_is_like_no_other(signal: np.ndarray, rate: float) -> None:
    text = find_landmarks(signal, rate)
    found = same_signals(read_landmarks([text]), read_landmarks([text]))
    assert found in ({}, {0: 0}) if rate == 1.0 else found == {}


def test_text_that_holds_no_landmarks_is_refused() -> None:
    for text in ("?", "AAAA"):
        with pytest.raises(ValueError, match="landmarks are damaged"):
            read_landmarks(["", text])
