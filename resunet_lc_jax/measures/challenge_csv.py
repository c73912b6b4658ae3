"""One record's scores in the Challenge's output format, as the official evaluator reads it.

Four lines by their place: `#<record>`, the classes (a column may be `a|b`, codes that are one
class), 0/1 decisions, scores. What the official evaluator (physionetchallenges/evaluation-2021)
passes over, such as a fifth line or values without a class, is passed over here; where it stops
with a traceback, `read_challenge_csv` raises ValueError.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np

from tfds_physionet.diagnoses import DIAGNOSES
from tfds_physionet.files import replacing

# Records and folders that would take the place of the tables beside the outputs.
_TAKEN = re.compile(r"(?:predictions|errors)(?:(?:\.record)*\Z|\.csv(?:\.record)*(?=/))")
_TRUE = frozenset(("True", "true", "T", "t"))


@dataclass(frozen=True, eq=False)
class ChallengeOutput:
    """The content of an output file.

    Attributes:
      record_id: of the first line.
      columns: M classes as written.
      decisions: [M] bool.
      scores: [M] float64, 0 where not finite.
    """

    record_id: str
    columns: tuple[str, ...]
    decisions: np.ndarray
    scores: np.ndarray

    @property
    def classes(self) -> set[int]:
        """The scored classes that have a column."""
        return set(_places(self.columns))

    def by_class(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns decisions [26] bool and scores [26] float64 of the scored classes.

        Several columns of one class: decided if any is, score their mean. Unknown columns do not
        count; an absent class is 0.
        """
        decisions, scores = np.zeros(len(DIAGNOSES), bool), np.zeros(len(DIAGNOSES))
        for k, places in _places(self.columns).items():
            decisions[k] = self.decisions[places].any()
            scores[k] = self.scores[places].mean()
        return decisions, scores


@lru_cache
def _places(columns: tuple[str, ...]) -> dict[int, list[int]]:
    """By class, the columns that name it by one of its codes; classes without one are left out."""
    names = [set(column.split("|")) for column in columns]
    found = {
        k: [place for place, codes in enumerate(names) if codes & set(diagnosis.codes)]
        for k, diagnosis in enumerate(DIAGNOSES)
    }
    return {k: places for k, places in found.items() if places}


def output_names(records: Iterable[str]) -> dict[str, str]:
    """Returns the path of each record's output file, by record: <record>.csv wherever it is free.

    It is not where a table lies, predictions.csv or errors.csv, nor where other records' folder
    x.csv lies beside a record x: then it is called x.record.csv, or x.record.record.csv, ...

    Args:
      records: their paths below the input, without the headers' suffix; all that are there.
    """
    names = {record: f"{_beside_tables(record)}.csv" for record in records}
    used = set(names.values())
    folders = {str(folder) for path in used for folder in PurePosixPath(path).parents}
    for record in sorted(name for name, path in names.items() if path in folders):
        path = names[record]
        while path in folders or path in used:
            path = f"{path.removesuffix('.csv')}.record.csv"
        used.add(path)
        names[record] = path
    return names


def _beside_tables(record: str) -> str:
    if taken := _TAKEN.match(record):
        return f"{taken[0]}.record{record[taken.end() :]}"
    return record


def write_challenge_csv(
    path: str | Path,
    record_id: str,
    columns: Sequence[str],
    decisions: np.ndarray,
    scores: np.ndarray,
    *,
    durable: bool = True,
) -> None:
    """Writes one record's output beside `path` and renames.

    Args:
      path: the file; missing folders are made.
      record_id: the record's name.
      columns: M class names, codes of merged classes joined by '|'.
      decisions: [M] 0/1.
      scores: [M], written so that they read back to the same float32 or float64.
      durable: see `replacing`.
    """
    digits = ".9g" if np.asarray(scores).dtype == np.float32 else ".17g"
    lines = (
        f"#{record_id}",
        ",".join(columns),
        ",".join("1" if decision else "0" for decision in decisions),
        ",".join(format(float(score), digits) for score in scores),
    )
    with replacing(path, durable=durable) as beside:
        beside.write_text("\n".join(lines) + "\n")


def read_challenge_csv(path: str | Path) -> ChallengeOutput:
    """Reads one record's output.

    Args:
      path: the file.

    Returns:
      Its content. A decision is true if it is a number equal to 1, or True, true, T or t.

    Raises:
      ValueError: the official evaluator would stop here: fewer than four lines, bytes that are not
        UTF-8, or a scored class without a decision or a score.
    """
    try:
        with open(path, encoding="utf-8") as file:
            # The official evaluator reads on to the fifth line, and stops at a wrong byte in it.
            lines = list(islice(file, 5))
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(f"{path}: byte 0x{byte:02x} is not UTF-8; save it as UTF-8") from error
    if len(lines) < 4:
        raise ValueError(
            f"{path}: {len(lines)} lines; give four: #record, classes, decisions, scores"
        )
    columns, decisions = ([word.strip() for word in line.split(",")] for line in lines[1:3])
    scores = lines[3].split(",")  # float() takes fewer characters for blanks than strip()
    needed = max((max(places) + 1 for places in _places(tuple(columns)).values()), default=0)
    for name, values in (("decisions", decisions), ("scores", scores)):
        if len(values) < needed:
            raise ValueError(
                f"{path}: {len(values)} {name} for {len(columns)} classes; give one for each"
            )
    count = len(columns)
    fill = [""] * count  # of columns that are not scored: their values do not matter
    return ChallengeOutput(
        lines[0].strip().removeprefix("#").strip(),
        tuple(columns),
        np.array([word in _TRUE or _number(word) == 1 for word in (decisions + fill)[:count]]),
        np.array([_number(word) for word in (scores + fill)[:count]]),
    )


def _number(text: str) -> float:
    """The number that a text is, 0 where it is none or not finite."""
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
