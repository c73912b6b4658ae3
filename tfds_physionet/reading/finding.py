"""Finds records at any depth below a folder or in a list, each with a name that nothing else has.

The one place that walks folders. Paths stay as the file system has them (names that are no UTF-8
as Python's surrogates); names and record ids are text that can be written anywhere.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tfds_physionet.errors import RecordError, printable
from tfds_physionet.formats import kinds
from tfds_physionet.formats.arrays import names_of, open_ecgs
from tfds_physionet.formats.facts import NO_FACTS, Facts, facts_of
from tfds_physionet.formats.tables import is_ecg, is_list, listed

# Not looked into, where they are not asked for themselves.
_OTHERS = frozenset(
    ".dat .json .txt .md .html .htm .pdf .png .jpg .jpeg .svg .py .ipynb .log .zip .gz .tar .yaml"
    " .toml .bib .parquet .tfrecord .pt .pth .safetensors .xws .atr .qrs".split()
)


@dataclass(frozen=True)
class FoundRecord:
    """A record that was found.

    Attributes:
        path: The header file, or the file of another format.
        name: Its path below the folder that was given, without the suffix: 'training/ptb/g1/S0001';
            of several ECGs in a file with what that one is called: 'exams_part0/1169160'.
        record_id: The last part of `name`, or all of it where several folders have that part.
        part: Which of several ECGs in the file; None where it is one.
        facts: What the command says of arrays.
    """

    path: Path
    name: str
    record_id: str
    part: int | None = None
    facts: Facts = NO_FACTS


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


def find_records(
    source: Path | str, *, facts: Facts = NO_FACTS, headers_only: bool = False
) -> Found:
    """Finds the records below a folder, those that a list names, or the one that is given.

    Hidden files and folders (which hold copies) are passed over; links are followed, each folder
    is visited once. Files of a format that is not WFDB's are told by suffix or content; beside
    headers .mat and .dat files are theirs.

    Args:
        source: A folder, a file, or a list: .txt with a path a line, .csv with a column `path`.
        facts: What the command says of arrays.
        headers_only: Whether WFDB records alone are wanted.

    Raises:
        FileNotFoundError: There is no such folder or file, or no record in it.
        RecordError: A list can't be read.
    """
    source = Path(source)
    unreadable: list[RecordError] = []
    root = source
    if source.is_file() and (is_header(source.name) or not headers_only):
        if not is_header(source.name) and is_list(source):
            root, files = _listed(source, unreadable)
        else:
            root, files = source.parent, [source.name]
    else:
        walked = list(walk_files(source, unreadable))
        files = [path for path in walked if is_header(path)]
        if not headers_only:
            files += foreign_files(source, walked, facts)
        files.sort(key=lambda path: path.split("/"))
    if not files:
        reason = f"; {unreadable[0]}" if unreadable else ""
        what = ".hea file" if headers_only else "ECG"
        raise FileNotFoundError(
            f"{printable(source)}: no {what} below it; give the records' folder{reason}"
        )
    given = [
        (root / file, part, name)
        for file, name in zip(files, _names(files), strict=True)
        for part, name in _parts(root / file, name, facts)
    ]
    stems = Counter(name.rpartition("/")[2] for _, _, name in given)
    records = tuple(
        FoundRecord(path, name, name if stems[stem] > 1 else stem, part, facts)
        for path, part, name in given
        for stem in [name.rpartition("/")[2]]
    )
    return Found(root, records, tuple(unreadable))


def foreign_files(folder: Path, files: list[str], facts: Facts = NO_FACTS) -> list[str]:
    """Returns which of a folder's files are ECGs of a format that is not WFDB's."""
    theirs = {os.path.dirname(file) for file in files if is_header(file)}
    found = []
    for file in files:
        suffix = os.path.splitext(file)[1].lower()
        of_header = suffix in (".hea", ".mat") and os.path.dirname(file) in theirs
        if suffix in _OTHERS or of_header:
            continue
        path = folder / file
        if is_ecg(path, facts) if kinds.is_table(path) else kinds.is_meant(path):
            found.append(file)
    return found


def _parts(path: Path, name: str, facts: Facts) -> list[tuple[int | None, str]]:
    """Returns the ECGs of a file: (which, its name)."""
    if is_header(path.name):
        return [(None, name)]
    try:
        kind = kinds.kind_of(path)
        if kind not in kinds.ARRAYS or kind == "csv":
            return [(None, name)]
        names = names_of(*open_ecgs(path, kind, facts_of(path, facts)))
    except RecordError:  # reading it will say why
        return [(None, name)]
    if names is None:
        return [(None, name)]
    return [(part, f"{name}/{printable(own)}") for part, own in enumerate(names)]


def _listed(path: Path, refused: list[RecordError]) -> tuple[Path, list[str]]:
    """Returns (folder, files below it) of a list, whose own folder its paths start from."""
    files: dict[Path, None] = {}
    outside = []
    for line in listed(path):
        if ".." in Path(line).parts or "\0" in line:
            outside.append(line.replace("\0", "?"))
            continue
        place = path.parent / line
        if place.is_dir():
            found = find_records(place)
            files |= dict.fromkeys(record.path for record in found.records)
        else:
            with_header = place.with_name(f"{place.name}.hea")
            files[with_header if not place.exists() and with_header.exists() else place] = None
    folder, inside = path.parent, list(files)
    if not all(file.is_relative_to(folder) for file in inside):
        inside = [file.absolute() for file in inside]
        folder = Path(os.path.commonpath([file.parent for file in inside]))
    reason = "it leads out of the list's folder; give its absolute path"
    refused += [RecordError(folder / line, "list", reason) for line in outside]
    return folder, [file.relative_to(folder).as_posix() for file in inside]


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


def is_header(path: str) -> bool:
    """Returns whether a file is a WFDB header, by its name."""
    return path[-4:].lower() == ".hea"


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _names(files: list[str]) -> list[str]:
    """Returns the name of each file: its path without the suffix, where no other is called so."""
    names = [printable(_stem(file)) for file in files]
    twice = Counter(names)  # x.hea beside x.HEA
    return [
        name if twice[name] == 1 else printable(file)
        for name, file in zip(names, files, strict=True)
    ]


def _stem(file: str) -> str:
    """Returns a path without the suffix, where that is one of a format: names may hold dots."""
    stem, suffix = os.path.splitext(file)
    return stem if is_header(file) or kinds.has_suffix(suffix) else file
