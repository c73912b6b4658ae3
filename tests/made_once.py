"""What is made once a test run, however many processes it has."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tfds_physionet.files import lock


def made_once(
    config: pytest.Config,
    temporary: pytest.TempPathFactory,
    name: str,
    make: Callable[[Path], None],
) -> Path:
    """Returns the folder of that name, which the first process that needs it has made.

    The others wait for it. No test changes what is in it.
    """
    base = temporary.getbasetemp()
    if hasattr(config, "workerinput"):  # a worker of pytest-xdist, whose folder lies in the run's
        base = base.parent
    folder, made = base / name, base / f"{name}.made"
    with lock(base / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # left by a process that failed
            make(folder)
            made.touch()
    return folder
