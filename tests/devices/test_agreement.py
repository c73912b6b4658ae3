"""Several processes of one run agree before they train, and end together."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from host_ports import free_port

Outcome = list[tuple[int, str]]
"""Each process's exit status and what it wrote to its standard error, but for the progress bars."""


@contextmanager
def _started(
    repository: Path, folders: Sequence[Path], *flags: str, own: Sequence[Sequence[str]] = ()
) -> Iterator[list[subprocess.Popen]]:
    """main.py in several processes of one run, each in a folder of its own and with flags of its
    own."""
    knobs = {
        "data.variant": "100hz",
        "data.length": 64,
        "data.workers": 1,
        "model.name": "res1d_maxpool",
        "model.width": 4,
        "train.batch_size": 16,
        "train.steps": 2,
        "eval.batch_size": 16,
        "eval.bootstrap_replicates": 2,
        "parallel.coordinator": f"localhost:{free_port()}",
        "parallel.num_processes": len(folders),
    }
    command = [sys.executable, str(repository / "main.py"), "--config=quickstart"]
    command += [f"--config.{name}={value}" for name, value in knobs.items()]
    environment = os.environ | {"PYTHONPATH": str(repository), "XLA_FLAGS": ""}
    processes = []
    for number, folder in enumerate(folders):
        folder.mkdir(exist_ok=True)
        given = [f"--config.parallel.process_id={number}", *flags, *(own[number] if own else ())]
        with (folder / f"said{number}").open("w") as said:
            processes.append(
                subprocess.Popen(
                    [*command, *given],
                    cwd=folder,
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                )
            )
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _ends(
    processes: Sequence[subprocess.Popen], folders: Sequence[Path], *, within_s: float = 240
) -> Outcome:
    deadline = time.monotonic() + within_s
    statuses = [process.wait(timeout=deadline - time.monotonic()) for process in processes]
    said = [(folder / f"said{number}").read_text() for number, folder in enumerate(folders)]
    return list(zip(statuses, said, strict=True))


def _sentence(said: str) -> str:
    return said.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("count", "odd", "sentence"),
    [
        pytest.param(
            2,
            "--config.train.learning_rate=0.5",
            "config.train.learning_rate (0.003 in process 0, 0.5 in process 1)",
        ),
        pytest.param(
            4,
            "--config.data.train_folds=(1,2)",
            "config.data.train_folds ([1, 2, 3, 4, 5, 6, 7, 8] in process 0, [1, 2] in process 1)",
            marks=pytest.mark.slow,
        ),
        pytest.param(2, "--workdir=other", "on --workdir (", marks=pytest.mark.slow),
    ],
)
def test_processes_that_do_not_agree_all_end_and_say_what_differs(
    count: int,
    odd: str,
    sentence: str,
    repository: Path,
    simulated_records: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "here"
    flags = [
        f"--config.data.records={simulated_records}",
        f"--config.data.data_dir={tmp_path}/data",
        "--workdir=run",
    ]
    own = [[odd] if number == 1 else [] for number in range(count)]
    with _started(repository, [folder] * count, *flags, own=own) as processes:
        for status, said in _ends(processes, [folder] * count):
            assert status == 2, said
            assert sentence in _sentence(said) and "do not agree" in said
            assert "Traceback" not in said and "Check failure" not in said


@pytest.fixture
def apart(simulated_records: Path, tmp_path: Path) -> list[Path]:
    """Two folders with the same in them, as on two machines that share no disk."""
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        shutil.copytree(simulated_records, folder / "records")
    return folders


# A path that means another folder in each process.
_HERE = "/proc/self/cwd"
_APART = [
    f"--config.data.records={_HERE}/records",
    f"--config.data.data_dir={_HERE}/data",
    "--config.train.steps=100000",
    "--config.train.log_every_steps=1",
]


@pytest.mark.slow
def test_processes_with_other_records_under_the_same_name_end_and_say_which(
    repository: Path, apart: list[Path]
) -> None:
    for path in list((apart[1] / "records").rglob("*.hea"))[:20]:
        path.unlink()
    with _started(repository, apart, *_APART, f"--workdir={_HERE}/run") as processes:
        for status, said in _ends(processes, apart):
            assert status == 2, said
            assert "do not agree on the " in _sentence(said) and " records (" in _sentence(said)
            assert not (apart[0] / "run").exists()


@pytest.mark.slow
def test_a_run_whose_folder_is_not_shared_ends_before_it_trains(
    repository: Path, apart: list[Path]
) -> None:
    with _started(repository, apart, *_APART, f"--workdir={_HERE}/run") as processes:
        for status, said in _ends(processes, apart):
            assert status == 2, said
            assert "process 1 (on " in said and "a disk that all processes share" in said
    assert not (apart[0] / "run" / "metrics.jsonl").exists()


def _until(
    condition: Callable[[], bool], processes: Sequence[subprocess.Popen], folders: Sequence[Path]
) -> None:
    while not condition():
        for process, folder in zip(processes, folders, strict=True):
            assert process.poll() is None, [p.read_text() for p in folder.glob("said*")]
        time.sleep(0.05)


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.slow
def test_an_error_in_one_process_ends_all_at_once_with_its_status_and_sentence(
    failing: int, repository: Path, apart: list[Path], tmp_path: Path
) -> None:
    flags = [*_APART, f"--workdir={tmp_path}/run"]
    with _started(repository, apart, *flags) as processes:
        log = tmp_path / "run" / "metrics.jsonl"
        _until(lambda: log.is_file() and '"loss"' in log.read_text(), processes, apart)
        (file,) = (apart[failing] / "data").rglob("*-fold_9.tfrecord-*")
        file.unlink()
        start = time.monotonic()
        ended = _ends(processes, apart, within_s=200)
    for number, (status, said) in enumerate(ended):
        assert status == 2, said
        assert f"{file.name} can't be read (No such file or directory)" in _sentence(said)
        assert (f": process {failing}: " in _sentence(said)) == (number != failing)
        assert "Check failure" not in said
    assert time.monotonic() - start < 200  # JAX itself takes 300 s and more


@pytest.mark.slow
def test_a_signal_to_a_process_that_waits_for_the_preparation_stops_all(
    repository: Path, tmp_path: Path
) -> None:
    folders = [tmp_path, tmp_path]
    flags = [
        "--config.data.simulated_count=20000",
        "--config.data.data_dir=data",
        "--workdir=run",
    ]
    with _started(repository, folders, *flags) as processes:
        _until(lambda: any((tmp_path / "data").rglob("*.hea")), processes, folders)
        time.sleep(2)
        processes[1].send_signal(signal.SIGTERM)
        for status, said in _ends(processes, folders, within_s=200):
            assert status == 75, said
            assert "SIGTERM: stopped; the same command goes on" in _sentence(said)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_process_that_nobody_joins_says_so_within_a_minute(
    number: int, repository: Path, tmp_path: Path
) -> None:
    own = [[f"--config.parallel.process_id={number}", "--config.parallel.num_processes=4"]]
    flags = ["--config.data.records=simulated", "--workdir=run"]
    with _started(repository, [tmp_path], *flags, own=own) as processes:
        ((status, said),) = _ends(processes, [tmp_path], within_s=300)
    assert status == 2, said
    assert "is of 4 processes, and not all of them have come" in _sentence(said)
    assert "config.parallel.num_processes" in said and "Check failure" not in said
