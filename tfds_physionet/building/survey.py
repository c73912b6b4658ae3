"""Reads every record of a folder once: what it is, or why it can't be used."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfds_physionet.diagnoses import decode, encode
from tfds_physionet.errors import RecordError, of_record, printable
from tfds_physionet.pool import Map
from tfds_physionet.reading.finding import Found, FoundRecord, find_records
from tfds_physionet.reading.records import read_record
from tfds_physionet.reading.signals import signal_hash, standard_leads
from tfds_physionet.splits.landmarks import find_landmarks
from tfds_physionet.splits.patients import patient_folder


@dataclass(frozen=True)
class Sight:
    """What is remembered of a record that was read.

    Attributes:
        database: Its source.
        diagnoses: Abbreviations of its scored classes.
        signal_hash: Of its lead-ordered samples.
        patient: As header or folder name it; '' where they don't.
        age: In years; nan where unknown.
        sex: 'male', 'female' or 'unknown'.
        unread_diagnoses: What it names that is neither a SNOMED CT code nor a known word.
        remarks: What a user should know though the record is used.
        segments: Names of the records beside it of which it is made up, if it is.
        landmarks: Of its signal, see `landmarks.find_landmarks`.
    """

    database: str
    diagnoses: tuple[str, ...]
    signal_hash: str
    patient: str
    age: float
    sex: str
    unread_diagnoses: tuple[str, ...]
    remarks: tuple[str, ...]
    segments: tuple[str, ...]
    landmarks: str


@dataclass(frozen=True)
class Survey:
    """The records of a folder, read.

    Attributes:
        found: All records.
        seen: What each is, or why it can't be used.
    """

    found: Found
    seen: tuple[Sight | RecordError, ...]


def survey(records: Path, *, strict: bool = False, map_records: Map = map) -> Survey:
    """Reads all records below a folder.

    Args:
        records: A folder with records anywhere below it.
        strict: Whether records whose samples contradict their header's checksums are refused.
        map_records: How to map over the records.

    Raises:
        FileNotFoundError: The folder is not there or has no records.
    """
    found = find_records(records)
    return Survey(found, tuple(look(found.root, found.records, strict, map_records)))


def look(
    root: Path, records: Sequence[FoundRecord], strict: bool, map_records: Map = map
) -> Iterator[Sight | RecordError]:
    """Reads records, as `survey` does."""
    sights = map_records(_see, [(record, root, strict) for record in records])
    for record, sight in zip(records, sights, strict=True):
        yield of_record(record.path, sight) if isinstance(sight, Exception) else sight


def _see(task: tuple[FoundRecord, Path, bool]) -> Sight | RecordError:
    found, root, strict = task
    try:
        record = read_record(found, strict=strict, root=root)
        leads = standard_leads(record)
        return Sight(
            database=printable(record.database),
            diagnoses=decode(encode(record.codes)),
            signal_hash=signal_hash(leads),
            patient=record.patient or printable(patient_folder(found.path, root)),
            age=record.age,
            sex=record.sex,
            unread_diagnoses=record.unread_diagnoses,
            remarks=record.remarks,
            segments=record.segments,
            landmarks=find_landmarks(leads, record.sampling_rate),
        )
    except Exception as error:
        return of_record(found.path, error)
