"""The files beside a run's checkpoints: damaged, gone, or of another checkpoint."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import quickstart
from resunet_lc_jax.evaluate import evaluate, evaluate_leads
from resunet_lc_jax.exchange import create_template
from resunet_lc_jax.learning import optim
from resunet_lc_jax.runs.checkpoints import Checkpoints
from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.runs.open_run import open_run
from resunet_lc_jax.runs.workdir import build_model
from resunet_lc_jax.train import train


@pytest.fixture(scope="module")
def config(simulated_records: Path, tmp_path_factory: pytest.TempPathFactory) -> ConfigDict:
    """Nothing that training changes here moves a validation, so that each one is a plateau."""
    config = quickstart.get_config()
    config.update_from_flattened_dict(
        {
            "data.records": str(simulated_records),
            "data.data_dir": str(tmp_path_factory.mktemp("data")),
            "data.length": 256,
            "model.name": "res1d_maxpool",
            "model.width": 4,
            "model.freeze_statistics": True,
            "train.batch_size": 64,
            "train.epochs": 2,
            "train.optimizer": "sgd",
            "train.learning_rate": 1e-30,
            "train.schedule": "plateau",
            "train.plateau_patience": 1,
            "train.drop_factor": 0.5,
            "train.plateau_lowest": 0.0,
            "eval.batch_size": 16,
            "eval.bootstrap_replicates": 5,
        }
    )
    return config


@pytest.fixture(scope="module")
def whole(config: ConfigDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    assert train(config, workdir) == 0
    return workdir


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def _longer(config: ConfigDict) -> ConfigDict:
    longer = config.copy_and_resolve_references()
    longer.train.epochs = 3
    return longer


def _rate_factor(config: ConfigDict, run: Path) -> float:
    with Checkpoints(run / "checkpoints") as checkpoints:
        return optim.rate_factor(
            checkpoints.restore(create_template(config, build_model(config))).opt_state
        )


def test_the_rate_of_a_plateau_is_the_checkpoints_whatever_became_of_the_log(
    config: ConfigDict, run: Path, capsys: pytest.CaptureFixture
) -> None:
    assert _rate_factor(config, run) == 0.5
    (run / "metrics.jsonl").unlink()
    assert train(_longer(config), run) == 0
    # The log knows of two validations only, which are one drop.
    assert _rate_factor(config, run) == 0.25
    assert "metrics.jsonl: nothing is there of the first 4 steps" in capsys.readouterr().out


def test_a_plateau_goes_on_where_the_run_stopped(config: ConfigDict, run: Path) -> None:
    assert train(_longer(config), run) == 0
    assert _rate_factor(config, run) == 0.25


@pytest.mark.parametrize(
    ("file", "line", "damage"),
    [
        ("metrics.jsonl", 2, "{'step': 1}\n"),
        ("metrics.jsonl", 1, "[3]\n"),
        ("metrics.jsonl", 1, '{"loss": 3}\n'),
        ("splits.csv", 3, "train,A1\n"),
        ("splits.csv", 2, "trial,A1,abc\n"),
        ("config.json", 4, "}\n"),
        ("provenance.json", 2, "]\n"),
    ],
)
def test_a_damaged_file_is_named_with_its_line_before_anything_is_written(
    file: str, line: int, damage: str, config: ConfigDict, run: Path
) -> None:
    lines = (run / file).read_text().splitlines(keepends=True)
    lines[line - 1] = damage
    (run / file).write_text("".join(lines))
    with pytest.raises(ValueError, match=rf"{file}.* line {line}\b"):
        train(_longer(config), run)
    assert (run / file).read_text() == "".join(lines)


@pytest.mark.parametrize(
    ("take_away", "message"),
    [
        (lambda run: shutil.rmtree(run / "checkpoints"), "its log goes to step 4"),
        (lambda run: [shutil.rmtree(run / "checkpoints" / s) for s in "24"], "step 4: put"),
        (lambda run: [(run / f"checkpoints/{s}/_CHECKPOINT_METADATA").unlink() for s in "24"],
         "damaged_2, damaged_4 are damaged"),
    ],
)  # fmt: skip
def test_a_run_whose_checkpoints_are_all_gone_does_not_begin_anew_over_its_log(
    take_away: Callable[[Path], object], message: str, config: ConfigDict, run: Path
) -> None:
    before = (run / "metrics.jsonl").read_bytes()
    take_away(run)
    with pytest.raises(ValueError, match=rf"none of its checkpoints is left.*{message}"):
        train(_longer(config), run)
    assert (run / "metrics.jsonl").read_bytes() == before


def test_a_run_whose_config_is_gone_is_not_taken_up_with_another(
    config: ConfigDict, run: Path
) -> None:
    (run / "config.json").unlink()
    other = config.copy_and_resolve_references()
    other.train.learning_rate = 1.0
    with pytest.raises(ValueError, match=r"config\.json is gone, and there are checkpoints"):
        train(other, run)
    with pytest.raises(ValueError, match=r"config\.json is gone"):
        load_config(run, config)


def test_files_that_are_gone_are_said_and_written_anew(
    config: ConfigDict, run: Path, capsys: pytest.CaptureFixture
) -> None:
    before = (run / "splits.csv").read_bytes()
    for file in ("splits.csv", "provenance.json"):
        (run / file).unlink()
    assert train(_longer(config), run) == 0
    said = capsys.readouterr().out
    assert "splits.csv is gone" in said and "provenance.json is gone" in said
    assert (run / "splits.csv").read_bytes() == before


def test_a_run_goes_on_when_the_weights_that_it_began_with_have_moved(
    config: ConfigDict, run: Path, tmp_path: Path
) -> None:
    tuned = config.copy_and_resolve_references()
    tuned.init_from, tuned.train.epochs = str(run), 1
    assert train(tuned, tmp_path / "tuned") == 0
    run.rename(tmp_path / "moved")
    tuned.train.epochs = 2
    assert train(tuned, tmp_path / "tuned") == 0
    with Checkpoints(tmp_path / "tuned" / "checkpoints") as checkpoints:
        assert checkpoints.latest == 4


def _of_thresholds(report: dict) -> list[str]:
    return [note for note in report["notes"] if "thresholds.json" in note]


def test_what_is_evaluated_says_whose_the_thresholds_are(config: ConfigDict, run: Path) -> None:
    report = run / "evaluation" / "test.json"
    assert _of_thresholds(json.loads(report.read_text())) == []
    path = run / "thresholds.json"
    content = json.loads(path.read_text())
    content["checkpoint"]["step"] += 2
    path.write_text(json.dumps(content))
    (note,) = _of_thresholds(evaluate(config, run, split="test"))
    assert note.startswith("thresholds.json was chosen for step 4, and this is step 2")
    assert _of_thresholds(json.loads(report.read_text())) == [note]
    path.unlink()
    (note,) = _of_thresholds(evaluate(config, run, split="test"))
    assert "there is no thresholds.json" in note


def test_a_report_holds_no_path_of_this_machine(whole: Path, simulated_records: Path) -> None:
    files = [path for path in (whole / "evaluation").rglob("*") if path.is_file()]
    assert len(files) > 5
    for path in files:
        content = path.read_bytes()
        for folder in (whole.parent, simulated_records.parent):
            assert str(folder).encode() not in content, path


def test_the_thresholds_of_each_lead_set_are_kept(config: ConfigDict, run: Path) -> None:
    before = open_run(run, config)
    report = evaluate_leads(config, run, split="test", sizes=[12, 2])
    assert _of_thresholds(report) == []
    after = open_run(run, config)
    assert sorted(after.kept.by_leads) == [2] and not after.kept.remark
    assert (after.thresholds.values == before.thresholds.values).all()
