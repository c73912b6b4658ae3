"""Runs of an earlier version are evaluated, applied, taken up, compared and exported."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from challenge_files import write_challenge

from tfds_physionet.diagnoses import CLASS_NAMES

_METRICS = ("auroc", "auprc", "f_measure", "challenge_metric", "hamming_loss", "specificity")
# Another processor adds in another order.
_TOLERANCE = 1e-4

Main = Callable[..., str]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with copies of the old runs, whose files name it as theirs."""
    folder = tmp_path_factory.mktemp("old") / "runs"
    shutil.copytree(Path(__file__).parents[1] / "old_runs", folder)
    for path in folder.rglob("*.json"):
        if "checkpoints" not in path.parts:
            path.write_text(path.read_text().replace("/runs", str(folder)))
    write_challenge(folder / "in", 6, seed=3, num_samples=2500)
    return folder


@pytest.fixture(scope="module")
def main(repository: Path) -> Main:
    def run(*arguments: object, status: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "main.py", *map(str, arguments)],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def _scores(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    scores = [[float(row[name]) for name in CLASS_NAMES] for row in rows]
    return [row["record"] for row in rows], [row["diagnoses"] for row in rows], np.array(scores)


@pytest.mark.parametrize("name", ["one", "two", "both"])
def test_an_old_run_is_evaluated_to_the_numbers_it_had(name: str, runs: Path, main: Main) -> None:
    report = runs / name / "evaluation" / "test.json"
    before = json.loads(report.read_text())
    workdir = f"--workdir={runs / name}"
    members = [f"--runs={runs / 'one'},{runs / 'two'}"] if name == "both" else []
    main("--mode=evaluate", workdir, *members)
    after = json.loads(report.read_text())
    for key in _METRICS:
        assert after[key] == pytest.approx(before[key], abs=_TOLERANCE), key


@pytest.mark.parametrize("name", ["one", "both"])
def test_an_old_run_predicts_what_it_predicted(name: str, runs: Path, main: Main) -> None:
    output = runs / f"predicted_{name}"
    main(
        "--mode=predict", f"--workdir={runs / name}", f"--input={runs / 'in'}", f"--output={output}"
    )
    expected = _scores(runs / "expected" / f"predicted_{name}.csv")
    found = _scores(output / "predictions.csv")
    assert found[:2] == expected[:2]
    np.testing.assert_allclose(found[2], expected[2], atol=_TOLERANCE)


def test_an_old_ensemble_that_votes_still_predicts(runs: Path, main: Main) -> None:
    output = runs / "predicted_majority"
    main(
        "--mode=predict",
        f"--workdir={runs / 'majority'}",
        f"--input={runs / 'in'}",
        f"--output={output}",
    )
    expected = _scores(runs / "expected" / "predicted_both.csv")
    np.testing.assert_allclose(_scores(output / "predictions.csv")[2], expected[2], atol=_TOLERANCE)


def test_old_runs_are_compared(runs: Path, main: Main) -> None:
    main("--mode=compare", f"--runs={runs / 'one'},{runs / 'two'}", f"--output={runs / 'compared'}")
    assert "res1d_maxpool" in (runs / "compared" / "comparison.md").read_text()


def test_an_old_run_is_exported(runs: Path, main: Main) -> None:
    main("--mode=export", f"--workdir={runs / 'one'}", f"--output={runs / 'one.stablehlo'}")
    main("--mode=export_torch", f"--workdir={runs / 'one'}", f"--output={runs / 'one.npz'}")
    assert (runs / "one.stablehlo").stat().st_size > 1000
    with np.load(runs / "one.npz") as arrays:
        assert arrays["fc.weight"].shape[0] == len(CLASS_NAMES)


def test_an_old_run_is_taken_up_where_it_stopped(runs: Path, main: Main) -> None:
    again = runs / "again"
    shutil.copytree(runs / "one", again)
    overrides = {
        "model.name": "res1d_maxpool",
        "model.width": 4,
        "data.variant": "100hz",
        "data.length": 256,
        "data.simulated_count": 120,
        "data.data_dir": runs / "data",
        "data.workers": 1,
        "train.batch_size": 16,
        "train.epochs": 3,
        "train.log_every_steps": 2,
        "eval.bootstrap_replicates": 20,
    }
    given = [f"--config.{name}={value}" for name, value in overrides.items()]
    said = main("--config=configs/quickstart.py", *given, f"--workdir={again}")
    assert "taken up at step 12 of 18" in said

    def rows(path: Path) -> list[dict]:
        return [json.loads(line) for line in path.read_text().splitlines()]

    found, expected = rows(again / "metrics.jsonl"), rows(runs / "expected/resumed_metrics.jsonl")
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=1e-3)
