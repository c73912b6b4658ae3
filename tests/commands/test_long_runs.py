"""Long runs hold on to nothing, and end when their files are taken away."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_EPOCHS = 60


@contextmanager
def _started(
    repository: Path, records: Path, workdir: Path, *, descriptors: int
) -> Iterator[subprocess.Popen]:
    """A run of 60 epochs of one step each."""
    changes = {
        "data.records": records,
        "data.data_dir": workdir.parent / "data",
        "data.variant": "100hz",
        "data.length": 64,
        "data.workers": 1,
        "model.name": "res1d_maxpool",
        "model.width": 4,
        "train.batch_size": 120,
        "train.epochs": _EPOCHS,
        "train.log_every_steps": 1,
        "eval.batch_size": 16,
        "eval.bootstrap_replicates": 2,
    }
    command = [sys.executable, "main.py", "--config=configs/quickstart.py", f"--workdir={workdir}"]
    command += [f"--config.{name}={value}" for name, value in changes.items()]
    # Python's own way to limit a process forks, which JAX's threads do not bear.
    limited = ["sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh", *command]
    with subprocess.Popen(
        limited,
        cwd=repository,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _validated(workdir: Path) -> int:
    path = workdir / "metrics.jsonl"
    return path.read_text().count("validation_loss") if path.is_file() else 0


def _held(process: subprocess.Popen) -> tuple[int, int, float]:
    """Descriptors, threads and MB of a process."""
    folder = Path(f"/proc/{process.pid}")
    pages = int((folder / "statm").read_text().split()[1])
    return len(list((folder / "fd").iterdir())), len(list((folder / "task").iterdir())), pages / 256


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_sixty_epochs_hold_as_many_files_and_threads_and_as_much_memory_as_twenty(
    repository: Path, simulated_records: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    held: dict[int, list[tuple[int, int, float]]] = {}
    with _started(repository, simulated_records, workdir, descriptors=100) as process:
        while process.poll() is None:
            if 0 < (count := _validated(workdir)) < _EPOCHS:
                held.setdefault(count, []).append(_held(process))
            time.sleep(0.02)
        assert process.returncode == 0, process.stderr.read()
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert sum("validation_loss" in row for row in rows) == _EPOCHS
    early, late = (
        [max(values) for values in zip(*sum(map(held.__getitem__, epochs), []), strict=True)]
        for epochs in (range(11, 21), range(50, 60))
    )
    assert late[0] <= early[0] + 3 and late[1] <= early[1] + 3, (early, late)
    assert late[2] <= 1.02 * early[2], (early, late)


def test_a_file_that_goes_in_the_middle_of_training_ends_the_run_with_its_name(
    repository: Path, simulated_records: Path, tmp_path: Path
) -> None:
    workdir = tmp_path / "run"
    with _started(repository, simulated_records, workdir, descriptors=200) as process:
        while _validated(workdir) == 0:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        (file,) = (tmp_path / "data").rglob("*-fold_9.tfrecord-*")
        file.unlink()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 2, said
    assert f"{file} can't be read (No such file or directory)" in said.splitlines()[-1]
    assert "Traceback" not in said
