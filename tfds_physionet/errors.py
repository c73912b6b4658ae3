"""The one error that a record raises, and the checks that come before its files are opened.

File names are Python's (a byte that is no UTF-8 is a surrogate); messages hold `printable` ones.
"""

import functools
import os
import stat
import unicodedata
from pathlib import Path

_LONGEST_REASON = 500


class RecordError(ValueError):
    """A record that can't be used.

    Attributes:
        path: The file at fault.
        field: What of it is at fault.
        reason: Why, with the value.
    """

    def __init__(self, path: Path, field: str, reason: str) -> None:
        """Composes the one-line message."""
        reason = " ".join(reason.split())[:_LONGEST_REASON]
        reason = "".join(sign if sign.isprintable() else "?" for sign in reason)
        super().__init__(f"{printable(path)}: {field}: {reason}")
        self.path, self.field, self.reason = path, field, reason

    def __reduce__(self) -> tuple[type, tuple[Path, str, str]]:
        """Keeps the three parts when it travels between processes."""
        return RecordError, (self.path, self.field, self.reason)


def of_record(header: Path, error: Exception) -> RecordError:
    """Returns whatever went wrong with a record as its own error, which names its header."""
    if not isinstance(error, RecordError):
        return RecordError(header, "record", f"{type(error).__name__}: {error}")
    if error.path == header:
        return error
    return RecordError(header, error.field, f"{printable(Path(error.path).name)}: {error.reason}")


def printable(name: Path | str) -> str:
    r"""Returns a file name as text: bytes that are no UTF-8 and control characters as \xfc.

    Different names stay different, since a backslash of the name's own is doubled.
    """
    text = os.fspath(name).replace("\\", "\\\\")
    if text.isascii() and text.isprintable():
        return text
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(f"\\x{ord(c):02x}" if unicodedata.category(c) == "Cc" else c for c in text)


def file_size(path: Path, field: str) -> int:
    """Returns the bytes of a regular file, without opening it: a FIFO or a device may block.

    Raises:
        RecordError: It can't be read, or is no regular file.
    """
    if "\0" in str(path):
        raise RecordError(path, field, "can't be read (its name holds a NUL)")
    try:
        status = os.stat(path)
    except OSError as error:
        raise unreadable(path, field, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise RecordError(path, field, "can't be read (it is no regular file)")
    return status.st_size


def read_file(path: Path, field: str, largest: int) -> bytes:
    """Returns what a regular file holds.

    Args:
        path: The file.
        field: What of the record it is.
        largest: In bytes.

    Raises:
        RecordError: It can't be read, or is larger.
    """
    size = file_size(path, field)
    if size > largest:
        raise RecordError(path, field, f"{size} bytes are too many; the most is {largest}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, field, error) from error


def unreadable(path: Path, field: str, error: OSError) -> RecordError:
    """Returns the error of a file that the system does not give."""
    return RecordError(path, field, f"can't be read ({error.strerror or error})")


def beside(header: Path, name: str, field: str) -> Path:
    """Returns the path of a file that a header names, which lies in its folder or below.

    Where there is none of that name, one that differs in its form alone is taken (letters of
    another case, another spelling or encoding of the same signs), or the folder is left out.

    Raises:
        RecordError: The name leads out of the folder.
    """
    folder, _, last = name.rpartition("/")
    if name.startswith("/") or last in ("", ".") or ".." in name.split("/"):
        reason = f"can't be read ({name!r} is not in the header's folder or below)"
        raise RecordError(header, field, reason)
    path = header.parent / name
    if "\0" in name:
        return path
    for candidate in (path, header.parent / last) if folder else (path,):
        try:
            if candidate.exists():
                return candidate
            names = _names(candidate.parent, os.stat(candidate.parent).st_mtime_ns)
        except OSError:  # a name that is too long, a folder that is not there
            continue
        if found := names.get(_plain(candidate.name)):
            return candidate.with_name(found)
    return path


@functools.lru_cache(maxsize=4)
def _names(folder: Path, changed: int) -> dict[str, str]:
    """Returns the names in a folder by their plain form; `changed` is when it last was."""
    return {_plain(name): name for name in os.listdir(folder)}


def _plain(name: str) -> str:
    try:
        name = os.fsencode(name).decode()
    except UnicodeDecodeError:
        name = os.fsencode(name).decode("latin-1")
    return unicodedata.normalize("NFC", name).casefold()
