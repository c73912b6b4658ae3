"""The folder that predict writes: what it is of, what of an earlier one goes, how far it came."""

import contextlib
import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from resunet_lc_jax.measures.challenge_csv import output_name
from resunet_lc_jax.runs.kind import PREDICTION, PREDICTION_TABLES, expect
from tfds_physionet.files import lock, sweep, write_json
from tfds_physionet.finding import FoundRecord

_JOURNAL = "scores.partial.jsonl"


class Scored(NamedTuple):
    """What is known of a record once a network has scored it.

    Attributes:
      leads_missing: Names of the standard leads that it neither has nor gives by others.
      leads_derived: Names of those that were derived from others.
      remarks: What a user should know of it though it is scored.
      scores: [26] float32.
    """

    leads_missing: tuple[str, ...]
    leads_derived: tuple[str, ...]
    remarks: tuple[str, ...]
    scores: np.ndarray


class Journal:
    """The scores so far, a line each, from which a prediction that was killed goes on.

    A context manager. Whatever a power loss leaves of it is only ever too little.
    """

    def __init__(self, output: Path) -> None:
        """Reads what is there; lines that are not whole count as none."""
        self._path = output / _JOURNAL
        text = self._path.read_text() if self._path.is_file() else ""
        self._known: dict[tuple[str, ...], Scored] = {}
        for line in text.splitlines():
            with contextlib.suppress(ValueError, TypeError):
                key, missing, derived, remarks, scores = json.loads(line)
                self._known[tuple(key)] = Scored(
                    tuple(missing), tuple(derived), tuple(remarks), np.array(scores, np.float32)
                )
        self._file = self._path.open("a", buffering=1)
        if not text.endswith("\n"):
            self._file.write("\n")

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *raised: object) -> None:
        """Closes the file."""
        self._file.close()

    def get(self, by: str, record: FoundRecord) -> Scored | None:
        """Returns what is known of a record as it lies there now; None: it is to be scored.

        Args:
          by: What scores it, see `OpenRun.key`.
          record: The record.
        """
        return self._known.get((by, record.name, _stamp(record)))

    def add(self, by: str, record: FoundRecord, scored: Scored) -> None:
        """Notes what became of a record."""
        key = (by, record.name, _stamp(record))
        # The shortest decimals of a float32's exact value in float64 give it back.
        self._file.write(json.dumps([key, *scored[:3], scored.scores.tolist()]) + "\n")


def _stamp(record: FoundRecord) -> str:
    """Changes with the header's place and content, as far as its size and time tell."""
    try:
        status = record.path.stat()
    except OSError:
        return ""
    told = (str(record.path.resolve()), status.st_mtime_ns, status.st_size)
    return hashlib.blake2b(repr(told).encode(), digest_size=8).hexdigest()


@contextlib.contextmanager
def begun(output: Path, about: dict[str, Any]) -> Iterator[Journal]:
    """Makes a folder a prediction's: what an earlier one left, which this one may not, goes first.

    The mark says that it is not complete until the block has ended well.

    Args:
      output: The folder.
      about: What prediction.json is to say; the block may add to it.

    Raises:
      BlockingIOError: Another process is predicting into it.
      ValueError: It is of another kind.
    """
    expect(output, PREDICTION)
    with lock(output / "lock", wait=False):
        sweep(output)
        for path in _written(output):
            path.unlink(missing_ok=True)
            for folder in path.parents:
                if folder == output:
                    break
                with contextlib.suppress(OSError):  # not empty, or gone
                    folder.rmdir()
        for table in PREDICTION_TABLES:
            (output / table).unlink(missing_ok=True)
        write_json(output / PREDICTION.mark, {"complete": False, **about})
        with Journal(output) as journal:
            yield journal
        write_json(output / PREDICTION.mark, {"complete": True, **about})
        (output / _JOURNAL).unlink()


def _written(output: Path) -> Iterator[Path]:
    """The records' files that an earlier prediction wrote, by its table and its journal."""
    names = set()
    with contextlib.suppress(OSError, csv.Error, KeyError):
        table = output / PREDICTION_TABLES[0]
        with table.open(newline="", encoding="utf-8", errors="replace") as file:
            names |= {row["record"] for row in csv.DictReader(file)}
    if (output / _JOURNAL).is_file():
        for line in (output / _JOURNAL).read_text().splitlines():
            with contextlib.suppress(ValueError, TypeError, IndexError):
                names.add(str(json.loads(line)[0][1]))
    for name in names:
        if not Path(name).is_absolute() and ".." not in Path(name).parts:
            yield output / output_name(name)
