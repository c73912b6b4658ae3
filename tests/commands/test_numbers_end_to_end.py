"""Runs that diverge, and runs with averages, accumulation, bfloat16 and less memory."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from small_runs import small_config, small_flags

from resunet_lc_jax.data.sources import open_records
from resunet_lc_jax.evaluate import validate
from resunet_lc_jax.exchange import create_template
from resunet_lc_jax.learning.state import TrainState
from resunet_lc_jax.runs import settings
from resunet_lc_jax.runs.checkpoints import Checkpoints
from resunet_lc_jax.runs.metrics_log import read_metrics
from resunet_lc_jax.runs.open_run import load_run
from resunet_lc_jax.runs.workdir import build_model
from resunet_lc_jax.train import train


def _latest(workdir: Path, config: ConfigDict) -> TrainState:
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return checkpoints.restore(create_template(config, build_model(config)))


def test_a_run_that_diverges_ends_with_status_1_and_keeps_its_last_good_checkpoint(
    prepared: dict[str, object], repository: Path, tmp_path: Path
) -> None:
    # One step of this rate, and nothing is finite any more.
    diverging = {
        "train.steps": 6,
        "train.optimizer": "sgd",
        "train.learning_rate": 1e30,
        "train.checkpoint_every_steps": 1,
        "train.log_every_steps": 1,
    }
    workdir = tmp_path / "run"
    command = [sys.executable, "main.py", *small_flags(**prepared, **diverging)]
    command += [f"--workdir={workdir}"]
    ended = subprocess.run(
        command,
        cwd=repository,
        env=os.environ | {"XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    assert "main.py: step 2 is not finite" in ended.stderr
    assert "Traceback" not in ended.stderr
    (found,) = json.loads((workdir / "not_finite.json").read_text())
    with (workdir / "splits.csv").open() as file:
        training = {row["record"] for row in csv.DictReader(file) if row["split"] == "train"}
    assert found["step"] == 2 and len(set(found["records"]) & training) == 16
    assert [row["step"] for row in read_metrics(workdir)] == [1]

    # The same run, allowed to skip, goes on from the checkpoint for a while.
    config = small_config(**prepared, **diverging, **{"train.skip_not_finite": 2})
    kept = _latest(workdir, config)
    assert int(kept.step) == 1 and all(np.isfinite(x).all() for x in jax.tree.leaves(kept))
    with pytest.raises(FloatingPointError, match="step 4 is not finite"):
        train(config, workdir)
    skipped = {r["step"]: r["skipped_steps"] for r in read_metrics(workdir) if "skipped_steps" in r}
    assert skipped == {2: 1, 3: 2}
    assert json.loads((workdir / "not_finite.json").read_text())[0] == found
    still = _latest(workdir, config)
    assert int(still.step) == 3
    jax.tree.map(np.testing.assert_array_equal, still.params, kept.params)


def test_a_run_with_averages_in_bfloat16_resumes_to_the_bit_and_validates_the_averages(
    prepared: dict[str, object], tmp_path: Path
) -> None:
    changes = {
        "train.steps": 6,
        "model.dtype": "bfloat16",
        "model.remat": True,
        "train.accumulate_steps": 2,
        "train.ema_decay": 0.9,
    }
    config = small_config(**prepared, **changes)
    assert train(config, tmp_path / "whole") == 0
    part = changes | {"train.steps": 3}
    assert train(small_config(**prepared, **part), tmp_path / "parts") == 0
    assert train(config, tmp_path / "parts") == 0
    whole, parts = (_latest(tmp_path / name, config) for name in ("whole", "parts"))
    assert int(whole.step) == 6
    jax.tree.map(np.testing.assert_array_equal, parts, whole)

    run = load_run(tmp_path / "whole", config, checkpoint="latest")
    jax.tree.map(np.testing.assert_array_equal, run.variables, whole.average)
    records = open_records(settings.source(config), settings.split_rules(config))
    measured = validate(records, run.score_batch, run.windowing)
    last = [row for row in read_metrics(tmp_path / "whole") if "validation_loss" in row][-1]
    assert last["validation_loss"] == pytest.approx(measured["loss"], abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train.accumulate_steps": 3}, r"3 parts .* do not divide; choose a multiple of 3"),
        (
            {"train.accumulate_steps": 0},
            "config.train.accumulate_steps is 0; choose a whole number from 1",
        ),
        (
            {"train.ema_decay": 1.0},
            "config.train.ema_decay is 1.0; choose a finite number from 0 to below 1",
        ),
        ({"model.dtype": "float16"}, "config.model.dtype is 'float16'; choose 'float32'"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_before_training(
    changes: dict, message: str, prepared: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        train(small_config(**prepared, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
