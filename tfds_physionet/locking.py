"""A lock file between processes, and folders that are gone again if nothing came of them."""

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
