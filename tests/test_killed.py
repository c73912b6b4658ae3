"""Runs that are killed outright, at twenty random moments, lose nothing. Slow: 21 starts."""

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

pytestmark = pytest.mark.slow

_STEPS = 300


def _command(data_dir: Path, workdir: Path) -> list[str]:
    changes = {
        "data.simulated_count": 160,
        "data.data_dir": data_dir,
        "data.length": 256,
        "model.name": "res1d_maxpool",
        "model.width": 8,
        "train.batch_size": 16,
        "train.steps": _STEPS,
        "train.log_every_steps": 1,
        "train.checkpoint_every_steps": 2,
        "eval.batch_size": 16,
        "eval.bootstrap_replicates": 20,
        "compilation_cache": data_dir / "compiled",
    }
    command = [sys.executable, "main.py", "--config=configs/quickstart.py"]
    return [*command, *(f"--config.{k}={v}" for k, v in changes.items()), f"--workdir={workdir}"]


def _start(command: list[str], repository: Path) -> subprocess.Popen:
    return subprocess.Popen(
        command, cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _has_saved(workdir: Path, start: int) -> bool:
    """Whether the given start of the run, counted from 0, has saved a checkpoint of its own."""
    path = workdir / "provenance.json"
    starts = json.loads(path.read_text())["starts"] if path.is_file() else []
    saved = [int(p.name) for p in (workdir / "checkpoints").glob("*") if p.name.isdigit()]
    return len(starts) > start and max(saved, default=0) > starts[start]["step"]


def _arrays(workdir: Path) -> dict[str, np.ndarray]:
    """Every array of the last checkpoint: parameters, statistics, optimiser, step."""
    with ocp.training.Checkpointer(workdir / "checkpoints") as checkpointer:
        loaded = checkpointer.load_checkpointables(_STEPS)
    leaves = jax.tree_util.tree_leaves_with_path(loaded)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def test_a_run_killed_at_twenty_random_moments_ends_as_the_run_that_was_not(
    repository: Path, tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = _start(_command(tmp_path / "data", whole), repository)
    assert process.wait(timeout=1500) == 0, process.stderr.read()
    moments = random.Random(7)
    mid_save = 0
    for kill in range(20):
        process = _start(_command(tmp_path / "data", killed), repository)
        deadline = time.monotonic() + 120
        while not _has_saved(killed, kill):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.8))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stderr.close()
        checkpoints = killed / "checkpoints"
        mid_save += any("tmp" in path.name for path in checkpoints.iterdir())
    process = _start(_command(tmp_path / "data", killed), repository)
    assert process.wait(timeout=1500) == 0, process.stderr.read()
    assert (killed / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()
    rows = (whole / "metrics.jsonl").read_text().splitlines()
    assert {json.loads(row)["step"] for row in rows} == set(range(1, _STEPS + 1))
    ours, theirs = _arrays(killed), _arrays(whole)
    assert ours.keys() == theirs.keys() and len(ours) > 50
    for name, array in ours.items():
        np.testing.assert_array_equal(array, theirs[name], err_msg=name)
    starts = json.loads((killed / "provenance.json").read_text())["starts"]
    assert len(starts) == 21 and len({start["step"] for start in starts}) == 21
    assert mid_save, "no kill met a save under way: draw other moments"
