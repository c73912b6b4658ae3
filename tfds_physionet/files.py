"""Files that are whole or not there, locks between processes, folders that vanish if unused."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """Makes a folder; removes it again if it is still empty in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """Holds a lock file, which ends with the process and is removed after use."""
    while True:
        file = open(path, "w")
        fcntl.flock(file, fcntl.LOCK_EX)
        # The holder before may have removed the very file that was waited for.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                break
        file.close()
    try:
        yield
    finally:
        path.unlink()
        file.close()


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a name beside `path` to write to; renames it to `path` if the block succeeds.

    The folder is made if it is missing. The suffix is kept, since writers judge the format by it.
    The content is on the disk before the name is: a power loss leaves the old file or the new one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield beside
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
