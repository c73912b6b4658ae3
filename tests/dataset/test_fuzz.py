"""Damaged headers and signal files end in nothing but a record or a RecordError."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("cases, seed", [(500, 0), pytest.param(10_000, 1, marks=pytest.mark.slow)])
def test_damaged_records_give_a_record_or_a_record_error_in_bounded_time_and_memory(
    repository, cases, seed
):
    # In a process of its own: it forks for every case.
    command = [sys.executable, "-m", "benchmarks.fuzz", f"--cases={cases}", f"--seed={seed}"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert f"{cases} cases: " in done.stdout and " record;" in done.stdout
