"""Reads a record and says what is wrong with it, in a worker process."""

from pathlib import Path

from tfds_physionet.errors import RecordError, of_record
from tfds_physionet.quality.findings import Finding, find
from tfds_physionet.reading.finding import FoundRecord
from tfds_physionet.reading.records import read_record


def check(task: tuple[FoundRecord, Path]) -> list[Finding] | RecordError:
    """Returns the findings of (record, the folder searched), or why it can't be read."""
    found, root = task
    try:
        return find(read_record(found, root=root))
    except Exception as error:
        return of_record(found.path, error)
