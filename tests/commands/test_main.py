"""The command line: what it answers, how fast, and with which exit status."""

import subprocess
import sys
from pathlib import Path

import pytest


def _run(repository: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "main.py", *arguments],
        cwd=repository,
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
        ("--config.train.batchsize=3", "batchsize"),
        ("--config.train.batch_size=many", "many"),
        ("--config=configs/nothing.py", "configs/nothing.py"),
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
