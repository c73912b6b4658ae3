"""The files that a data set is made of: a fingerprint of them, and when each was last changed."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tfds_physionet.files import replacing
from tfds_physionet.formats.facts import sidecar_of
from tfds_physionet.reading.finding import (
    Found,
    FoundRecord,
    find_records,
    foreign_files,
    is_header,
    walk_files,
)
from tfds_physionet.reading.header_text import LARGEST_HEADER

_SUFFIXES = (".hea", ".mat", ".dat")
_TIMES = "signal_files.json"  # beside a build's data


@dataclass(frozen=True)
class SourceFiles:
    """The files of a folder of records.

    Attributes:
        fingerprint: 16 hex digits that stand for the records, wherever the folder lies: for their
            relative paths, the headers' contents and the signal files' sizes.
        changed: When each signal file was changed, in ns, by its path below the folder.
    """

    fingerprint: str
    changed: Mapping[str, int]


def examine(records: Path) -> SourceFiles:
    """Examines the files of the records below a folder (or of the one with this header).

    Raises:
        FileNotFoundError: There is no such folder.
    """
    records = Path(records)
    if records.is_file():
        found = find_records(records)
        records = found.root
        files = [record.path.relative_to(records).as_posix() for record in found.records]
        foreign = [file for file in files if not is_header(file)]
    else:
        walked = list(walk_files(records))
        foreign = foreign_files(records, walked)
        files = foreign + [file for file in walked if file.lower().endswith(_SUFFIXES)]
    files = sorted({*files, *(sidecar_of(Path(file)).as_posix() for file in foreign)})

    def describe(some: list[str]) -> tuple[bytes, dict[str, int]]:
        digests, changed = [], {}
        for file, content, when in chain.from_iterable(_contents(records, name) for name in some):
            digests.append(hashlib.blake2b(os.fsencode(file) + b"\0" + content).digest())
            if when is not None:
                changed[file] = when
        return b"".join(digests), changed

    batches = [files[start : start + 256] for start in range(0, len(files), 256)]
    digest, changed = hashlib.blake2b(digest_size=8), dict[str, int]()
    with ThreadPoolExecutor(8) as threads:
        for part, times in threads.map(describe, batches):
            digest.update(part)
            changed |= times
    return SourceFiles(digest.hexdigest(), changed)


def _contents(records: Path, file: str) -> Iterator[tuple[str, bytes, int | None]]:
    """Yields (file, what stands for its content, time of change) of it and what it alone names."""
    path = os.path.join(records, file)
    if not file.lower().endswith((".hea", ".json")):
        status = _regular(path)
        yield file, b"%d" % status.st_size if status else b"", status and status.st_ctime_ns
        return
    content = _header(path)
    yield file, content, None
    if file.endswith(".json"):
        return
    for name in _signal_names(content):
        if not name.lower().endswith(_SUFFIXES) and (
            status := _regular(os.path.join(os.path.dirname(path), name))
        ):
            beside = os.path.normpath(os.path.join(os.path.dirname(file), name))
            yield beside, b"%d" % status.st_size, status.st_ctime_ns


def _regular(path: str | int) -> os.stat_result | None:
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # a NUL in a name
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def _header(path: str | Path) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO would block
    except OSError:
        return b""
    try:
        return os.read(file, LARGEST_HEADER) if _regular(file) else b""
    except OSError:
        return b""
    finally:
        os.close(file)


def _signal_names(header: bytes) -> list[str]:
    """The files that a header names: the first word of each line but the first."""
    names = re.findall(rb"^[ \t]*([^#\s]\S*)[ \t]+\S", header, re.MULTILINE)[1:1000]
    return [os.fsdecode(name) for name in dict.fromkeys(names)]


def note_times(build: Path, files: SourceFiles) -> None:
    """Keeps the times of change beside a build."""
    with replacing(build / _TIMES) as beside:
        beside.write_text(json.dumps(files.changed, indent=0))


def changed_since(build: Path, files: SourceFiles) -> list[str]:
    """Returns the signal files whose time of change is not the one that was kept beside a build.

    A build of an earlier version kept none: there it counts what changed after it was made.
    """
    path = build / _TIMES
    if not path.is_file():
        made = (build / "source.json").stat().st_mtime_ns
        return [file for file, changed in files.changed.items() if changed > made]
    known = json.loads(path.read_text())
    return [file for file, changed in files.changed.items() if known.get(file) != changed]


def records_of(found: Found, files: Iterable[str]) -> list[FoundRecord]:
    """Returns the records whose headers name some of these files, given as in `SourceFiles`."""
    wanted = {file.casefold() for file in files}
    folders = {os.path.dirname(file) for file in wanted}
    records = []
    for record in found.records:
        folder = record.path.relative_to(found.root).parent.as_posix()
        if os.path.normpath(folder).casefold().removeprefix(".") not in folders:
            continue
        if not is_header(record.path.name):
            records += [record] * any(
                file.relative_to(found.root).as_posix().casefold() in wanted
                for file in (record.path, sidecar_of(record.path))
            )
            continue
        for name in _signal_names(_header(record.path)):
            if os.path.normpath(os.path.join(folder, name)).casefold() in wanted:
                records.append(record)
                break
    return records
