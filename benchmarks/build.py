"""Building the data set: records a second, on one core and on all, and memory, as records grow."""

import multiprocessing
import resource
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.records import simulated
from benchmarks.timing import Row, cores, limit

COUNTS, FULL_COUNTS = (500, 1000, 2000), (1000, 10_000, 50_000)
CHALLENGE = 88_253
CHALLENGE_MINUTES = 20


def measure(*, full: bool) -> tuple[list[Row], dict]:
    """Returns the rows and the curves {workers: {records: s}}."""
    rows: list[Row] = []
    curves: dict[str, dict[int, float]] = {}
    counts = FULL_COUNTS if full else COUNTS
    for count in counts:
        with tempfile.TemporaryDirectory() as scratch:
            records = simulated(Path(scratch), count)
            for workers in sorted({1, cores()}):
                if workers == 1 and count > 10_000:
                    continue
                spent, memory = _build(records, Path(scratch) / f"data_{workers}", workers)
                curves.setdefault(f"{workers} workers", {})[count] = spent
                name = f"build, {count:,} records, {workers} workers"
                rows.append(Row(name, count / spent, None, "records/s"))
                rows.append(Row(f"{name}, memory of a process", memory, None, "GB"))
    all_cores = curves[f"{cores()} workers"]
    many, many_s = max(all_cores.items())
    minutes = CHALLENGE * many_s / many / 60
    name = f"build, {CHALLENGE:,} records, extrapolated"
    rows.append(limit(name, minutes, "min", CHALLENGE_MINUTES, note=f"{cores()} workers"))
    if cores() > 1:
        times = all_cores[many], curves["1 workers"].get(many)
        if times[1]:
            name = f"build, speed-up of {cores()} workers"
            rows.append(Row(name, times[1] / times[0], None, "times", note=f"{many:,} records"))
    return rows, {"build": curves}


def _build(records: Path, data_dir: Path, workers: int) -> tuple[float, float]:
    """Seconds, and the GB of the largest of the processes, of a build in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_build_here, args=(there, records, data_dir, workers))
    process.start()
    there.close()
    spent, memory = here.recv()
    process.join()
    return spent, memory


def _build_here(connection: Connection, records: Path, data_dir: Path, workers: int) -> None:
    from tfds_physionet.building.build import prepare_dataset

    start = time.perf_counter()
    prepare_dataset(records, data_dir, workers=workers, progress=False)
    spent = time.perf_counter() - start
    who = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
    connection.send((spent, max(resource.getrusage(one).ru_maxrss for one in who) / 1e6))
