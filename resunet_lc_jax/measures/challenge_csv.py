"""One record's scores in the Challenge's output format, as the official evaluator reads it.

Four lines: `#<record>`, the classes (a column may be `a|b`, codes that are one class), 0/1
decisions, scores.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from tfds_physionet.diagnoses import DIAGNOSES
from tfds_physionet.files import replacing

_TRUE = frozenset(("1", "True", "true", "T", "t"))


@dataclass(frozen=True, eq=False)
class ChallengeOutput:
    """The content of an output file.

    Attributes:
      record_id: of the first line; '' if there is none.
      columns: M classes as written; none if the file is empty or malformed.
      decisions: [M] bool.
      scores: [M] float64, 0 where not finite.
    """

    record_id: str
    columns: tuple[str, ...]
    decisions: np.ndarray
    scores: np.ndarray

    def by_class(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns decisions [26] bool and scores [26] float64 of the scored classes.

        Several columns of one class: decided if any is, score their mean. Unknown columns do not
        count; an absent class is 0.
        """
        matches = _matches(self.columns)
        scores = self.scores @ matches / np.maximum(matches.sum(axis=0), 1)
        return self.decisions @ matches > 0, scores


@lru_cache
def _matches(columns: tuple[str, ...]) -> np.ndarray:
    """float64 [M, 26]: 1 where a column names a class by one of its codes."""
    codes = [set(column.split("|")) for column in columns]
    shared = [[bool(names & set(d.codes)) for d in DIAGNOSES] for names in codes]
    return np.array(shared, np.float64).reshape(len(columns), len(DIAGNOSES))


def write_challenge_csv(
    path: str | Path,
    record_id: str,
    columns: Sequence[str],
    decisions: np.ndarray,
    scores: np.ndarray,
) -> None:
    """Writes one record's output beside `path` and renames.

    Args:
      path: the file; missing folders are made.
      record_id: the record's name.
      columns: M class names, codes of merged classes joined by '|'.
      decisions: [M] 0/1.
      scores: [M], written so that they read back to the same float32 or float64.
    """
    digits = ".9g" if np.asarray(scores).dtype == np.float32 else ".17g"
    lines = (
        f"#{record_id}",
        ",".join(columns),
        ",".join("1" if decision else "0" for decision in decisions),
        ",".join(format(float(score), digits) for score in scores),
    )
    with replacing(path) as beside:
        beside.write_text("\n".join(lines) + "\n")


def read_challenge_csv(path: str | Path) -> ChallengeOutput:
    """Reads one record's output.

    A file with fewer than three lines besides comments, or with lines of different lengths, is
    taken as empty: all classes 0.

    Args:
      path: the file.

    Returns:
      Its content. True decisions are written 1, True, true, T or t.
    """
    lines = [line.strip() for line in Path(path).read_text().splitlines() if line.strip()]
    names = [line[1:].strip() for line in lines if line.startswith("#")]
    rows = [[v.strip() for v in line.split(",")] for line in lines if not line.startswith("#")]
    record_id = names[0] if names else ""
    if len(rows) < 3 or len({len(row) for row in rows}) > 1:
        return ChallengeOutput(record_id, (), np.zeros(0, bool), np.zeros(0))
    return ChallengeOutput(
        record_id,
        tuple(rows[0]),
        np.array([value in _TRUE for value in rows[1]]),
        np.array([_finite(value) for value in rows[2]]),
    )


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0
