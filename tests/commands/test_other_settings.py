"""A finished run with other settings than its own: told, and written beside its own report."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from challenge_files import write_challenge
from ml_collections import ConfigDict

from configs import default
from resunet_lc_jax.ensemble import Ensemble, evaluate_ensemble
from resunet_lc_jax.evaluate import evaluate, evaluate_leads
from resunet_lc_jax.predict import predict
from resunet_lc_jax.runs.config import load_for_use
from tfds_physionet.diagnoses import CLASS_NAMES


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(Path(__file__).parents[1] / "old_runs", folder / "runs")
    return folder / "runs" / "one"


def _config(run: Path, **changes: Any) -> ConfigDict:
    own = {
        "data.data_dir": str(run.parents[1] / "data"),
        "data.workers": 1,
        "compilation_cache": str(run.parents[1] / "compiled"),
        "eval.bootstrap_replicates": 2,
    }
    changes = {name.replace("__", "."): value for name, value in changes.items()}
    return load_for_use(run, default.get_config(), own | changes)


def _files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.iterdir() if path.is_file())
    return {path.name: path.read_bytes() for path in paths}


def test_a_report_with_other_settings_goes_beside_the_runs_own(
    run: Path, capsys: pytest.CaptureFixture
) -> None:
    own = evaluate(_config(run), run, split="test")
    before = _files(run), _files(run / "evaluation")
    other = evaluate(_config(run, eval__windows="first"), run, split="test")
    assert "config.eval.windows='first'; the run's own is 'all'" in capsys.readouterr().out
    config = _config(run, eval__thresholds="fixed", eval__batch_size=8)
    fixed = evaluate(config, run, split="test")
    leads = evaluate_leads(config, run, split="test", sizes=[12])
    after = _files(run), _files(run / "evaluation")
    assert after[0] == before[0]
    assert {name: after[1][name] for name in before[1]} == before[1]
    names = "test-windows=first", "test-thresholds=fixed-batch_size=8"
    new = {f"{name}{suffix}" for name in names for suffix in (".json", ".npz")}
    assert set(after[1]) - set(before[1]) == new | {f"{names[1]}_leads.json"}
    assert all((run / "evaluation" / name).is_dir() for name in names)
    assert own["about"]["changed"] == {} and other["auroc"] != own["auroc"]
    told = json.loads(after[1][f"{names[0]}.json"])["about"]["changed"]
    assert told == {"eval.windows": ["all", "first"]}
    assert fixed["about"]["thresholds"] == "fixed"
    assert {of["threshold"] for of in fixed["classes"].values()} == {0.5}
    assert any("eval.thresholds='fixed'" in note for note in leads["notes"])
    assert leads["leads"]["12"]["f_measure"] == fixed["f_measure"]


def test_an_ensemble_keeps_what_it_decides_with(run: Path, tmp_path: Path) -> None:
    together = Ensemble((run, run.with_name("two")))
    configs = {path: _config(path) for path in together.runs}
    evaluate_ensemble(together, configs, tmp_path, split="test")
    before = _files(tmp_path), _files(tmp_path / "evaluation")
    configs = {path: _config(path, eval__thresholds="fixed") for path in together.runs}
    evaluate_ensemble(together, configs, tmp_path, split="test")
    after = _files(tmp_path), _files(tmp_path / "evaluation")
    assert after[0] == before[0] and {n: after[1][n] for n in before[1]} == before[1]
    assert "test-thresholds=fixed.json" in after[1]


def test_prediction_decides_at_half_where_that_is_asked_for_and_by_no_other_rule(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = write_challenge(tmp_path / "in", 3, seed=3, num_samples=2500)
    fixed = _config(run, eval__thresholds="fixed")
    assert predict(fixed, run, folder, tmp_path / "out") == 0
    assert "the run's own is 'f1'" in capsys.readouterr().out
    with (tmp_path / "out/predictions.csv").open() as file:
        for row in csv.DictReader(file):
            scores = np.array([float(row[name]) for name in CLASS_NAMES])
            assert row["diagnoses"] == "|".join(np.array(CLASS_NAMES)[scores >= 0.5])
    with pytest.raises(ValueError, match="no records to choose thresholds on"):
        predict(_config(run, eval__thresholds="challenge"), run, folder, tmp_path / "other")
