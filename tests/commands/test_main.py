"""The command line: what it answers, how fast, and with which exit status."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_runs import small_flags


def _run(repository: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "main.py", *arguments],
        cwd=repository,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_modes_and_flags_and_succeeds(repository: Path) -> None:
    done = _run(repository, "--help")
    assert done.returncode == 0 and not done.stderr
    for word in ("--config", "--workdir", "--mode=predict", "--mode=import_torch", "configs/"):
        assert word in done.stdout


def test_help_and_wrong_flags_import_neither_jax_nor_tensorflow(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "main.py", "--help"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert not imported & {"jax", "tensorflow", "numpy"}


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.train.batchsize=3", "did you mean config.train.batch_size?"),
        ("--config.eval.crop=random", "config.eval.crop is no knob of configs/default.py"),
        ("--config.foo.bar=3", "config.foo.bar is no knob"),
        ("--config.train.batch_size=many", "many"),
        ("--config=configs/nothing.py", "--config=configs/nothing.py: no such file"),
        ("--config=nothing", "by name there are default, finetuned, "),
        ("--mode=dance", "dance"),
        ("stray", "what is 'stray'"),
        ("--workdirs=W", "workdirs"),
    ],
)
def test_a_wrong_command_is_answered_in_a_sentence_with_status_2(
    argument: str, message: str, repository: Path
) -> None:
    done = _run(repository, argument)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr


def test_without_data_the_default_config_says_how_to_go_on(repository: Path) -> None:
    done = _run(repository, "--config=configs/default.py")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "tfds_physionet.prepare --download" in done.stderr
    assert "--config=configs/quickstart.py" in done.stderr


def test_a_folder_without_a_run_cannot_be_evaluated(repository: Path, tmp_path: Path) -> None:
    done = _run(repository, "--mode=evaluate", f"--workdir={tmp_path}")
    assert done.returncode == 2 and "holds no run" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_wrong_knobs_are_told_at_once_and_before_anything_is_prepared(
    repository: Path, tmp_path: Path
) -> None:
    wrong = ["--config.train.learning_rate=-1", "--config.augment.noise=nan"]
    wrong += ["--config.eval.bootstrap_replicates=0", "--config.data.leads=()"]
    folders = [f"--config.data.data_dir={tmp_path / 'data'}", f"--workdir={tmp_path / 'run'}"]
    done = _run(repository, *small_flags(), *wrong, *folders)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    first, *lines = done.stderr.splitlines()
    assert first == "main.py: 4 things are wrong in the config:" and len(lines) == 4
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_there_are_told_before_records_are_prepared(
    repository: Path, tmp_path: Path
) -> None:
    files = {"train_list": "a.csv", "test_list": "b.csv", "patients": "c.csv"}
    given = [f"--config.data.{name}={tmp_path / file}" for name, file in files.items()]
    done = _run(repository, *small_flags(), *given, f"--config.data.data_dir={tmp_path / 'data'}")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("return {}['x']", 2, "KeyError: 'x' (--traceback shows where it arose)"),
        ("raise RuntimeError('one\\ntwo')", 2, "RuntimeError: one (--traceback"),
        ("raise RuntimeError", 2, "RuntimeError (--traceback"),
        ("1 +", 2, "SyntaxError: invalid syntax (mine.py, line 2)"),
        ("import nowhere", 2, "No module named 'nowhere'"),
        (
            "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
            130,
            "SIGINT: stopped",
        ),
    ],
)
def test_what_a_config_of_ones_own_does_wrong_is_one_line(
    body: str, status: int, message: str, repository: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(f"def get_config():\n    {body}\n")
    done = _run(repository, f"--config={tmp_path / 'mine.py'}", "--workdir=W")
    assert done.returncode == status and "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("main.py: ") and message in line


def test_what_no_one_thought_of_ends_in_a_line_too_after_the_traceback_where_it_is_asked_for(
    repository: Path, tmp_path: Path
) -> None:
    command = [*small_flags(), f"--workdir={tmp_path / 'run'}", "--traceback"]
    done = _run(repository, *command, JAX_PLATFORMS="nonsense")
    assert done.returncode == 1 and done.stderr.startswith("Traceback")
    line = done.stderr.splitlines()[-1]
    assert line.startswith("main.py: RuntimeError: Unable to initialize backend 'nonsense'")
    assert line.endswith("(--traceback shows where it arose)")


def test_out_of_memory_names_the_knobs_that_help(repository: Path, tmp_path: Path) -> None:
    # 500 GB of parameters in one array, which no system promises.
    folders = [f"--config.data.data_dir={tmp_path / 'data'}", f"--workdir={tmp_path / 'run'}"]
    changes = ["--config.model.width=120000", "--config.data.simulated_count=120"]
    done = _run(repository, *small_flags(), *changes, *folders)
    line = done.stderr.splitlines()[-1]
    assert done.returncode == 1 and line.startswith("main.py: out of memory: ")
    for knob in ("train.batch_size", "train.accumulate_steps", "model.dtype", "eval.batch_size"):
        assert knob in line
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("mode", "number", "status", "message"),
    [
        ("train", signal.SIGTERM, 75, "SIGTERM: stopped; the same command goes on"),
        ("train", signal.SIGINT, 75, "SIGINT: stopped; the same command goes on"),
        ("evaluate", signal.SIGINT, 130, "SIGINT: stopped"),
        ("evaluate", signal.SIGTERM, 143, "SIGTERM: stopped"),
    ],
)
def test_a_signal_while_records_are_prepared_ends_in_one_line(
    mode: str, number: int, status: int, message: str, repository: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    if mode == "evaluate":
        shutil.copytree(repository / "tests" / "old_runs" / "one", run)
    own = small_flags() if mode == "train" else []
    command = [sys.executable, "main.py", *own, f"--mode={mode}", f"--workdir={run}"]
    command += ["--config.data.simulated_count=100000", f"--config.data.data_dir={tmp_path}"]
    process = subprocess.Popen(command, cwd=repository, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = b""
    deadline = time.monotonic() + 120
    while b"simulate" not in said:
        assert time.monotonic() < deadline and (more := os.read(process.stderr.fileno(), 1000))
        said += more
    process.send_signal(number)
    rest = process.communicate(timeout=60)[1].decode()
    assert process.returncode == status
    assert rest.splitlines()[-1] == f"main.py: {message}" and "Traceback" not in rest


def test_the_reader_of_the_help_may_go(repository: Path) -> None:
    # It is gone before anything is written.
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "main.py", "--help"],
        cwd=repository,
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)
    assert done.returncode == 0 and not done.stderr
