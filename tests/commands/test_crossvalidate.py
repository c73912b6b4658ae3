"""Cross-validation tests each fold by a run that has not seen it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict
from small_runs import small_config

from resunet_lc_jax.compare import compare
from resunet_lc_jax.crossvalidate import (
    crossvalidate,
    format_summary,
    mixed_scales,
    summarise,
)
from resunet_lc_jax.measures.metrics import score
from resunet_lc_jax.measures.predictions import Predictions, concatenate, load_predictions


@pytest.fixture
def config(prepared: dict[str, object]) -> ConfigDict:
    return small_config(**prepared, **{"train.steps": 1, "eval.bootstrap_replicates": 5})


def _files(folder: Path) -> dict[str, int]:
    return {
        path.relative_to(folder).as_posix(): path.stat().st_mtime_ns
        for path in folder.glob("fold_*/**/*")
        if path.is_file()
    }


def test_each_fold_is_tested_by_a_run_that_has_not_seen_it(
    config: ConfigDict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "crossvalidated"
    assert crossvalidate(config, workdir, [2, 10]) == 0
    tested: list[str] = []
    for fold in ("fold_02", "fold_10"):
        with (workdir / fold / "splits.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert len({row["signal_hash"] for row in rows}) == len(rows) == 160
        tested += sorted(row["record"] for row in rows if row["split"] == "test")
    data = json.loads((workdir / "fold_10" / "config.json").read_text())["data"]
    assert data["train_folds"] == list(range(2, 10))
    assert (data["validation_folds"], data["test_folds"]) == ([1], [10])

    pooled = load_predictions(workdir / "evaluation" / "test.npz")
    assert sorted(pooled.record_id) == sorted(tested) and len(set(tested)) == len(tested)
    summary = json.loads((workdir / "crossvalidation.json").read_text())
    reports = [
        json.loads((workdir / fold / "evaluation" / "test.json").read_text())
        for fold in ("fold_02", "fold_10")
    ]
    values = [report["auprc"] for report in reports]
    assert summary["mean"]["auprc"] == pytest.approx(np.mean(values))
    assert summary["standard_deviation"]["auprc"] == pytest.approx(np.std(values, ddof=1))
    whole = json.loads((workdir / "evaluation" / "test.json").read_text())
    assert summary["pooled"]["auprc"] == pytest.approx(whole["auprc"])
    table = compare([workdir], tmp_path / "compared", replicates=5)
    assert "| res1d_maxpool |" in table and "thresholds by f1" in table

    # Each record is decided at the thresholds of the run that tested its fold.
    of_folds = [
        json.loads((workdir / fold / "thresholds.json").read_text())["thresholds"]["AF"]
        for fold in ("fold_02", "fold_10")
    ]
    assert sorted(set(pooled.thresholds[:, 0])) == sorted(set(of_folds))
    np.testing.assert_array_equal(pooled.decisions, pooled.scores >= pooled.thresholds)
    entry = whole["classes"]["AF"]
    assert entry.get("thresholds", [entry["threshold"]]) == sorted(set(of_folds))
    about = whole["about"]
    assert (about["thresholds"], about["step"], about["split"]) == ("f1", None, "test")
    assert [Path(member["run"]).name for member in about["members"]] == ["fold_02", "fold_10"]
    assert summary["differently_calibrated"] == [] or len(whole["notes"]) > 1
    assert any(note.startswith("patients unknown of 160") for note in whole["notes"])

    before = _files(workdir)
    capsys.readouterr()
    assert crossvalidate(config, workdir, [2, 10]) == 0
    assert _files(workdir) == before
    assert "fold 2: finished before" in capsys.readouterr().out


def test_a_summary_holds_mean_spread_and_each_fold() -> None:
    rng = np.random.default_rng(0)

    def part(count: int) -> Predictions:
        names = np.array([f"R{number}" for number in rng.integers(0, 10**9, count)])
        scores = rng.random((count, 26))
        return Predictions(
            record_id=names,
            patient_id=names,
            database=np.full(count, "ptb"),
            labels=rng.integers(0, 2, (count, 26), np.uint8),
            scores=scores,
            decisions=(scores > 0.5).astype(np.uint8),
            thresholds=np.full(26, 0.5),
        )

    parts = {1: part(40), 2: part(30), 5: part(20)}
    summary = summarise(parts)
    each = [score(p.labels, p.scores, p.decisions)["hamming_loss"] for p in parts.values()]
    assert summary["mean"]["hamming_loss"] == pytest.approx(np.mean(each))
    assert summary["standard_deviation"]["hamming_loss"] == pytest.approx(np.std(each, ddof=1))
    whole = concatenate(list(parts.values()))
    pooled = score(whole.labels, whole.scores, whole.decisions)
    assert summary["pooled"]["auroc"] == pooled["auroc"]
    table = format_summary(summary)
    assert all(f"{value:.3f}" in table for value in each) and "fold 5" in table


def test_pooled_areas_of_folds_on_different_scales_are_flagged() -> None:
    rng = np.random.default_rng(0)

    def part(shift: float) -> Predictions:
        names = np.array([f"R{number}" for number in rng.integers(0, 10**9, 400)])
        z = rng.normal(-1, 2, (400, 26))
        labels = (rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(np.uint8)
        scores = 1 / (1 + np.exp(-z - shift))
        decisions = (z > 0).astype(np.uint8)
        at = np.full(26, 1 / (1 + np.exp(-shift)))
        return Predictions(names, names, names, labels, scores, decisions, at)

    summary = summarise({1: part(0.0), 2: part(4.0)})
    assert len(summary["differently_calibrated"]) == 26
    assert summary["pooled"]["auroc"] < summary["mean"]["auroc"] - 0.05
    assert mixed_scales(summary | {"differently_calibrated": []}) == []
    (note,) = mixed_scales(summary)
    assert "calibrated differently in 26 classes" in note
    assert f"AUROC {summary['mean']['auroc']:.3f} in the mean of the folds" in note


@pytest.mark.parametrize("folds", [[3], [3, 3], [0, 1], [1, 11]])
def test_folds_that_there_are_not_are_refused(
    config: ConfigDict, tmp_path: Path, folds: list[int]
) -> None:
    with pytest.raises(ValueError, match="two or more of 1 to 10"):
        crossvalidate(config, tmp_path / "run", folds)
    assert not (tmp_path / "run").exists()


def test_records_that_are_chosen_in_another_way_are_not_cross_validated(
    config: ConfigDict, tmp_path: Path
) -> None:
    config.data.leave_out = ("simulated_a",)
    with pytest.raises(ValueError, match="unset config.data.leave_out"):
        crossvalidate(config, tmp_path / "run", [1, 2])


def test_folds_of_other_records_are_not_added(config: ConfigDict, tmp_path: Path) -> None:
    mark = tmp_path / "crossvalidation.json"
    mark.write_text(json.dumps({"data": {"fingerprint": "0123abcd"}}))
    with pytest.raises(ValueError, match="begun with the records with fingerprint 0123abcd"):
        crossvalidate(config, tmp_path, [2, 10])
    assert not (tmp_path / "fold_02").exists()
    assert json.loads(mark.read_text()) == {"data": {"fingerprint": "0123abcd"}}


def test_folds_that_were_dealt_otherwise_are_not_added(config: ConfigDict, tmp_path: Path) -> None:
    (tmp_path / "crossvalidation.json").write_text("{}")
    (tmp_path / "folds.csv").write_text("record,signal_hash,fold\nSA00001,abc,3\n")
    with pytest.raises(ValueError, match="folds.csv: .* records were in other folds"):
        crossvalidate(config, tmp_path, [2, 10])
    assert not (tmp_path / "fold_02").exists()
