"""Records to measure with: simulated ones, and real ones where there are some."""

import os
from pathlib import Path

from tfds_physionet.simulate import write_records


def simulated(folder: Path, count: int) -> Path:
    """A folder with this many simulated records of 10 s at 500 Hz, written if need be."""
    records = folder / f"records_{count}"
    if not records.exists():
        write_records(records, count=count, seed=1, progress=False)
    return records


def real() -> Path | None:
    """Records of the Challenge, from the environment, if there are any."""
    folder = os.environ.get("PHYSIONET2021_RECORDS")
    return Path(folder) if folder and Path(folder).is_dir() else None
