"""Runs that are killed outright, at twenty random moments, lose nothing. Slow: 22 starts."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from small_runs import small_flags

from configs import default
from resunet_lc_jax.exchange import create_template
from resunet_lc_jax.learning.state import TrainState
from resunet_lc_jax.runs.checkpoints import Checkpoints
from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.runs.workdir import build_model

pytestmark = pytest.mark.slow

_STEPS = 80

# When the twenty kills come: anywhere in a life's first seconds (imports, restoring, compiling),
# before its first checkpoint, or after some. Each is followed by a short random wait.
_KILLS = {"starting": 5, "training": 5, "saved 1": 4, "saved 2": 3, "saved 4": 3}


def _command(data_dir: Path, workdir: Path) -> list[str]:
    changes = {
        "data.simulated_count": 160,
        "data.data_dir": data_dir,
        "train.steps": _STEPS,
        "train.log_every_steps": 1,
        "train.checkpoint_every_steps": 2,
    }
    return [sys.executable, "main.py", *small_flags(**changes), f"--workdir={workdir}"]


def _start(command: list[str], repository: Path, log: Path) -> subprocess.Popen:
    with log.open("w") as file:
        return subprocess.Popen(command, cwd=repository, stdout=file, stderr=subprocess.STDOUT)


def _finish(command: list[str], repository: Path, log: Path) -> None:
    assert _start(command, repository, log).wait(timeout=600) == 0, log.read_text()


def _starts(workdir: Path) -> list[int]:
    """The step of each start that came as far as to train."""
    path = workdir / "provenance.json"
    return (
        [start["step"] for start in json.loads(path.read_text())["starts"]]
        if path.is_file()
        else []
    )


def _saved(workdir: Path) -> int:
    """The step of the latest checkpoint."""
    folder = workdir / "checkpoints"
    return max((int(path.name) for path in folder.glob("*") if path.name.isdigit()), default=0)


def _due(kill: str, workdir: Path) -> Callable[[], bool]:
    """When a life that is about to begin has come to the moment of a kill."""
    kind, _, count = kill.partition(" ")
    starts, step = len(_starts(workdir)), _saved(workdir)
    if kind == "starting":
        return lambda: True
    if kind == "training":
        return lambda: len(_starts(workdir)) > starts
    return lambda: _saved(workdir) >= step + 2 * int(count)


def _latest(workdir: Path) -> TrainState:
    config = load_config(workdir, default.get_config())
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return checkpoints.restore(create_template(config, build_model(config)))


def test_a_run_killed_at_twenty_random_moments_ends_as_the_run_that_was_not(
    repository: Path, tmp_path: Path
) -> None:
    # Reports name a run's folder.
    whole, killed = tmp_path / "whole" / "run", tmp_path / "killed" / "run"
    log = tmp_path / "log"
    _finish(_command(tmp_path / "data", whole), repository, log)
    moments = random.Random(7)
    kills = list(Counter(_KILLS).elements())
    moments.shuffle(kills)
    assert len(kills) == 20
    saving: list[str] = []
    for kill in kills:
        due, deadline = _due(kill, killed), time.monotonic() + 120
        process = _start(_command(tmp_path / "data", killed), repository, log)
        while not due():
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 8 if kill == "starting" else 0.1))
        process.kill()
        assert process.wait() == -signal.SIGKILL, log.read_text()
        if any("tmp" in path.name for path in (killed / "checkpoints").glob("*")):
            saving.append(kill)
    _finish(_command(tmp_path / "data", killed), repository, log)

    assert (killed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    rows = [json.loads(line) for line in (killed / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == list(range(1, _STEPS + 1))
    validated = [row["step"] for row in rows if "validation_loss" in row]
    assert validated == list(range(8, _STEPS + 1, 8))
    ours, theirs = _latest(killed), _latest(whole)
    assert int(ours.step) == _STEPS and len(jax.tree.leaves(ours)) > 50
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    reports = [(run / "evaluation" / "test.json").read_bytes() for run in (killed, whole)]
    assert reports[0] == reports[1]

    starts = _starts(killed)
    assert starts == sorted(starts) and len(starts) >= 16 and len(set(starts)) >= 8
    assert saving, "no kill met a save under way: draw other moments"
