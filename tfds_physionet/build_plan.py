"""Decides, before a signal is written, which records go into which fold; makes their examples.

`make_plan` reads every record once (labels, hash of the signal), skips those that can't be used,
and assigns the folds. `make_example` turns one planned record into the builder's features.
"""

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfds_physionet.diagnoses import CLASS_NAMES, encode
from tfds_physionet.folds import assign_folds, fold_report, group_records, read_ptbxl
from tfds_physionet.pool import Map
from tfds_physionet.records import RecordError, find_records, read_record
from tfds_physionet.signals import prepare, signal_hash

NUM_FOLDS = 10


@dataclass(frozen=True)
class PlannedRecord:
    """A record that will be written; see the builder's features for patient and hash."""

    path: Path
    record_id: str
    database: str
    diagnoses: tuple[str, ...]
    patient_id: str
    signal_hash: str


@dataclass(frozen=True)
class Plan:
    """What a build will hold.

    Attributes:
        folds: The records of fold 1, 2, .. 10, in the order in which they are written.
        skipped: The errors of those that can't be used.
        report: Counts by fold, class and database (`folds.fold_report`).
    """

    folds: tuple[tuple[PlannedRecord, ...], ...]
    skipped: tuple[RecordError, ...]
    report: dict


@dataclass(frozen=True)
class _Seen:
    database: str
    labels: np.ndarray
    signal_hash: str


def make_plan(
    records: Path,
    *,
    patients: Path | None = None,
    published_folds: bool = False,
    map_records: Map = map,
) -> Plan:
    """Reads all records below a folder and assigns them to ten folds.

    The result depends on the records alone, not on their order or the number of workers.

    Args:
        records: A folder with headers anywhere below it.
        patients: PTB-XL's ptbxl_database.csv, which tells whose each HR record is; without it each
            record counts as its own patient.
        published_folds: Whether PTB-XL's records keep the folds of that file.
        map_records: How to map over the records.

    Raises:
        FileNotFoundError: The folder is not there or has no records.
        ValueError: Fewer than ten records can be used, or a fold would be empty.
    """
    if published_folds and patients is None:
        raise ValueError("published folds are in PTB-XL's ptbxl_database.csv; give its path")
    known = read_ptbxl(patients) if patients else {}
    paths = find_records(records)
    seen: list[tuple[Path, _Seen]] = []
    skipped: list[RecordError] = []
    for path, result in zip(paths, map_records(_see, paths), strict=True):
        if isinstance(result, RecordError):
            skipped.append(result)
        else:
            seen.append((path, result))
    if len(seen) < NUM_FOLDS:
        reason = f"; {len(skipped)} were skipped, the first: {skipped[0]}" if skipped else ""
        raise ValueError(
            f"{records}: {len(seen)} records can be used; ten folds need at least ten{reason}"
        )
    names = [path.stem for path, _ in seen]
    patient_ids = [f"ptb-xl {known[name][0]}" if name in known else name for name in names]
    hashes = [record.signal_hash for _, record in seen]
    labels = np.stack([record.labels for _, record in seen])
    databases = [record.database for _, record in seen]
    folds = assign_folds(
        names,
        labels,
        databases,
        group_records(patient_ids, hashes),
        num_folds=NUM_FOLDS,
        fixed={name: known[name][1] for name in names if name in known} if published_folds else {},
    )
    planned = [
        PlannedRecord(
            path=path,
            record_id=path.stem,
            database=record.database,
            diagnoses=tuple(np.array(CLASS_NAMES)[record.labels == 1].tolist()),
            patient_id=patient,
            signal_hash=record.signal_hash,
        )
        for (path, record), patient in zip(seen, patient_ids, strict=True)
    ]
    # Sources are mixed within a fold, in the order of a hash of the record's name.
    planned_folds = tuple(
        tuple(sorted((planned[row] for row in np.flatnonzero(folds == fold)), key=_place))
        for fold in range(1, NUM_FOLDS + 1)
    )
    for number, fold in enumerate(planned_folds, start=1):
        if not fold:
            raise ValueError(
                f"{records}: nothing is left for fold {number} of {NUM_FOLDS}: {len(seen)} records "
                "of too few patients or distinct signals; give more records"
            )
    report = fold_report(folds, labels, databases, patient_ids, hashes, num_folds=NUM_FOLDS)
    return Plan(planned_folds, tuple(skipped), report)


def make_example(
    task: tuple[PlannedRecord, float, tuple[float, float] | None],
) -> dict[str, Any] | RecordError:
    """Returns the builder's features of (record, sampling rate in Hz, band in Hz or None)."""
    planned, sampling_rate, band_hz = task
    try:
        record = read_record(planned.path)
        prepared = prepare(record, sampling_rate=sampling_rate, band_hz=band_hz)
    except RecordError as error:
        return error
    return {
        "record_id": record.record_id,
        "database": record.database,
        "signal": prepared.signal,
        "lead_mean": prepared.lead_mean,
        "lead_std": prepared.lead_std,
        "lead_present": prepared.lead_present.astype(np.uint8),
        "labels": encode(record.codes),
        "codes": ",".join(record.codes),
        "age": np.float32(record.age),
        "sex": record.sex,
        "original_sampling_rate": np.float32(record.sampling_rate),
        "patient_id": planned.patient_id,
        "signal_hash": planned.signal_hash,
    }


def write_skipped(path: Path, skipped: Sequence[RecordError], records: Path) -> None:
    """Lists skipped records as CSV: the file below `records`, what of it, and why."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["record", "field", "reason"])
        for error in skipped:
            writer.writerow([error.path.relative_to(records), error.field, error.reason])


def _see(path: Path) -> _Seen | RecordError:
    try:
        record = read_record(path)
        return _Seen(record.database, encode(record.codes), signal_hash(record))
    except RecordError as error:
        return error


def _place(record: PlannedRecord) -> bytes:
    return hashlib.blake2b(record.record_id.encode(), digest_size=16).digest()
