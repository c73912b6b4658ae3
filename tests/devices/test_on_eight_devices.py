"""The tests that need eight devices, in a process that has them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_MARK = "mark.eight_devices"


def _run(repository: Path, expression: str) -> subprocess.CompletedProcess:
    # Only files that have such tests: to import the others takes as long as many of them.
    tests = sorted((repository / "tests").rglob("test_*.py"))
    files = [str(path) for path in tests if _MARK in path.read_text()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", expression]
    return subprocess.run(
        [*command, *files],
        cwd=repository,
        env=os.environ | {"RESUNET_LC_TEST_DEVICES": "8"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "expression",
    ["eight_devices and not slow", pytest.param("eight_devices and slow", marks=pytest.mark.slow)],
)
def test_what_needs_eight_devices_passes_on_eight(expression: str, repository: Path) -> None:
    done = _run(repository, expression)
    assert done.returncode == 0, done.stdout + done.stderr
