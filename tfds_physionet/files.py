"""Files that are whole or not there, locks between processes, folders that vanish if unused."""

import contextlib
import fcntl
import json
import math
import os
import platform
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_BESIDE = re.compile(r"\.[0-9a-f]{8}\.[0-9]+(\..*)?")  # what `replacing` writes to


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Makes a folder and those above it; removes of what it made what is empty in the end."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for path in missing:
                path.rmdir()


@contextlib.contextmanager
def lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock file, which ends with the process and is removed after use.

    Args:
        path: The file, which names the process that holds it. Its folder is made if it is missing.
        wait: Whether to wait for another process that holds it.

    Raises:
        BlockingIOError: Another process holds it and is not waited for; the message names it.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = open(path, "a+")
        except FileNotFoundError:  # another process took its unused folder away just now
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            with file:
                file.seek(0)
                holder = file.read().strip() or "another process"
            raise BlockingIOError(
                f"{path.parent} is being written by {holder}; wait for it, stop it, or choose "
                "another folder"
            ) from None
        # The holder before may have removed the very file that was waited for.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                break
        file.close()
    file.truncate(0)
    file.write(f"process {os.getpid()} on {platform.node()}\n")
    file.flush()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def is_locked(path: Path) -> bool:
    """Whether some process holds a lock file."""
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def replacing(path: str | Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields a name beside `path` to write to; renames it to `path` if the block succeeds.

    The folder is made if it is missing. The suffix is kept, since writers judge the format by it.

    Args:
        path: The file.
        durable: Whether the content is on the disk before the name is, so that a power loss leaves
            the old file or the new one. Of many small files one `os.sync` after the last is faster.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Short, whatever the name: the file system bounds it.
    beside = path.with_name(f".{zlib.crc32(os.fsencode(path.name)):08x}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        if durable:
            with beside.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def sweep(folder: Path) -> None:
    """Removes below a folder what processes that were killed left of `replacing`.

    Only for the one process that may write there.
    """
    for path in folder.rglob(".*"):
        if _BESIDE.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_json(path: str | Path, value: Any) -> None:
    """Writes a JSON file, whole or not at all; null stands for numbers that are not finite."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def read_values(
    path: Path, *, what: str = "values by name", remedy: str = "put it back"
) -> dict[str, Any]:
    """Reads a JSON file that holds an object.

    Args:
        path: The file.
        what: What the object holds, for the message.
        remedy: What to do about a damaged one.

    Raises:
        ValueError: The file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; {remedy}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it holds no {what}; {remedy}")
    return content


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(of_key) for key, of_key in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
