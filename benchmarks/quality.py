"""Puts defects into real records and counts which the quality gate finds.

PHYSIONET2021_RECORDS=DIR python -m benchmarks.quality --output=DIR
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.records import real
from tfds_physionet.files import replacing
from tfds_physionet.quality.findings import find
from tfds_physionet.reading.finding import find_records
from tfds_physionet.reading.records import MISSING, EcgRecord, read_record
from tfds_physionet.simulate import write_records

Change = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
"""From a lead [time] in mV, its rate in Hz and a generator to the lead with a defect."""


def _flat(seconds: float) -> Change:
    def change(x: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
        length = round(seconds * rate) + 1
        start = rng.integers(max(len(x) - length, 1))
        return np.concatenate([x[:start], np.full(length, x[start]), x[start + length :]])[: len(x)]

    return change


def _clipped(share: float) -> Change:
    return lambda x, rate, rng: np.minimum(x, np.quantile(x, 1 - share))


def _hum(amplitude: float) -> Change:
    return lambda x, rate, rng: x + amplitude * np.sin(2 * np.pi * 50 * np.arange(len(x)) / rate)


def _wander(amplitude: float) -> Change:
    return lambda x, rate, rng: x + amplitude * np.sin(2 * np.pi * 0.3 * np.arange(len(x)) / rate)


def _noise(std: float) -> Change:
    return lambda x, rate, rng: x + rng.normal(0, std, len(x))


def _missing(share: float) -> Change:
    return lambda x, rate, rng: np.where(np.arange(len(x)) < share * len(x), np.nan, x)


def _again(seconds: float) -> Change:
    def change(x: np.ndarray, rate: float, rng: np.random.Generator) -> np.ndarray:
        length = round(seconds * rate)
        return np.concatenate([x[:-length], x[:length]])

    return change


def _between(x: np.ndarray) -> np.ndarray:
    times = np.arange(len(x))
    return np.interp(times, times[::2], x[::2])


# Word, size, change of lead V2.
_DEFECTS: list[tuple[str, str, Change]] = [
    *(("flat", f"{s:g} s", _flat(s)) for s in (0.5, 1, 3)),
    *(("clipped", f"{share:.0%} of the samples", _clipped(share)) for share in (0.02, 0.1, 0.5)),
    *(("missing", f"{share:.0%} of the samples", _missing(share)) for share in (0.01, 0.5)),
    *(("hum", f"{mv:g} mV", _hum(mv)) for mv in (0.03, 0.1, 0.2)),
    *(("wander", f"{mv:g} mV", _wander(mv)) for mv in (0.3, 0.6, 1)),
    *(("repeated", f"{s:g} s come again", _again(s)) for s in (0.8, 1.5, 3)),
    ("repeated", "every second sample between its neighbours", lambda x, rate, rng: _between(x)),
    *(("noise", f"{mv:g} mV standard deviation, white", _noise(mv)) for mv in (0.05, 0.1, 0.2)),
]


def changed(record: EcgRecord, lead: str, change: Change, seed: int) -> EcgRecord:
    """Returns a record with a defect in a lead; its samples are rounded as they were."""
    row = record.leads.index(lead)
    gain, baseline = record.gains[row], record.baselines[row]
    values = (record.signal[row].astype(np.float64) - baseline) / gain
    values = change(values, record.sampling_rate, np.random.default_rng(seed)) * gain + baseline
    signal = record.signal.copy()
    rounded = np.clip(np.rint(np.nan_to_num(values)), -32767, 32767)
    signal[row] = np.where(np.isnan(values), MISSING, rounded)
    return replace(record, signal=signal)


def recall(records: list[EcgRecord]) -> list[tuple[str, str, int]]:
    """Returns of each defect its word, its size and how many records it is found in."""

    def found(record: EcgRecord, word: str) -> bool:
        return any(f.finding == word for f in find(record))

    rows = [
        (word, size, sum(found(changed(r, "V2", change, n), word) for n, r in enumerate(records)))
        for word, size, change in _DEFECTS
    ]
    for factor in (1000, 0.001):
        wrong = [replace(r, gains=tuple(g * factor for g in r.gains)) for r in records]
        rows.append(("unit", f"wrong by {1 / factor:g}", sum(found(r, "unit") for r in wrong)))
    short = [replace(r, signal=r.signal[:, : int(4 * r.sampling_rate)]) for r in records]
    rows.append(("short", "4 s", sum(found(r, "short") for r in short)))
    placed = [
        ("arm_swap", "right and left arm exchanged", _arms),
        ("chest_order", "V6 to V1", lambda x: np.concatenate([x[:6], x[:5:-1]])),
    ]
    for word, how, order in placed:
        rows.append((word, how, sum(found(_placed(r, order), word) for r in records)))
    for pair in ((0, 1), (1, 2)):  # I and III exchanged agree with Einthoven's law again
        names = f"{records[0].leads[pair[0]]} and {records[0].leads[pair[1]]} exchanged"
        swapped = []
        for record in records:
            order = list(range(len(record.leads)))
            order[pair[0]], order[pair[1]] = pair[1], pair[0]
            swapped.append(replace(record, signal=record.signal[order]))
        rows.append(("einthoven", names, sum(found(r, "einthoven") for r in swapped)))
    return rows


def _placed(record: EcgRecord, order: Callable[[np.ndarray], np.ndarray]) -> EcgRecord:
    """Returns a record of the standard leads, in their order, with the leads changed in mV."""
    scale = np.array(record.gains)[:, None], np.array(record.baselines)[:, None]
    changed = order((record.signal - scale[1]) / scale[0]) * scale[0] + scale[1]
    return replace(record, signal=np.clip(np.rint(changed), -32767, 32767).astype(np.int16))


def _arms(x: np.ndarray) -> np.ndarray:
    """I turns over, II and III change places, and so do aVR and aVL."""
    return np.concatenate([-x[:1], x[[2, 1, 4, 3]], x[5:]])


def main() -> None:
    """Writes quality.md: recall by defect, false alarms on simulated records, speed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    output = parser.parse_args().output
    if (folder := real()) is None:
        parser.error("PHYSIONET2021_RECORDS names no folder with real records")
    records = [read_record(found) for found in find_records(folder).records]
    started = time.process_time()
    own = [find(record) for record in records]
    spent = time.process_time() - started
    clean = [r for r, found in zip(records, own, strict=True) if not found]
    with tempfile.TemporaryDirectory() as simulated:
        write_records(Path(simulated), count=400, seed=77, workers=1, progress=False)
        alarms = [find(read_record(found)) for found in find_records(Path(simulated)).records]
    seconds = sum(r.signal.shape[1] / r.sampling_rate for r in records)
    lines = [
        f"{len(clean)} of {len(records)} real records have no finding; a defect in V2, "
        "or in all leads, of these:",
        "",
        "| word | defect | found in |",
        "|---|---|---|",
        *(f"| {w} | {size} | {n / len(clean):.1%} |" for w, size, n in recall(clean)),
        "",
        f"{sum(map(bool, alarms))} of {len(alarms)} simulated records have a finding. "
        f"{seconds / 10 / spent:.0f} records of 10 s a second of processor time.",
    ]
    output.mkdir(parents=True, exist_ok=True)
    with replacing(output / "quality.md") as beside:
        beside.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
