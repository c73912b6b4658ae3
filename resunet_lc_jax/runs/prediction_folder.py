"""The folder that predict writes: what it is of, what of an earlier one goes, how far it came."""

import contextlib
import csv
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import jax
import numpy as np

from resunet_lc_jax.devices import hosts
from resunet_lc_jax.measures.challenge_csv import output_names
from resunet_lc_jax.runs.kind import PREDICTION, PREDICTION_TABLES, expect
from tfds_physionet.files import lock, sweep, write_json
from tfds_physionet.formats.facts import sidecar_state
from tfds_physionet.reading.finding import FoundRecord, is_header

_JOURNALS, _LOCK = "scores.partial*.jsonl", "lock"


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

    A context manager. Each of several processes writes one of its own, and reads all. Whatever a
    power loss leaves of it is only ever too little.
    """

    def __init__(self, output: Path) -> None:
        """Reads what is there; lines that are not whole count as none."""
        self._output = output
        number = jax.process_index()
        path = output / (f"scores.partial.{number}.jsonl" if number else "scores.partial.jsonl")
        self._known: dict[tuple[str, str], tuple[str, Scored]] = {}  # by key and name: as it lay
        self._read()
        self._file = path.open("a", buffering=1)
        self._file.write("\n")  # after a line that is not whole

    def _read(self) -> None:
        for line in _journal_lines(self._output):
            with contextlib.suppress(ValueError, TypeError):
                (by, name, stamp), missing, derived, remarks, scores = json.loads(line)
                scored = Scored(
                    tuple(missing), tuple(derived), tuple(remarks), np.array(scores, np.float32)
                )
                self._known[by, name] = stamp, scored

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
        stamp, scored = self._known.get((by, record.name), ("", None))
        return scored if scored and stamp == _stamp(record) else None

    def add(self, by: str, record: FoundRecord, scored: Scored) -> None:
        """Notes what became of a record."""
        key = (by, record.name, _stamp(record))
        # The shortest decimals of a float32's exact value in float64 give it back.
        self._file.write(json.dumps([key, *scored[:3], scored.scores.tolist()]) + "\n")

    def share(self) -> None:
        """Waits until every process has come here, and takes over what the others have noted."""
        os.fsync(self._file.fileno())
        hosts.wait("scored")
        self._read()


def _journal_lines(output: Path) -> Iterator[str]:
    for path in sorted(output.glob(_JOURNALS)):
        yield from path.read_text().splitlines()


def _stamp(record: FoundRecord) -> str:
    """Changes with the place and content of header or file, as far as size and time tell."""
    try:
        status = record.path.stat()
    except OSError:
        return ""
    told = [str(record.path.resolve()), status.st_mtime_ns, status.st_size]
    if not is_header(record.path.name):
        told += [record.facts, *sidecar_state(record.path)]
    return hashlib.blake2b(repr(tuple(told)).encode(), digest_size=8).hexdigest()


@contextlib.contextmanager
def begun(output: Path, about: dict[str, Any]) -> Iterator[Journal]:
    """Makes a folder a prediction's: what an earlier one left, which this one may not, goes first.

    The mark says that it is not complete until the block has ended well. Of several processes the
    first does that, and all get a journal.

    Args:
      output: The folder.
      about: What prediction.json is to say; the block may add to it.

    Raises:
      BlockingIOError: Another process is predicting into it.
      ValueError: It is of another kind, or the processes do not share it.
    """
    with _made(output, about) if hosts.is_main() else contextlib.nullcontext():
        hosts.agree("the output's folder", {"--output": str(output.absolute())})
        hosts.check_shared(output / _LOCK)
        with Journal(output) as journal:
            hosts.wait("journals")  # all have read what there was before one adds to it
            yield journal


@contextlib.contextmanager
def _made(output: Path, about: dict[str, Any]) -> Iterator[None]:
    expect(output, PREDICTION)
    with lock(output / _LOCK, wait=False):
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
        yield
        write_json(output / PREDICTION.mark, {"complete": True, **about})
        for path in output.glob(_JOURNALS):
            path.unlink()


def _written(output: Path) -> Iterator[Path]:
    """The records' files that an earlier prediction wrote, by its tables and its journal."""
    names: set[str] = set()
    for table in PREDICTION_TABLES:
        with (
            contextlib.suppress(OSError, csv.Error, KeyError),
            (output / table).open(newline="", encoding="utf-8", errors="replace") as file,
        ):
            names |= {row["record"] for row in csv.DictReader(file)}
    for line in _journal_lines(output):
        with contextlib.suppress(ValueError, TypeError, IndexError):
            names.add(str(json.loads(line)[0][1]))
    for name, path in output_names(names).items():
        if not Path(name).is_absolute() and ".." not in Path(name).parts:
            yield output / path
