"""Runs that decide together."""

import json
from pathlib import Path

import numpy as np
import optax
import pytest
from ml_collections import ConfigDict
from small_runs import small_config

from resunet_lc_jax.compare import compare
from resunet_lc_jax.ensemble import (
    Ensemble,
    combine,
    evaluate_ensemble,
    find_ensemble,
    predict_ensemble,
)
from resunet_lc_jax.learning import optim
from resunet_lc_jax.learning.state import create_state
from resunet_lc_jax.measures import thresholds
from resunet_lc_jax.measures.challenge_csv import read_challenge_csv
from resunet_lc_jax.measures.predictions import Predictions, load_predictions
from resunet_lc_jax.measures.thresholds import Thresholds
from resunet_lc_jax.runs.checkpoints import Checkpoints
from resunet_lc_jax.runs.open_run import open_run
from resunet_lc_jax.runs.workdir import build_model, hold, initial_variables


def _predictions(scores: np.ndarray, at: float) -> Predictions:
    count = len(scores)
    names = np.array([f"R{number}" for number in range(count)])
    return Predictions(
        record_id=names,
        patient_id=names,
        database=np.full(count, "ptb"),
        labels=np.zeros((count, 26), np.uint8),
        scores=scores.astype(np.float32),
        decisions=(scores >= at).astype(np.uint8),
        thresholds=np.full(26, at),
    )


def _three() -> list[Predictions]:
    scores = np.random.default_rng(0).random((3, 50, 26))
    return [_predictions(part, at) for part, at in zip(scores, (0.2, 0.5, 0.9), strict=True)]


def test_a_mean_vote_decides_by_the_mean_score() -> None:
    parts = _three()
    voted = combine(parts, "mean")
    np.testing.assert_allclose(voted.scores, np.mean([p.scores for p in parts], axis=0), rtol=1e-6)
    np.testing.assert_allclose(voted.thresholds, 1.6 / 3)
    np.testing.assert_array_equal(voted.decisions, voted.scores >= voted.thresholds)


def test_a_majority_vote_is_the_median_decision() -> None:
    parts = _three()
    voted = combine(parts, "majority")
    np.testing.assert_array_equal(voted.decisions, np.median([p.decisions for p in parts], axis=0))
    np.testing.assert_array_equal(voted.scores, combine(parts, "mean").scores)
    both = combine(parts[:2], "majority")
    np.testing.assert_array_equal(both.decisions, parts[0].decisions & parts[1].decisions)


def test_an_ensemble_is_of_different_runs_and_a_known_vote() -> None:
    for runs in ((Path("a"),), (Path("a"), Path("a"))):
        with pytest.raises(ValueError, match="two different runs or more"):
            Ensemble(runs)
    with pytest.raises(ValueError, match="'best'; choose one of mean, majority"):
        Ensemble((Path("a"), Path("b")), "best")


@pytest.fixture(scope="module")
def runs(
    prepared: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> dict[Path, ConfigDict]:
    """Two runs, stored before their first step; the second sees twice as much of two leads."""
    folder = tmp_path_factory.mktemp("ensemble")
    of = {"data.leads": ("II", "V5"), "data.length": 512, "seed": 7}
    configs = {}
    for name, changes in (("first", {}), ("second", of)):
        config = configs[folder / name] = small_config(**prepared, **changes)
        variables = initial_variables(config, build_model(config))
        run = folder / name
        with hold(run, config), Checkpoints(run / "checkpoints") as checkpoints:
            state = create_state(
                variables, optim.create_optimizer("sgd", optax.constant_schedule(0.1))
            )
            checkpoints.save(state, metric=0.5, wait=True)
        at = 0.4 if name == "first" else 0.6
        Thresholds(np.full(26, at), "fixed").to_json(folder / name / "thresholds.json")
    return configs


def test_an_ensemble_is_evaluated_compared_and_applied_as_a_run_is(
    runs: dict[Path, ConfigDict], simulated_records: Path, tmp_path: Path
) -> None:
    ensemble, workdir = Ensemble(tuple(runs)), tmp_path / "both"
    evaluate_ensemble(ensemble, runs, workdir, split="test")
    assert find_ensemble(workdir) == ensemble
    assert not (workdir / "config.json").exists()  # it is no run
    together = load_predictions(workdir / "evaluation" / "test.npz")
    opened = [open_run(run, config, "test", "validation") for run, config in runs.items()]
    each = [(run.score("test"), run.score("validation")) for run in opened]
    mean = np.mean([test.scores for test, _ in each], axis=0)
    np.testing.assert_allclose(together.scores, mean, atol=1e-6)
    validation = combine([scored for _, scored in each], "mean")
    chosen = thresholds.choose("f1", validation.labels, validation.scores)
    np.testing.assert_array_equal(together.thresholds, chosen.values)

    about = json.loads((workdir / "evaluation" / "test.json").read_text())["about"]
    assert about["network"] == "mean of 2 (res1d_maxpool)" and about["thresholds"] == "f1"
    assert (about["leads"], about["windows"], about["step"]) == (None, "all", None)
    assert [member["leads"] for member in about["members"]] == [12, 2]

    table = compare([workdir], tmp_path / "compared", replicates=5)
    assert "| mean of 2 (res1d_maxpool) |" in table
    assert predict_ensemble(ensemble, runs, workdir, simulated_records, tmp_path / "out") == 0
    with (tmp_path / "out" / "predictions.csv").open() as file:
        assert "AF_calibrated" in file.readline()
    files = {path.stem: path for path in (tmp_path / "out" / "training").rglob("*.csv")}
    for row, name in enumerate(together.record_id):
        found = read_challenge_csv(files[str(name)])
        np.testing.assert_allclose(found.scores, together.scores[row], atol=1e-5)
        near = np.abs(together.scores[row] - together.thresholds) < 1e-5
        np.testing.assert_array_equal(found.decisions[~near], together.decisions[row][~near])


def test_a_folder_with_a_run_or_another_ensemble_is_not_overwritten(
    runs: dict[Path, ConfigDict], tmp_path: Path
) -> None:
    other = {"runs": ["a", "b"], "vote": "mean"}
    (tmp_path / "ensemble.json").write_text(json.dumps(other))
    for workdir in (tmp_path, next(iter(runs))):
        with pytest.raises(ValueError, match="give another"):
            evaluate_ensemble(Ensemble(tuple(runs)), runs, workdir, split="test")


def test_runs_that_were_tested_on_different_records_are_no_ensemble(
    runs: dict[Path, ConfigDict], tmp_path: Path
) -> None:
    moved = dict(runs)
    last = list(runs)[-1]
    moved[last] = runs[last].copy_and_resolve_references()
    moved[last].data.update({"validation_folds": (10,), "test_folds": (9,)})
    with pytest.raises(ValueError, match="records differ"):
        evaluate_ensemble(Ensemble(tuple(runs)), moved, tmp_path / "both", split="test")
    assert not (tmp_path / "both").exists()
