"""Decides, before a signal is written, which records go into which fold; makes their examples.

`make_plan` assigns the folds to records that `survey` has read; `make_example` turns one planned
record into the builder's features.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tfds_physionet.building.survey import Sight, Survey
from tfds_physionet.databases import without_patient_folders
from tfds_physionet.diagnoses import decode, encode
from tfds_physionet.errors import RecordError, of_record, printable
from tfds_physionet.reading.finding import FoundRecord
from tfds_physionet.reading.records import read_record
from tfds_physionet.reading.signals import prepare, signal_hash, standard_leads
from tfds_physionet.splits.folds import assign_folds, fold_report, group_records, join_folds
from tfds_physionet.splits.landmarks import join_same, read_landmarks
from tfds_physionet.splits.patients import (
    Person,
    identify_patients,
    join_in_turn,
    ptbxl_name,
    read_ptbxl,
)

NUM_FOLDS = 10


@dataclass(frozen=True)
class PlannedRecord:
    """A record that will be written; see the builder's features for patient and hash."""

    found: FoundRecord
    record_id: str
    database: str
    diagnoses: tuple[str, ...]
    patient_id: str
    signal_hash: str
    age: float
    sex: str
    landmarks: str

    @property
    def path(self) -> Path:
        """Its header or file."""
        return self.found.path


@dataclass(frozen=True)
class Plan:
    """What a build will hold.

    Attributes:
        folds: The records of fold 1, 2, .. 10, in the order in which they are written.
        skipped: (record, field, reason) of those that can't be used.
        remarks: The same of those that are used all the same.
        report: Counts by fold, class and database (`folds.fold_report`), and what is unknown.
    """

    folds: tuple[tuple[PlannedRecord, ...], ...]
    skipped: tuple[tuple[str, str, str], ...]
    remarks: tuple[tuple[str, str, str], ...]
    report: dict


def make_plan(
    surveyed: Survey,
    *,
    patients: Path | None = None,
    published_folds: bool = False,
    failed: Sequence[RecordError] = (),
) -> Plan:
    """Assigns the records of a folder to ten folds.

    The result depends on the usable records alone, not on their order or the number of workers.

    Args:
        surveyed: The records.
        patients: PTB-XL's ptbxl_database.csv, which tells whose its records are; see
            `patients.identify_patients` for what is done without.
        published_folds: Whether PTB-XL's records keep the folds of that file.
        failed: Errors of records that could be read, but not be written.

    Raises:
        ValueError: Fewer than ten records can be used, a fold would be empty, or the file tells of
            none of the records.
    """
    if published_folds and patients is None:
        raise ValueError("published folds are in PTB-XL's ptbxl_database.csv; give its path")
    failures = {error.path: error for error in failed}
    seen: list[tuple[FoundRecord, Sight]] = []
    skipped = [
        (printable(error.path.relative_to(surveyed.found.root)), error.field, error.reason)
        for error in surveyed.found.unreadable
    ]
    for record, sight in zip(surveyed.found.records, surveyed.seen, strict=True):
        error = failures.get(record.path, sight)
        if isinstance(error, RecordError):
            skipped.append((record.name, error.field, error.reason))
        else:
            seen.append((record, error))
    root = printable(surveyed.found.root)
    if len(seen) < NUM_FOLDS:
        reason = "".join(f"; {len(skipped)} were skipped: {': '.join(s)}" for s in skipped[:1])
        raise ValueError(
            f"{root}: {len(seen)} records can be used; ten folds need at least ten{reason}"
        )
    names = [record.record_id for record, _ in seen]
    databases = without_patient_folders([sight.database for _, sight in seen])
    table = read_ptbxl(patients) if patients else {}
    ecgs = [ptbxl_name(Path(record.name).name) for record, _ in seen]
    if patients and not any(ecg in table for ecg in ecgs):
        raise ValueError(
            f"{patients}: none of its {len(table)} ECGs is among the records in {root}, which "
            "would be named HR00001, 00001_hr or 00001_lr; give the right table, or none"
        )
    people = [
        Person(
            record_id=record.record_id,
            name=Path(record.name).name,
            database=database,
            told=sight.patient,
            age=sight.age,
            sex=sight.sex,
        )
        for (record, sight), database in zip(seen, databases, strict=True)
    ]
    patient_ids, told = identify_patients(people, table)
    _join_segments(seen, patient_ids)
    hashes = [sight.signal_hash for _, sight in seen]
    labels = np.stack([encode(sight.diagnoses) for _, sight in seen])
    fixed = {name: table[ecg][1] for name, ecg in zip(names, ecgs, strict=True) if ecg in table}
    folds = assign_folds(
        names,
        labels,
        databases,
        group_records(patient_ids, hashes),
        num_folds=NUM_FOLDS,
        fixed=fixed if published_folds else {},
    )
    # Only then, so that what is guessed of some records moves none of the others.
    patient_ids = join_in_turn(people, patient_ids, told)
    signals = join_same(hashes, read_landmarks([sight.landmarks for _, sight in seen]))
    groups = group_records(patient_ids, signals)
    folds = join_folds(folds, names, labels, databases, groups, num_folds=NUM_FOLDS)
    planned = [
        PlannedRecord(
            found=record,
            record_id=record.record_id,
            database=database,
            diagnoses=sight.diagnoses,
            patient_id=patient,
            signal_hash=sight.signal_hash,
            age=sight.age,
            sex=sight.sex,
            landmarks=sight.landmarks,
        )
        for (record, sight), database, patient in zip(seen, databases, patient_ids, strict=True)
    ]
    # Sources are mixed within a fold, in the order of a hash of the record's name.
    planned_folds = tuple(
        tuple(sorted((planned[row] for row in np.flatnonzero(folds == fold)), key=_place))
        for fold in range(1, NUM_FOLDS + 1)
    )
    for number, fold in enumerate(planned_folds, start=1):
        if not fold:
            raise ValueError(
                f"{root}: nothing is left for fold {number} of {NUM_FOLDS}: {len(seen)} records "
                "of too few patients or distinct signals; give more records"
            )
    unknown = Counter(name for name, known in zip(databases, told, strict=True) if not known)
    unread = [sight.unread_diagnoses for _, sight in seen if sight.unread_diagnoses]
    report = fold_report(folds, labels, databases, patient_ids, hashes, num_folds=NUM_FOLDS)
    report |= {
        "patients_unknown": dict(sorted(unknown.items())),
        "without_diagnosis": int((~labels.any(axis=1)).sum()),
        "unread_diagnoses": {
            "records": len(unread),
            "examples": dict(Counter(word for words in unread for word in words).most_common(20)),
        },
    }
    remarks = tuple((r.name, "remark", text) for r, sight in seen for text in sight.remarks)
    return Plan(planned_folds, tuple(skipped), remarks, report)


def _join_segments(seen: Sequence[tuple[FoundRecord, Sight]], patient_ids: list[str]) -> None:
    """Gives records that are segments of another one the patient of that one."""
    rows = {record.name: row for row, (record, _) in enumerate(seen)}
    for row, (record, sight) in enumerate(seen):
        folder = record.name.rpartition("/")[0]
        for name in sight.segments:
            segment = rows.get(f"{folder}/{printable(name)}".removeprefix("/"))
            if segment is not None:
                patient_ids[segment] = patient_ids[row]


def make_example(
    task: tuple[PlannedRecord, float, tuple[float, float] | None],
) -> dict[str, Any] | RecordError:
    """Returns the builder's features of (record, sampling rate in Hz, band in Hz or None)."""
    planned, sampling_rate, band_hz = task
    try:
        record = read_record(planned.found)
        labels, leads = encode(record.codes), standard_leads(record)
        if decode(labels) != planned.diagnoses or signal_hash(leads) != planned.signal_hash:
            raise RecordError(planned.path, "record", "it changed while the data set was built")
        prepared = prepare(record, sampling_rate=sampling_rate, band_hz=band_hz, leads=leads)
    except Exception as error:
        return of_record(planned.path, error)
    return {
        "record_id": planned.record_id,
        "database": planned.database,
        "signal": prepared.signal,
        "lead_mean": prepared.lead_mean,
        "lead_std": prepared.lead_std,
        "lead_present": prepared.lead_present.astype(np.uint8),
        "labels": labels,
        "codes": ",".join(record.codes),
        "age": np.float32(record.age),
        "sex": record.sex,
        "original_sampling_rate": np.float32(record.sampling_rate),
        "patient_id": planned.patient_id,
        "signal_hash": planned.signal_hash,
    }


def write_listed(path: Path, rows: Iterable[tuple[str, str, str]]) -> None:
    """Writes skipped.csv: the record's name below its folder, what of it, and why."""
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows([("record", "field", "reason"), *rows])


def _place(record: PlannedRecord) -> bytes:
    return hashlib.blake2b(record.record_id.encode(), digest_size=16).digest()
