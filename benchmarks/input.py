"""From the prepared data set to batches, against reading and preparing each record each time."""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
import scipy.io
import scipy.signal

from benchmarks.records import real, simulated
from benchmarks.timing import Row

BATCH, LENGTH, RATE = 24, 4096, 500
COUNTS = (500, 1000, 2000)
RECORDS_PER_S = 6000
ROUNDS = 3
MEASURED = 12_000  # records that pass in one measurement


def measure(*, full: bool) -> tuple[list[Row], dict]:
    """Returns the rows and the curve {records: records/s} of our side."""
    rows, curve = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for count in COUNTS:
            records = simulated(Path(scratch), count)
            curve[count] = batches_per_s(records, Path(scratch))
        name = f"input, {LENGTH} samples at 500 Hz"
        rows.append(_at_least(name, *both_rates(records, Path(scratch), 3000), 7, RECORDS_PER_S))
        if (found := real()) is not None:
            name = "input, mixed real records"
            rows.append(_at_least(name, *both_rates(found, Path(scratch), 1000), 20, 0))
    return rows, {"input": {"ours": curve}}


def both_rates(records: Path, data_dir: Path, count: int) -> tuple[float, float]:
    """Records a second of our stream and of a DataLoader's `count` items, in turn: the medians."""
    rates = [(batches_per_s(records, data_dir), loader_rate(records, count)) for _ in range(ROUNDS)]
    ours, peer = (statistics.median(side) for side in zip(*rates, strict=True))
    return ours, peer


def _at_least(name: str, ours: float, peer: float, times: float, rate: float) -> Row:
    target = f">= {times} times" + (f", >= {rate:,} records/s" if rate else "")
    met = ours >= times * peer and ours >= rate
    note = "PyTorch's DataLoader, one worker, each item from its .mat"
    return Row(name, ours, peer, "records/s", target, met, note)


def opened_stream(
    records: Path, data_dir: Path, length: int, batch: int
) -> Generator[dict[str, np.ndarray]]:
    """The stream that training sees, of all records of a folder; prepared in `data_dir`."""
    from configs import default
    from resunet_lc_jax.data import sources, stream
    from resunet_lc_jax.runs import settings

    config = default.get_config()
    config.data.records, config.data.data_dir = str(records), str(data_dir)
    config.data.length, config.eval.batch_size = length, batch
    with contextlib.redirect_stdout(None):
        opened = sources.open_records(settings.source(config), settings.split_rules(config))
    split = opened.selection.split("all")
    return stream.training_batches(opened, split, settings.windowing(config))


def batches_per_s(records: Path, data_dir: Path) -> float:
    """Records a second of the stream that training sees, after its first batches."""
    batches = opened_stream(records, data_dir, LENGTH, BATCH)
    for _ in range(40):
        next(batches)
    start = time.perf_counter()
    for _ in range(MEASURED // BATCH):
        next(batches)
    return MEASURED // BATCH * BATCH / (time.perf_counter() - start)


class Items:
    """The records of a folder, each read, z-scored, resampled and cropped anew: map-style data."""

    def __init__(self, records: Path, count: int) -> None:
        """Takes `count` of them, some more than once where there are fewer."""
        self._headers = sorted(records.rglob("*.hea"))
        self._count = count

    def __len__(self) -> int:
        """How many items there are."""
        return self._count

    def __getitem__(self, item: int) -> np.ndarray:
        """One crop [12, 4096]."""
        header = self._headers[item % len(self._headers)]
        return per_item(header, np.random.default_rng(item))


def loader_rate(records: Path, count: int) -> float:
    """Records a second of PyTorch's DataLoader with one worker, after its first batches."""
    from torch.utils.data import DataLoader

    loader = DataLoader(
        Items(records, count),  # type: ignore[arg-type]
        batch_size=BATCH,
        num_workers=1,
        shuffle=True,
        drop_last=True,
        multiprocessing_context="spawn",
    )
    batches = iter(loader)
    for _ in range(2):
        next(batches)
    start = time.perf_counter()
    number = sum(len(batch) for batch in batches)
    return number / (time.perf_counter() - start)


def per_item(header: Path, rng: np.random.Generator) -> np.ndarray:
    """One crop [12, 4096], as an item of a PyTorch data set makes it."""
    rate = float(header.read_text().split("\n", 1)[0].split()[2].split("/")[0])
    signal = scipy.io.loadmat(header.with_suffix(".mat"))["val"].astype(np.float64)
    signal = (signal - signal.mean(axis=1, keepdims=True)) / (
        signal.std(axis=1, keepdims=True) + 1e-8
    )
    if rate == 2 * RATE:
        signal = scipy.signal.resample_poly(signal, 1, 2, axis=1)
    elif rate != RATE:
        signal = scipy.signal.resample(signal, int(signal.shape[1] * RATE / rate), axis=1)
    start = int(rng.integers(max(1, signal.shape[1] - LENGTH + 1)))
    crop = signal[:, start : start + LENGTH].astype(np.float32)
    return np.pad(crop, ((0, 0), (0, LENGTH - crop.shape[1])))
