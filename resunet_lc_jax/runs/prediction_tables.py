"""What predict writes of its records: a Challenge file each, predictions.csv and errors.csv."""

import csv
import os
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from resunet_lc_jax.devices import hosts
from resunet_lc_jax.measures.calibration import Temperatures
from resunet_lc_jax.measures.challenge_csv import output_names, write_challenge_csv
from resunet_lc_jax.runs.screen import say
from resunet_lc_jax.runs.trust import NOT_TRUSTED, Untrusted
from tfds_physionet.diagnoses import CLASS_NAMES, DIAGNOSES, decode, encode
from tfds_physionet.errors import RecordError
from tfds_physionet.files import replacing
from tfds_physionet.reading.finding import Found, FoundRecord
from tfds_physionet.reading.records import read_header

CLASS_COLUMNS = tuple("|".join(diagnosis.codes) for diagnosis in DIAGNOSES)
_HANDFUL = 20  # records of which each is told on the screen


class ReadRecord(NamedTuple):
    """A record that could be read.

    Attributes:
      found: Its header, and its path below the input without the header's suffix.
      leads_missing: Names of the standard leads that it neither has nor gives by others.
      leads_derived: Names of those that were derived from others.
      remarks: What a user should know of it though it is scored.
    """

    found: FoundRecord
    leads_missing: tuple[str, ...]
    leads_derived: tuple[str, ...]
    remarks: tuple[str, ...]


Errors = list[tuple[str, RecordError]]
"""Names of records, as paths below the input, and why each could not be scored."""

Decided = tuple[ReadRecord, np.ndarray, np.ndarray]
"""A record, its scores [26] and its decisions [26]."""


def write_predictions(
    decided: Iterable[Decided],
    errors: Errors,
    found: Found,
    output: Path,
    *,
    temperatures: Temperatures | None = None,
    untrusted: Untrusted = MappingProxyType({}),
) -> int:
    """Writes the files of `predict`: the records' own as they come, the tables in their order.

    Of a handful of records what was found in each is said, too.

    Args:
      decided: Each record's scores and decisions.
      errors: Of those that could not be read; complete once `decided` is used up.
      found: The records.
      output: Where the files go.
      temperatures: Give predictions.csv a column <class>_calibrated for each class; all else, and
        the Challenge's files, hold the scores as they are.
      untrusted: The classes that are not to be trusted; those among a record's diagnoses are listed
        in predictions.csv.

    Returns:
      The exit status: 0, or 1 if there is no record.
    """
    remarks: list[tuple[str, str]] = []
    lines: dict[str, Decided] = {}
    if not hosts.is_main():
        deque(decided, maxlen=0)  # this process's share
        return hosts.of_main("predicted", None)
    files = output_names(record.name for record in found.records)
    for record, scores, decisions in decided:
        name = record.found.name
        try:
            path, last = output / files[name], name.rpartition("/")[2]
            write_challenge_csv(path, last, CLASS_COLUMNS, decisions, scores, durable=False)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            reason = f"can't be written ({reason})"
            errors.append((name, RecordError(record.found.path, "output", reason)))
            continue
        lines[name] = record, scores, decisions
        remarks += [(name, remark) for remark in record.remarks]
    places = {record.name: place for place, record in enumerate(found.records)}
    names = sorted(lines, key=places.__getitem__)
    for entries in (errors, remarks):
        entries.sort(key=lambda entry: places.get(entry[0], -1))
    os.sync()  # what the tables list is on the disk before they are
    with (
        replacing(output / "predictions.csv") as beside,
        beside.open("w", newline="", encoding="utf-8") as file,
    ):
        rows = csv.writer(file)
        columns = [*CLASS_NAMES, *(f"{name}_calibrated" for name in CLASS_NAMES if temperatures)]
        words = ["diagnoses", "leads_missing", "leads_derived", "untrusted"]
        rows.writerow(["record", *words, *columns])
        for name in names:
            record, scores, decisions = lines[name]
            diagnoses = decode(decisions)
            doubtful = [diagnosis for diagnosis in diagnoses if diagnosis in untrusted]
            lists = diagnoses, record.leads_missing, record.leads_derived, doubtful
            shown = [*scores, *(temperatures.apply(scores) if temperatures else ())]
            numbers = (f"{score:.9g}" for score in shown)
            rows.writerow([name, *map("|".join, lists), *numbers])
    with (
        replacing(output / "errors.csv") as beside,
        beside.open("w", newline="", encoding="utf-8") as file,
    ):
        rows = csv.writer(file)
        rows.writerow(["record", "field", "reason"])
        rows.writerows([name, error.field, error.reason] for name, error in errors)
        rows.writerows([name, "remark", remark] for name, remark in remarks)
    if 0 < len(lines) <= _HANDFUL:
        say(_format_found([lines[name] for name in names], untrusted))
    incomplete = sum(bool(record.leads_missing) for record, _, _ in lines.values())
    say(
        f"{len(lines):,} records scored, {len(errors):,} could not be read"
        + (f", {incomplete:,} lacked leads" if incomplete else "")
        + (f", {len(remarks):,} remarks" if remarks else "")
        + (f" (see {output / 'errors.csv'})" if errors or remarks else "")
        + f"; predictions in {output}"
    )
    return hosts.of_main("predicted", 0 if lines else 1)


def _format_found(decided: Sequence[Decided], untrusted: Untrusted) -> str:
    """A line a record: what its header says that it holds, and what was found."""
    rows = [("record", "holds, by its header", "found")]
    for record, _, decisions in decided:
        try:
            held = decode(encode(read_header(record.found.path).codes))
        except (RecordError, OSError):  # gone since, or of a form without a header
            held = ("-",)
        found = [f"{name}{'?' * (name in untrusted)}" for name in decode(decisions)]
        rows.append((record.found.name, " ".join(held), " ".join(found)))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    lines = [f"  {a:{widths[0]}}  {b:{widths[1]}}  {c}".rstrip() for a, b, c in rows]
    marked = any("?" in row[2] for row in rows)
    return "\n".join(lines + [f"  ?: {NOT_TRUSTED}"] * marked)
