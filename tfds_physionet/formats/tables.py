"""Reads an ECG that is a table of text: a column a lead (or a row), with or without their names."""

import codecs
import csv
import io
import math
import re
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np

from tfds_physionet.errors import RecordError, read_file
from tfds_physionet.formats.arrays import layout_of, to_recording
from tfds_physionet.formats.facts import Facts, sidecar_of
from tfds_physionet.formats.recording import RATES, Recording
from tfds_physionet.leads import lead_rows

_LARGEST = 1 << 25  # bytes; twelve leads for ten minutes
_MOST_CELLS = 1 << 18  # of a line
_FIELD = "table"
_TIME = re.compile(
    r"(?:time|t|seconds?|sec|s|ms|zeit)(?:[ _]?[\[(]?(m?s|sec|seconds?)[\])]?)?", re.I
)
_COUNTER = re.compile(r"index|samples?|sample[ _]?(?:number|no)|n|#|unnamed: 0", re.I)
_UNIT = re.compile(r"[ _,/]{0,2}[\[({ _,/]([munµμ]?v)[\])}]?$", re.I)
_PATH = "path"


def is_list(path: Path) -> bool:
    """Returns whether a file lists files: a text, or a table with a column `path`."""
    if path.suffix.lower() in (".csv", ".tsv"):
        return _PATH in [name.lower() for name in _first_line(path)]
    return path.suffix.lower() == ".txt" or path.name == "RECORDS"


def listed(path: Path) -> list[str]:
    """Returns the files that a list names: a line each, or in the column `path` of a table.

    Blank lines, and in plain lists those that begin with #, are passed over.

    Raises:
        RecordError: It can't be read.
    """
    text = _decode(read_file(path, "list", _LARGEST))
    if path.suffix.lower() not in (".csv", ".tsv"):
        lines = [line.strip() for line in text.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text.partition("\n")[0]))
    try:
        column = [name.strip().lower() for name in next(rows)].index(_PATH)
        return [row[column].strip() for row in rows if len(row) > column and row[column].strip()]
    except csv.Error as error:
        raise RecordError(path, "list", f"it is damaged: {error}") from error


def is_ecg(path: Path, facts: Facts) -> bool:
    """Returns whether a table below a folder is one: it names two leads, or its sidecar is there.

    One of numbers alone is where the command says what they are.
    """
    names = _first_line(path)
    if sidecar_of(path).is_file() or len(lead_rows(tuple(names))) >= 2:
        return True
    named, rest = (names[0], names[1:]) if lead_rows(tuple(names[:1])) else ("", names)
    return bool(named or facts.leads) and bool(rest) and all(map(_is_number, rest))


def read_table(path: Path, facts: Facts) -> Recording:
    """Reads an ECG.

    Raises:
        RecordError: It can't be read, is none, or its rate is not known.
    """
    data = read_file(path, _FIELD, _LARGEST)
    if data.count(b"\n") > 1 << 22:
        raise RecordError(path, _FIELD, "it has more than 4 million lines")
    lines = io.StringIO(_decode(data), newline=None)
    first = next((line for line in lines if _counts(line)), "")
    delimiter = _delimiter(first)
    if first.count(delimiter) > _MOST_CELLS:
        raise RecordError(path, _FIELD, f"it has more than {_MOST_CELLS} cells in a line")
    cells = _split(first, delimiter)
    header = sum(not _is_number(cell) for cell in cells) > len(cells) / 2 and len(cells) > 0
    names = cells if header and len(lead_rows(tuple(cells))) else []
    rest = lines.read()
    if not names and cells and not _is_number(cells[0]) and not header:
        return _rows_of_leads(path, first + rest, delimiter, facts)
    values = _numbers(path, rest if header else first + rest, delimiter).T
    if not names:
        values, facts, _ = _without_time(values, [""] * len(values), facts)
        layout = layout_of(path, values.shape, facts.leads)
        values = values if layout.leads_first else values.T
        remarks = [layout.assumption] * layout.assumed
        return to_recording(path, values, layout.leads, facts, 0, remarks)
    if len(names) != len(values):
        raise RecordError(path, _FIELD, f"{len(names)} names and {len(values)} columns")
    values, facts, names = _without_time(values, names, facts)
    units = tuple((match[1] if (match := _UNIT.search(name)) else "") for name in names)
    return to_recording(path, values, tuple(names), facts, 0, [], units)


def _first_line(path: Path) -> list[str]:
    try:
        with open(path, "rb") as stream:
            text = _decode(stream.read(1 << 16))
    except OSError:
        return []
    first = next((line for line in text.splitlines() if _counts(line)), "")
    return _split(first, _delimiter(first))


def _counts(line: str) -> bool:
    return bool(line.strip()) and not line.startswith("#")


def _decode(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _delimiter(line: str) -> str:
    """Returns what parts the cells: ; or tab before a comma, which may be a decimal one."""
    return next((sign for sign in ";\t,|" if sign in line), " ")


def _split(line: str, delimiter: str) -> list[str]:
    parts = line.split() if delimiter == " " else line.split(delimiter)
    return [part.strip(" \t\r\n\"'") for part in parts]


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return not cell
    return True


def _numbers(path: Path, text: str, delimiter: str) -> np.ndarray:
    """Returns float64 [line, cell] of a text; an empty cell is a missing sample."""
    if delimiter != "," and "," in text:
        text = text.replace(",", ".")
    flat, width = array("d"), 0
    for line in filter(_counts, io.StringIO(text)):
        try:
            row = list(map(float, line.split(None if delimiter == " " else delimiter)))
        except ValueError:
            try:
                row = [float(cell) if cell else math.nan for cell in _split(line, delimiter)]
            except ValueError as error:
                raise RecordError(path, _FIELD, f"not all of it is numbers: {error}") from error
        width = width or len(row)
        if len(row) != width:
            raise RecordError(path, _FIELD, f"a line has {len(row)} cells, the first {width}")
        flat.extend(row)
    if not flat:
        raise RecordError(path, _FIELD, "it has no numbers")
    return np.frombuffer(flat).reshape(-1, width)


def _rows_of_leads(path: Path, text: str, delimiter: str, facts: Facts) -> Recording:
    """Of a table whose lines begin with a lead's name."""
    names, rows = [], []
    for line in filter(_counts, text.splitlines()):
        name, _, numbers = line.strip().partition(delimiter)
        names.append(name.strip(" \t\"'"))
        rows.append(_numbers(path, numbers, delimiter).reshape(-1))
    if len({len(row) for row in rows}) > 1 or not lead_rows(tuple(names)):
        raise RecordError(path, _FIELD, "its lines differ in length, or none is called by a lead")
    return to_recording(path, np.array(rows), tuple(names), facts, 0, [])


def _without_time(
    values: np.ndarray, names: list[str], facts: Facts
) -> tuple[np.ndarray, Facts, list[str]]:
    """Takes out columns of times and counters; times tell the rate if nothing else does."""
    taken = []
    for row, name in enumerate(names):
        match = _TIME.fullmatch(name)
        unnamed = row == 0 and not name and len(names) > 1
        if not (match or unnamed or (name and _COUNTER.fullmatch(name))):
            continue
        with np.errstate(all="ignore"):
            steps = np.diff(values[row, :1000])
            if not len(steps) or not np.all(steps > 0) or np.ptp(steps) > 0.02 * steps.max():
                continue
        taken.append(row)
        if facts.rate or not (match or unnamed):
            continue
        step = float((values[row, -1] - values[row, 0]) / (values.shape[1] - 1))
        unit = (match[1] or name if match else "").lower()
        in_ms = unit == "ms" or not (match and match[1]) and not RATES[0] <= 1 / step <= RATES[1]
        rate = 1000 / step if in_ms else 1 / step
        if RATES[0] <= rate <= RATES[1]:
            whole = round(rate)
            facts = replace(facts, rate=float(whole) if abs(rate - whole) < 1e-3 * rate else rate)
    left = [name for row, name in enumerate(names) if row not in taken]
    return np.delete(values, taken, axis=0), facts, left
