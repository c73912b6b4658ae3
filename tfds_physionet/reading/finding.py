"""Finds records: headers at any depth below a folder, each with a name that nothing else has.

The one place that walks folders. Paths stay as the file system has them (names that are no UTF-8
as Python's surrogates); names and record ids are text that can be written anywhere.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tfds_physionet.errors import RecordError, printable


@dataclass(frozen=True)
class FoundRecord:
    """A header that was found.

    Attributes:
        path: The header file.
        name: Its path below the folder that was given, without the suffix: 'training/ptb/g1/S0001'.
        record_id: The last part of `name`, or all of it where several folders have that part.
    """

    path: Path
    name: str
    record_id: str


@dataclass(frozen=True)
class Found:
    """What lies below a folder.

    Attributes:
        root: The folder; that of the header where one file was given.
        records: Sorted by their path below it.
        unreadable: Folders that may not be read.
    """

    root: Path
    records: tuple[FoundRecord, ...]
    unreadable: tuple[RecordError, ...] = ()


def find_records(source: Path | str) -> Found:
    """Finds the records below a folder, or the one whose header is given.

    Hidden files and folders (which hold copies) are passed over; links are followed, each folder
    is visited once.

    Raises:
        FileNotFoundError: There is no such folder or header, or no header below the folder.
    """
    source = Path(source)
    if source.is_file() and _is_header(source.name):
        return Found(source.parent, (FoundRecord(source, *_names([source.name])[0]),))
    unreadable: list[RecordError] = []
    headers = [path for path in walk_files(source, unreadable) if _is_header(path)]
    headers.sort(key=lambda path: path.split("/"))
    if not headers:
        reason = f"; {unreadable[0]}" if unreadable else ""
        raise FileNotFoundError(
            f"{printable(source)}: no .hea file below it; give the records' folder{reason}"
        )
    records = (
        FoundRecord(source / header, *names)
        for header, names in zip(headers, _names(headers), strict=True)
    )
    return Found(source, tuple(records), tuple(unreadable))


def walk_files(folder: Path, unreadable: list[RecordError] | None = None) -> Iterator[str]:
    """Yields the files below a folder, but for hidden ones; what is no folder counts as a file.

    A folder that is reached in two ways is visited once, by its own path rather than by a link.

    Args:
        folder: Where to begin.
        unreadable: Takes the errors of the folders that may not be read.

    Yields:
        Their paths below the folder, with '/'.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{printable(folder)}: no such folder; give the folder with the records"
        )
    visited: set[tuple[int, int]] = set()
    own, linked = [""], list[str]()
    while own or linked:
        # Links wait until all that is there by itself has been seen.
        where = own.pop() if own else linked.pop(0)
        try:
            place = os.stat(folder / where)
            if (place.st_dev, place.st_ino) in visited:
                continue
            visited.add((place.st_dev, place.st_ino))
            with os.scandir(folder / where) as entries:
                inside = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            if unreadable is not None:
                reason = f"can't be read ({error.strerror})"
                unreadable.append(RecordError(folder / where, "folder", reason))
            continue
        for entry in inside:
            path = f"{where}{entry.name}"
            if entry.name.startswith("."):
                continue
            if not _is_folder(entry):
                yield path
            elif entry.is_symlink():
                linked.append(f"{path}/")
            else:
                own.append(f"{path}/")


def _is_header(path: str) -> bool:
    return path[-4:].lower() == ".hea"


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _names(headers: list[str]) -> list[tuple[str, str]]:
    """Returns (name, record id) of each header's path."""
    names = [printable(header[:-4]) for header in headers]
    twice = Counter(names)  # x.hea beside x.HEA
    names = [
        name if twice[name] == 1 else printable(header)
        for name, header in zip(names, headers, strict=True)
    ]
    stems = [name.rsplit("/", 1)[-1] for name in names]
    shared = Counter(stems)
    return [
        (name, stem if shared[stem] == 1 else name) for name, stem in zip(names, stems, strict=True)
    ]
