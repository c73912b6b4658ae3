"""Records that had a part in making a run are no test of it, by whatever way they come."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ml_collections import ConfigDict

from configs import quickstart
from resunet_lc_jax.compare import compare
from resunet_lc_jax.crossvalidate import crossvalidate
from resunet_lc_jax.ensemble import Ensemble, evaluate_ensemble
from resunet_lc_jax.evaluate import evaluate, evaluate_leads
from resunet_lc_jax.exchange import export_torch, import_torch
from resunet_lc_jax.train import train

_SEEN = "had a part in making the run in"


@pytest.fixture(scope="module")
def config(simulated_records: Path, tmp_path_factory: pytest.TempPathFactory) -> ConfigDict:
    config = quickstart.get_config()
    data = tmp_path_factory.mktemp("data")
    config.update_from_flattened_dict(
        {
            "data.records": str(simulated_records),
            "data.data_dir": str(data),
            "data.length": 256,
            "model.name": "res1d_maxpool",
            "model.width": 8,
            "train.batch_size": 16,
            "train.steps": 1,
            "eval.batch_size": 16,
            "eval.bootstrap_replicates": 5,
            "compilation_cache": str(data / "compiled"),
        }
    )
    return config


def _but(config: ConfigDict, **changes: Any) -> ConfigDict:
    own = config.copy_and_resolve_references()
    own.update_from_flattened_dict({name.replace("__", "."): of for name, of in changes.items()})
    return own


def _on_fold_1(config: ConfigDict, **changes: Any) -> ConfigDict:
    folds = {"data__train_folds": (2, 3, 4), "data__validation_folds": (10,)}
    return _but(config, data__test_folds=(1,), **folds, **changes)


@pytest.fixture(scope="module")
def first(config: ConfigDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on folds 1 to 8 and tuned on fold 9."""
    workdir = tmp_path_factory.mktemp("runs") / "first"
    assert train(config, workdir) == 0
    return workdir


def _report(workdir: Path, split: str) -> dict:
    return json.loads((workdir / "evaluation" / f"{split}.json").read_text())


@pytest.mark.parametrize("split", ["fold_1", "fold_9", "all"])
def test_any_split_with_records_that_made_a_run_is_refused(
    split: str, first: Path, config: ConfigDict, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=_SEEN):
        evaluate(config, first, split=split)
    both = Ensemble((first, _copy(first, tmp_path / "second")), "majority")
    with pytest.raises(ValueError, match=_SEEN):
        evaluate_ensemble(both, dict.fromkeys(both.runs, config), tmp_path / "both", split=split)
    assert not (first / "evaluation" / f"{split}.json").exists()


def test_a_report_on_records_that_made_the_run_says_so(
    first: Path, config: ConfigDict, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _report(first, "test")["seen"] == []
    evaluate(config, first, split="train")
    assert "(seen records), train: 128 records" in capsys.readouterr().out
    (seen,) = _report(first, "train")["seen"]
    assert seen["seen"] == 128 and seen["served"] == {"train": 128}
    (note,) = [note for note in _report(first, "train")["notes"] if "had a part" in note]
    assert note == "128 of the 128 train records had a part in making first (train)"
    both = Ensemble((first, _copy(first, tmp_path / "second")), "majority")
    evaluate_ensemble(both, dict.fromkeys(both.runs, config), tmp_path / "both", split="validation")
    assert [one["run"] for one in _report(tmp_path / "both", "validation")["seen"]] == [
        "first",
        "second",
    ]


def test_a_run_is_not_tested_on_what_it_was_started_from_has_seen(
    first: Path, config: ConfigDict, tmp_path: Path
) -> None:
    onwards = _on_fold_1(config, init_from=str(first))
    with pytest.raises(ValueError, match=f"test records {_SEEN} .*first"):
        train(onwards, tmp_path / "second")
    assert not (tmp_path / "second").exists()
    with pytest.raises(ValueError, match=f"records {_SEEN} .*first"):
        crossvalidate(onwards, tmp_path / "crossvalidated", [1, 10])
    assert not (tmp_path / "crossvalidated" / "fold_01").exists()
    assert train(_but(onwards, eval__seen_records=True), tmp_path / "second") == 0
    (seen,) = _report(tmp_path / "second", "test")["seen"]
    assert seen["served"] == {"start": 16}


def test_signals_are_known_under_other_names(
    first: Path, config: ConfigDict, simulated_records: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "renamed"
    folder.mkdir()
    for header in sorted(simulated_records.rglob("*.hea"))[:40]:
        text, name = header.read_text(), f"Z{header.stem}"
        (folder / f"{name}.hea").write_text(text.replace(header.stem, name))
        shutil.copy(header.with_suffix(".mat"), folder / f"{name}.mat")
    other = _but(config, data__records=str(folder), eval__other_records=True)
    with pytest.raises(ValueError, match=_SEEN):
        evaluate(other, first, split="all")


def test_runs_are_not_compared_on_records_that_made_one_of_them(
    first: Path, config: ConfigDict, tmp_path: Path
) -> None:
    runs = [_copy(first, tmp_path / "first"), tmp_path / "other"]
    other = _but(config, data__train_folds=(2, 3, 4))
    assert train(other, runs[1]) == 0
    evaluate(other, runs[1], split="fold_1")
    evaluate(_but(config, eval__seen_records=True), runs[0], split="fold_1")
    with pytest.raises(ValueError, match=_SEEN):
        compare(runs, tmp_path / "out", split="fold_1", replicates=5)
    assert not (tmp_path / "out").exists()
    table = compare(runs, tmp_path / "out", split="fold_1", replicates=5, seen_records=True)
    assert "16 of the 16 fold_1 records had a part in making first (train)." in table
    # A report that an earlier version wrote does not tell; the run's splits.csv does.
    report = _report(runs[0], "fold_1")
    del report["seen"]
    (runs[0] / "evaluation" / "fold_1.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match=_SEEN):
        compare(runs, tmp_path / "out", split="fold_1", replicates=5)
    assert "unknown records" not in compare(runs, tmp_path / "out", replicates=5)


def test_thresholds_of_lead_sets_are_not_chosen_on_records_that_trained(
    first: Path, config: ConfigDict
) -> None:
    moved = _but(config, data__train_folds=(2,), data__validation_folds=(1,))
    with pytest.raises(ValueError, match=f"validation records {_SEEN}"):
        evaluate_leads(moved, first, split="test", sizes=[12])
    allowed = _but(moved, eval__seen_records=True)
    result = evaluate_leads(allowed, first, split="test", sizes=[12])
    assert [one["split"] for one in result["seen"]] == ["validation"]


def test_what_chooses_thresholds_is_not_tested_on(
    first: Path, config: ConfigDict, tmp_path: Path
) -> None:
    """Records that are new to the runs, but choose the thresholds of the lead set or the vote."""
    from tfds_physionet.simulate import write_records

    folder = tmp_path / "new"
    write_records(folder, count=40, seed=8, workers=1, progress=False)
    other = _but(config, data__records=str(folder), eval__other_records=True)
    with pytest.raises(ValueError, match=r"all records had a part in .*\(thresholds: "):
        evaluate_leads(other, first, split="all", sizes=[12])
    both = Ensemble((first, _copy(first, tmp_path / "second")), "mean")
    with pytest.raises(ValueError, match=r"all records had a part in .*\(thresholds: "):
        evaluate_ensemble(both, dict.fromkeys(both.runs, other), tmp_path / "both", split="all")
    assert evaluate(other, first, split="all")["seen"] == []


def test_weights_of_unknown_origin_are_called_so(
    first: Path, config: ConfigDict, tmp_path: Path
) -> None:
    export_torch(config, first, tmp_path / "weights.npz")
    imported, bare = tmp_path / "imported", _copy(first, tmp_path / "bare")
    import_torch(config, imported, tmp_path / "weights.npz")
    (bare / "splits.csv").unlink()
    (bare / "seen.csv").unlink(missing_ok=True)
    for run in (imported, bare):
        evaluate(config, run, split="test")
        assert f"{run.name} was trained on unknown records" in _report(run, "test")["notes"]
    table = compare([imported], tmp_path / "out", replicates=5)
    assert "imported was trained on unknown records" in table


def _copy(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    return to
