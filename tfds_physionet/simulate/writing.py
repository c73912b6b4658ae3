"""Writes simulated records as files of the Challenge's form, on all cores, whole or not at all."""

import glob
import os
import shutil
import struct
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tfds_physionet.files import lock
from tfds_physionet.pool import num_cores, worker_pool
from tfds_physionet.simulate.record import SOURCES, SimulatedRecord, simulate_record

# Part of the name of what is prepared from these records, by style: raise it when they change.
VERSIONS = {"clear": "v1", "clinical": "clinical_v1"}

_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_RECORDS_PER_FOLDER = 1000
_CHUNK = 100


def write_records(
    folder: Path,
    *,
    count: int,
    seed: int = 0,
    duration_s: float = 10.0,
    sampling_rate: float = 500.0,
    style: str = "clear",
    workers: int = 0,
    progress: bool = True,
) -> None:
    """Writes `folder`/training/<database>/g<N>/<record>.{hea,mat}.

    Written beside the folder and then renamed: there is either the whole or nothing. What a killed
    process left is removed by the next one; a lock keeps two apart. A record's bytes depend on the
    seed and its number, not on the count or the workers.

    Args:
        folder: Where to; must not exist, or be empty.
        count: How many records.
        seed: As of `simulate_record`, as duration and rate.
        duration_s: Of each record.
        sampling_rate: In Hz.
        style: As of `simulate_record`.
        workers: Processes; 0 for one a core. Few records are written by this process alone.
        progress: Whether a bar is shown.

    Raises:
        FileExistsError: There is something in the folder.
        OSError: A file cannot be written (a full disk).
        ValueError: A count below 1, or what `simulate_record` doesn't take.
    """
    folder = Path(folder).absolute()
    if count < 1:
        raise ValueError(f"count is {count}; give 1 or more")
    # Refuses what no record can be made with before anything is written.
    simulate_record(seed, 0, duration_s=duration_s, sampling_rate=sampling_rate, style=style)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with lock(folder.with_name(f".{folder.name}.lock")):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise FileExistsError(f"{folder} exists; give another folder or remove it")
        for left in folder.parent.glob(glob.escape(f".{folder.name}.partial-") + "*"):
            shutil.rmtree(left, ignore_errors=True)  # of a process that was killed
        beside = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
        try:
            _write_lists(beside, count)
            chunks = [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
            tasks = [(beside, chunk, seed, duration_s, sampling_rate, style) for chunk in chunks]
            with (
                worker_pool(min(workers or num_cores(), len(tasks) // 2)) as run,
                tqdm(total=count, unit="record", disable=not progress, desc="simulate") as bar,
            ):
                for written in run(_write_chunk, tasks):
                    if isinstance(written, OSError):
                        raise OSError(
                            f"{folder}: the records can't be written ({written.strerror}); make "
                            "room, or choose another folder"
                        ) from written
                    if isinstance(written, Exception):
                        raise written
                    bar.update(written)
            beside.rename(folder)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


def _write_lists(folder: Path, count: int) -> None:
    """Makes the g folders, each with the RECORDS file that lists what will lie in it."""
    for turn, source in enumerate(SOURCES):
        names = [
            f"{source.prefix}{n + 1:05d}" for n in range(len(range(turn, count, len(SOURCES))))
        ]
        for start in range(0, len(names), _RECORDS_PER_FOLDER):
            group = folder / "training" / source.database / f"g{start // _RECORDS_PER_FOLDER + 1}"
            group.mkdir(parents=True)
            listed = names[start : start + _RECORDS_PER_FOLDER]
            (group / "RECORDS").write_text("".join(f"{name}\n" for name in listed))


def _write_chunk(task: tuple[Path, range, int, float, float, str]) -> int | OSError:
    """Writes some records; returns how many, or why it could not."""
    folder, chunk, seed, duration_s, sampling_rate, style = task
    try:
        for index in chunk:
            record = simulate_record(
                seed, index, duration_s=duration_s, sampling_rate=sampling_rate, style=style
            )
            group = f"g{index // len(SOURCES) // _RECORDS_PER_FOLDER + 1}"
            write_record(folder / "training" / record.source.database / group, record)
    except OSError as error:
        return error
    return len(chunk)


def write_record(folder: Path, record: SimulatedRecord) -> None:
    """Writes `folder`/<name>.hea and .mat (MATLAB v4, one int16 matrix `val` [12, time])."""
    num_samples = record.signal.shape[1]
    # Type 30: int16, full, little-endian; rows, columns, real, length of the name with its 0.
    head = struct.pack("<5i4s", 30, len(_LEADS), num_samples, 0, 4, b"val\0")
    samples = np.ascontiguousarray(record.signal.T, dtype="<i2")  # MATLAB's order: time by time
    (folder / f"{record.name}.mat").write_bytes(head + samples.tobytes())
    (folder / f"{record.name}.hea").write_text(_header(record), encoding="ascii")


def _header(record: SimulatedRecord) -> str:
    source = record.source
    lines = [f"{record.name} 12 {record.sampling_rate:g} {record.signal.shape[1]}"]
    # WFDB's checksum: the sum of the samples in 16 bits.
    checksums = record.signal.sum(axis=1, dtype=np.int64).astype(np.int16)
    stored = f"{record.name}.mat {source.format_text} {source.gain_text}"
    lines += [
        f"{stored} 16 0 {first} {checksum} 0 {lead}"
        for lead, first, checksum in zip(_LEADS, record.signal[:, 0], checksums, strict=True)
    ]
    remarks = {
        "Age": "NaN" if record.age is None else record.age,
        "Sex": record.sex,
        "Dx": ",".join(record.codes),
        "Rx": "Unknown",
        "Hx": "Unknown",
        "Sx": "Unknown",
    }
    lines += [f"{source.remark}{name}: {value}" for name, value in remarks.items()]
    return "".join(f"{line}\n" for line in lines)
