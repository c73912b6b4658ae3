"""Builds data sets for tests, and reads what lies beside them."""

import csv
from pathlib import Path

from tfds_physionet.building.build import PreparedDataset, prepare_dataset


def build(records: Path, data: Path, **options: object) -> PreparedDataset:
    """Prepares records in this process alone, in silence."""
    return prepare_dataset(records, data, **{"workers": 1, "progress": False} | options)


def listed(prepared: PreparedDataset) -> dict[str, tuple[str, str]]:
    """What skipped.csv has of each record: field and reason."""
    with prepared.skipped_path.open(newline="", encoding="utf-8") as file:
        return {row["record"]: (row["field"], row["reason"]) for row in csv.DictReader(file)}


def content(prepared: PreparedDataset) -> dict[str, bytes]:
    """The files of a build, but for those that hold times or what was skipped."""
    of_its_own = ("dataset_info.json", "signal_files.json", "source.json", "skipped.csv")
    return {
        path.name: path.read_bytes()
        for path in prepared.builder_dir.iterdir()
        if path.name not in of_its_own
    }
