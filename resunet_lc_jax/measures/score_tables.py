"""Reads scores that any program wrote: tables of records and folders of Challenge CSV files.

A table (.csv, .npz or .parquet) has a column `record`, then a column a class, named by the class's
abbreviation or by its SNOMED CT codes; decisions stand in columns `<class>_decision`, or as the
abbreviations in a column `diagnoses`, joined by |, as predict writes them. An .npz file holds the
arrays record [N] and scores [N, M], and if there are any decisions [N, M] and classes [M] (without
them the columns are the 26 classes in their order). Columns of other names are passed over.
"""

import csv
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from resunet_lc_jax.measures.challenge_csv import read_challenge_csv
from resunet_lc_jax.measures.predictions import Predictions
from resunet_lc_jax.measures.thresholds import Thresholds
from tfds_physionet.diagnoses import CLASS_NAMES, NUM_CLASSES, class_index
from tfds_physionet.wording import shortlist

_RECORD = ("record", "record_id")


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of N records by another program.

    Attributes:
      path: where they were read from.
      record_id: [N] str, each once.
      scores: [N, 26] float64; 0 for a class that it lacks.
      decisions: [N, 26] bool, or None where there are none.
      lacking: abbreviations of the classes that have no scores.
    """

    path: Path
    record_id: np.ndarray
    scores: np.ndarray
    decisions: np.ndarray | None
    lacking: tuple[str, ...]


def common_records(
    tables: Sequence[ScoreTable], records: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Which records every table has scores of.

    Args:
      tables: any number.
      records: [N] names.

    Returns:
      [N] bool, and what is missing or left out, a sentence each.

    Raises:
      ValueError: a table has none of them, or no record is in every table.
    """
    kept = np.ones(len(records), bool)
    notes = []
    for table in tables:
        has = np.isin(records, table.record_id)
        if not has.any():
            raise ValueError(
                f"{table.path}: none of its {len(table.record_id):,} records "
                f"({shortlist(table.record_id.tolist())}) is one of the run's, such as {records[0]}"
            )
        if lost := records[~has].tolist():
            notes.append(
                f"{table.path} lacks {len(lost):,} of {len(has):,} records: {shortlist(lost)}."
            )
        if extra := len(table.record_id) - int(has.sum()):
            notes.append(f"{table.path} has {extra:,} records more, which are left out.")
        if table.lacking:
            notes.append(
                f"{table.path} has no scores of {shortlist(table.lacking)}: they count as 0."
            )
        kept &= has
    if not kept.any():
        raise ValueError("there is no record that all of the tables have scores of")
    if not kept.all():
        notes.append(f"Compared on the {int(kept.sum()):,} records that all of them have.")
    return kept, notes


def aligned(table: ScoreTable, base: Predictions) -> Predictions:
    """A table's scores of the records of `base`, all of which it has, decided by it or at 0.5."""
    place = {name: row for row, name in enumerate(table.record_id.tolist())}
    rows = np.array([place[name] for name in np.asarray(base.record_id).tolist()])
    scored = replace(base, scores=table.scores[rows]).decided(Thresholds.fixed())
    if table.decisions is None:
        return scored
    return replace(scored, decisions=table.decisions[rows].astype(np.uint8))


def read_score_table(path: Path) -> ScoreTable:
    """Reads a table, or a folder of Challenge CSV files.

    Raises:
      FileNotFoundError: there is no such file or folder.
      ValueError: it is no such table; a record stands twice; a score is no finite number.
      ImportError: no program is installed that reads .parquet.
    """
    if path.is_dir():
        table = _read_folder(path)
    elif not path.is_file():
        raise FileNotFoundError(f"{path}: no such file or folder of scores")
    elif (read := _READERS.get(path.suffix.lower())) is None:
        raise ValueError(f"{path}: give a table as {', '.join(_READERS)}, or a folder")
    else:
        table = read(path)
    if not len(table.record_id):
        raise ValueError(f"{path}: it holds no records")
    twice = [name for name, times in Counter(table.record_id.tolist()).items() if times > 1]
    if twice:
        raise ValueError(f"{path}: {len(twice)} records stand twice: {shortlist(twice)}")
    wrong = np.argwhere(~np.isfinite(table.scores))
    if len(wrong):
        row, k = wrong[0]
        raise ValueError(
            f"{path}: the score of {table.record_id[row]}, {CLASS_NAMES[k]} is no finite number"
        )
    return table


def _read_folder(folder: Path) -> ScoreTable:
    """The files of predict and of other entries to the Challenge, at any depth."""
    names, decisions, scores = [], [], []
    found: set[int] = set()
    for file in sorted(folder.rglob("*.csv")):
        # The tables that predict writes beside the records' files.
        if file.parent == folder and file.name in ("predictions.csv", "errors.csv"):
            continue
        output = read_challenge_csv(file)
        decided, scored = output.by_class()
        names.append(file.stem)
        decisions.append(decided)
        scores.append(scored)
        found |= output.classes
    if not names:
        raise ValueError(f"{folder}: it holds neither an evaluated run nor Challenge CSV files")
    return ScoreTable(
        folder, np.array(names), np.stack(scores), np.stack(decisions), _lacking(folder, found)
    )


def _lacking(path: Path, found: set[int]) -> tuple[str, ...]:
    if not found:
        raise ValueError(
            f"{path}: no column is named by a class; give abbreviations (AF) or SNOMED CT codes"
        )
    return tuple(name for k, name in enumerate(CLASS_NAMES) if k not in found)


def _read_csv(path: Path) -> ScoreTable:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: no CSV table ({error})") from error
    names = [name.strip() for name in rows[0]] if rows else []
    _check_distinct(path, names)
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(names):
            raise ValueError(f"{path}: row {number} has {len(row)} values, not {len(names)}")
    columns = dict(zip(names, zip(*rows[1:], strict=True), strict=False)) if rows[1:] else {}
    return _from_columns(path, columns)


def _check_distinct(path: Path, names: Sequence[str]) -> None:
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise ValueError(f"{path}: columns stand twice: {shortlist(twice)}")


def _read_parquet(path: Path) -> ScoreTable:
    try:
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise ImportError(
            f"{path}: reading .parquet needs pyarrow (pip install pyarrow)"
        ) from error
    try:
        table = parquet.read_table(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: no Parquet table ({error})") from error
    return _from_columns(path, {name: table[name].to_pylist() for name in table.column_names})


def _from_columns(path: Path, columns: Mapping[str, Sequence]) -> ScoreTable:
    key = next((name for name in _RECORD if name in columns), None)
    if key is None:
        raise ValueError(f"{path}: there is no column {_RECORD[0]!r}, or it has no rows")
    records = np.array([str(name).strip() for name in columns[key]])
    scores = np.zeros((len(records), NUM_CLASSES))
    decisions = np.zeros(scores.shape, bool)
    of_classes, decided = set(), set()
    for name, values in columns.items():
        k = _class(name)
        if k is not None:
            if k in of_classes:
                raise ValueError(f"{path}: two columns are of {CLASS_NAMES[k]}, one is {name!r}")
            of_classes.add(k)
            scores[:, k] = _numbers(path, name, values)
        elif (k := _class(name.removesuffix("_decision"))) is not None:
            decided.add(k)
            decisions[:, k] = _decisions(path, name, values)
    lacking = _lacking(path, of_classes)
    if not decided and "diagnoses" in columns:
        decided = of_classes
        for row, text in enumerate(columns["diagnoses"]):
            known = map(_class, str(text or "").split("|"))
            decisions[row, [k for k in known if k is not None]] = True
    if decided and decided != of_classes:
        lost = [CLASS_NAMES[k] for k in sorted(of_classes ^ decided)]
        raise ValueError(f"{path}: decisions and scores are of other classes: {shortlist(lost)}")
    return ScoreTable(path, records, scores, decisions if decided else None, lacking)


def _class(name: str) -> int | None:
    """The class that a column's name stands for; codes may be joined by |."""
    found = {class_index(word) for word in name.strip().split("|")} - {None}
    return found.pop() if len(found) == 1 else None


def _numbers(path: Path, name: str, values: Sequence) -> np.ndarray:
    try:
        return np.array([float(value) for value in values])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: column {name!r} holds what is no number ({error})") from error


def _decisions(path: Path, name: str, values: Sequence) -> np.ndarray:
    found = _numbers(path, name, values)
    if not np.isin(found, (0, 1)).all():
        raise ValueError(f"{path}: column {name!r} holds other values than 0 and 1")
    return found == 1


def _read_npz(path: Path) -> ScoreTable:
    try:
        with np.load(path) as file:
            arrays = dict(file)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
        raise ValueError(f"{path}: no NPZ file of plain arrays ({error})") from error
    key = next((name for name in _RECORD if name in arrays), None)
    if key is None or "scores" not in arrays:
        raise ValueError(f"{path}: give the arrays record and scores; it has {', '.join(arrays)}")
    scores = arrays["scores"]
    classes = [str(name) for name in arrays.get("classes", CLASS_NAMES)]
    _check_distinct(path, classes)
    if scores.shape != (len(arrays[key]), len(classes)):
        raise ValueError(
            f"{path}: scores are {scores.shape}; give {(len(arrays[key]), len(classes))}, a row a "
            "record and a column a class"
        )
    columns: dict[str, Sequence] = {"record": arrays[key].tolist()}
    columns |= {name: scores[:, j] for j, name in enumerate(classes)}
    if "decisions" in arrays:
        if arrays["decisions"].shape != scores.shape:
            raise ValueError(
                f"{path}: decisions are {arrays['decisions'].shape}, not {scores.shape}"
            )
        columns |= {f"{name}_decision": arrays["decisions"][:, j] for j, name in enumerate(classes)}
    return _from_columns(path, columns)


_READERS: dict[str, Callable[[Path], ScoreTable]] = {
    ".csv": _read_csv,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
}
SUFFIXES = tuple(_READERS)
