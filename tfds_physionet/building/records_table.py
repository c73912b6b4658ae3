"""records.csv, beside a build's data: what is chosen by without reading a signal."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from tfds_physionet.building.build_plan import PlannedRecord
from tfds_physionet.building.shards import locate_records
from tfds_physionet.diagnoses import CLASS_NAMES

COLUMNS = (
    "record",
    "database",
    "fold",
    "patient_id",
    "signal_hash",
    "diagnoses",
    "file",
    "offset",
    "bytes",
)
# Tables of earlier versions lack them.
_LATER_COLUMNS = {"age": "nan", "sex": "unknown", "landmarks": ""}


@dataclass(frozen=True, eq=False)
class RecordTable:
    """The records of a build, in the order in which they are stored.

    Attributes:
        record_id: [N] str, distinct.
        database: [N] str.
        fold: [N] int64, 1 to 10.
        patient_id: [N] str.
        signal_hash: [N] str, equal where the signals are.
        labels: [N, 26] uint8.
        file: [N] str, the TFRecord file beside the table that holds the record.
        offset: [N] int64, where in the file the serialised example starts, in bytes.
        size: [N] int64, its length in bytes.
        age: [N] float32 years, nan where unknown.
        sex: [N] 'male', 'female' or 'unknown'.
        landmarks: [N] str of `landmarks.find_landmarks`; '' in builds of earlier versions.
    """

    record_id: np.ndarray
    database: np.ndarray
    fold: np.ndarray
    patient_id: np.ndarray
    signal_hash: np.ndarray
    labels: np.ndarray
    file: np.ndarray
    offset: np.ndarray
    size: np.ndarray
    age: np.ndarray
    sex: np.ndarray
    landmarks: np.ndarray

    def take(self, rows: np.ndarray) -> "RecordTable":
        """Returns the given rows: indices or a mask [N]."""
        return RecordTable(*(getattr(self, field.name)[rows] for field in fields(self)))


def write_table(path: Path, folds: Sequence[Iterable[PlannedRecord]]) -> None:
    """Writes one row a record; `diagnoses` holds the abbreviations of the scored classes.

    Args:
        path: Beside the TFRecord files of the build.
        folds: The records of each, in the stored order.
    """
    places = locate_records(path.parent, len(folds))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *_LATER_COLUMNS])
        for number, fold in enumerate(folds, start=1):
            for record in fold:
                writer.writerow(
                    [record.record_id, record.database, number, record.patient_id]
                    + [record.signal_hash, "|".join(record.diagnoses), *next(places)]
                    + [record.age, record.sex, record.landmarks]
                )


def read_table(path: Path) -> RecordTable:
    """Reads what `write_table` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A column is missing, or a diagnosis is none of the scored ones.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: the data set was not built by tfds_physionet.prepare, or by an "
            f"earlier version; remove {path.parent} and prepare it again"
        )
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    later = tuple(name for name in _LATER_COLUMNS if name in rows[0])
    if tuple(rows[0]) != COLUMNS + later:
        raise ValueError(
            f"{path}: the columns are {', '.join(rows[0])}, not {', '.join(COLUMNS)}; remove "
            f"{path.parent} and prepare it again"
        )
    columns = {name: (unknown,) * (len(rows) - 1) for name, unknown in _LATER_COLUMNS.items()}
    columns |= dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
    record_id, diagnoses = columns["record"], columns["diagnoses"]
    number = {name: k for k, name in enumerate(CLASS_NAMES)}
    labels = np.zeros((len(record_id), len(CLASS_NAMES)), np.uint8)
    for row, names in enumerate(diagnoses):
        for name in names.split("|") if names else ():
            if name not in number:
                raise ValueError(f"{path}: {record_id[row]} has {name!r}, which is not scored")
            labels[row, number[name]] = 1
    return RecordTable(
        record_id=np.array(record_id),
        database=np.array(columns["database"]),
        fold=np.array(columns["fold"], dtype=np.int64),
        patient_id=np.array(columns["patient_id"]),
        signal_hash=np.array(columns["signal_hash"]),
        labels=labels,
        file=np.array(columns["file"]),
        offset=np.array(columns["offset"], dtype=np.int64),
        size=np.array(columns["bytes"], dtype=np.int64),
        age=np.array(columns["age"], dtype=np.float32),
        sex=np.array(columns["sex"]),
        landmarks=np.array(columns["landmarks"], dtype=object),
    )
