"""The whole way on simulated records: train, resume, evaluate, predict."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from challenge_files import write_challenge
from ml_collections import ConfigDict
from small_runs import small_config, small_flags

from resunet_lc_jax.evaluate import evaluate
from resunet_lc_jax.measures.challenge_csv import read_challenge_csv
from resunet_lc_jax.measures.predictions import load_predictions
from resunet_lc_jax.predict import predict
from resunet_lc_jax.runs.checkpoints import Checkpoints
from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.runs.metrics_log import read_metrics
from resunet_lc_jax.runs.open_run import load_run
from resunet_lc_jax.train import train
from tfds_physionet.diagnoses import CLASS_NAMES


@pytest.fixture(scope="module")
def config(prepared: dict[str, object]) -> ConfigDict:
    return small_config(**prepared)


def _weights(workdir: Path, config: ConfigDict) -> list[bytes]:
    run = load_run(workdir, config)
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(run.variables)]


def test_a_run_leaves_config_metrics_thresholds_and_evaluation(trained: Path) -> None:
    assert json.loads((trained / "config.json").read_text())["model"]["name"] == "res1d_maxpool"
    rows = read_metrics(trained)
    validated = [row for row in rows if "validation_auprc" in row]
    assert [row["step"] for row in validated] == [8, 16]
    assert all(0 < row["loss"] < 2 for row in rows if "loss" in row)
    assert set(json.loads((trained / "thresholds.json").read_text())["thresholds"]) == set(
        CLASS_NAMES
    )
    report = json.loads((trained / "evaluation" / "test.json").read_text())
    for name in ("auroc", "auprc", "f_measure", "challenge_metric", "specificity", "hamming_loss"):
        low, high = report["intervals"][name]
        assert low <= high and np.isfinite(report[name])


def test_a_report_says_what_it_is_of_in_valid_json(trained: Path, config: ConfigDict) -> None:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    text = (trained / "evaluation" / "test.json").read_text()
    report = json.loads(text, parse_constant=refuse)
    about = report["about"]
    assert (about["run"], about["network"], about["split"]) == (
        trained.name,
        config.model.name,
        "test",
    )
    assert (about["thresholds"], about["windows"], about["variant"]) == ("f1", "all", "100hz")
    assert about["step"] == load_run(trained, config).step
    data = json.loads((trained / "provenance.json").read_text())
    assert about["records"] == data["data"]["fingerprint"] and about["commit"]
    ends = [start.get("ended") for start in data["starts"]]
    assert ends[-1] >= data["starts"][-1]["time"]
    assert len(about["checkpoint"]) == 32
    assert set(report["sexes"]) <= {"female", "male", "unknown"} and report["ages"]
    assert sum(group["records"] for group in report["ages"].values()) == report["records"]

    card = json.loads((trained / "evaluation" / "card.json").read_text(), parse_constant=refuse)
    assert card["about"] == about and card["performance"]["auprc"] == report["auprc"]
    assert card["training"]["hours"] > 0 and card["records"]["found"] == 160
    assert "# Model card: res1d_maxpool" in (trained / "evaluation" / "card.md").read_text()


def test_predictions_carry_calibrated_scores_beside_those_of_the_network(
    trained: Path, config: ConfigDict, simulated_records: Path, tmp_path: Path
) -> None:
    record = sorted(simulated_records.rglob("*.hea"))[0]
    fitted = json.loads((trained / "calibration.json").read_text())["temperatures"]
    assert predict(config, trained, record, tmp_path / "out") == 0
    with (tmp_path / "out" / "predictions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert list(row)[-52:] == [*CLASS_NAMES, *(f"{name}_calibrated" for name in CLASS_NAMES)]
    for name in CLASS_NAMES:
        score = float(row[name])
        logit = np.log(score / (1 - score)) / fitted[name]
        # A score is written in nine digits.
        assert float(row[f"{name}_calibrated"]) == pytest.approx(1 / (1 + np.exp(-logit)), rel=1e-5)
    (file,) = (path for path in (tmp_path / "out").glob("*.csv") if path.stem == record.stem)
    np.testing.assert_allclose(
        read_challenge_csv(file).scores, [float(row[n]) for n in CLASS_NAMES]
    )

    # Scores of another checkpoint are not calibrated by these temperatures.
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    kept = json.loads((run / "calibration.json").read_text())
    (run / "calibration.json").write_text(json.dumps(kept | {"step": kept["step"] + 1}))
    assert predict(config, run, record, tmp_path / "without") == 0
    header = (tmp_path / "without" / "predictions.csv").read_text().splitlines()[0]
    assert "calibrated" not in header


def test_each_record_of_the_split_is_evaluated_once(trained: Path, config: ConfigDict) -> None:
    evaluate(config, trained, split="validation")
    folds = [
        load_predictions(trained / "evaluation" / f"{name}.npz") for name in ("validation", "test")
    ]
    names = np.concatenate([fold.record_id for fold in folds])
    with (trained / "splits.csv").open() as file:
        wanted = [row["record"] for row in csv.DictReader(file) if row["split"] != "train"]
    assert len(names) == len(wanted) and set(names) == set(wanted)


def test_a_run_stopped_and_taken_up_again_equals_the_run_that_was_not(
    trained: Path, config: ConfigDict, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    done = threading.Event()

    def stop_after_the_first_row() -> None:
        metrics = again / "metrics.jsonl"
        while not done.wait(0.01) and not (metrics.is_file() and metrics.read_text()):
            pass
        if not done.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    watcher = threading.Thread(target=stop_after_the_first_row)
    watcher.start()
    try:
        assert train(config, again) == 75
    finally:
        done.set()
        watcher.join()
        signal.signal(signal.SIGTERM, before)
    assert not (again / "thresholds.json").exists()
    assert train(config, again) == 0
    assert (again / "metrics.jsonl").read_bytes() == (trained / "metrics.jsonl").read_bytes()
    assert _weights(again, config) == _weights(trained, config)
    for name in ("thresholds.json", "calibration.json"):
        assert (again / name).read_bytes() == (trained / name).read_bytes()
    reports = [json.loads((run / "evaluation/test.json").read_text()) for run in (again, trained)]
    for report, run in zip(reports, (again, trained), strict=True):
        assert report["about"].pop("run") == run.name and len(report["about"]["checkpoint"]) == 32
    assert reports[0] == reports[1]


def test_a_finished_run_is_left_as_it_is(trained: Path, config: ConfigDict) -> None:
    before = (trained / "metrics.jsonl").read_bytes()
    assert train(config, trained) == 0
    assert (trained / "metrics.jsonl").read_bytes() == before


def test_a_run_of_another_config_is_not_taken_up(trained: Path, config: ConfigDict) -> None:
    other = config.copy_and_resolve_references()
    other.train.learning_rate = 0.5
    with pytest.raises(ValueError, match=r"train.learning_rate \(0.003 there\)"):
        train(other, trained)


def test_prediction_gives_a_record_the_scores_that_evaluation_gave_it(
    trained: Path, config: ConfigDict, simulated_records: Path, tmp_path: Path
) -> None:
    evaluated = load_predictions(trained / "evaluation" / "test.npz")
    assert predict(config, trained, simulated_records, tmp_path / "out") == 0
    files = {path.stem: path for path in (tmp_path / "out" / "training").rglob("*.csv")}
    assert len(files) == 160
    for row, name in enumerate(evaluated.record_id):
        found = read_challenge_csv(files[str(name)])
        # The batches hold other neighbours, so sums may differ in the last bits.
        np.testing.assert_allclose(found.scores, evaluated.scores[row], atol=1e-5)


def test_a_bad_file_is_listed_and_does_not_stop_the_others(
    trained: Path, config: ConfigDict, simulated_records: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    headers = sorted(simulated_records.rglob("*.hea"))[:4]
    folder.mkdir()
    for header in headers:
        shutil.copy(header, folder)
        shutil.copy(header.with_suffix(".mat"), folder)
    (folder / headers[1].with_suffix(".mat").name).unlink()
    damaged = folder / headers[2].with_suffix(".mat").name
    damaged.write_bytes(damaged.read_bytes()[:1000])
    assert predict(config, trained, folder, tmp_path / "out") == 0
    with (tmp_path / "out" / "errors.csv").open() as file:
        errors = list(csv.DictReader(file))
    assert [row["record"] for row in errors] == [headers[1].stem, headers[2].stem]
    assert all(row["reason"] for row in errors)
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["record"] for row in rows] == [headers[0].stem, headers[3].stem]
    assert set(CLASS_NAMES) <= set(rows[0])


def test_other_records_than_the_runs_own_are_evaluated_only_if_asked_for(
    trained: Path, config: ConfigDict, tmp_path: Path
) -> None:
    other = config.copy_and_resolve_references()
    other.data.records = str(write_challenge(tmp_path / "other", 40))
    with pytest.raises(ValueError, match="trained on the records with fingerprint"):
        evaluate(other, trained, split="fold_1")
    assert not (trained / "evaluation" / "fold_1.json").exists()
    other.eval.other_records = True
    assert evaluate(other, trained, split="fold_1")["records"] > 0


def test_a_folder_without_a_run_is_named(config: ConfigDict, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="holds no run"):
        load_config(tmp_path, config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.length": 200, "model.name": "resunet_lc"}, "multiple of 128"),
        ({"train.accumulate_steps": 3}, "config.train.batch_size is 16, which 3 parts"),
        ({"train.batch_size": 800}, r"but only \d+ records train; choose a smaller batch"),
        ({"model.name": "resnet"}, "resunet_lc"),
        ({"data.variant": "250hz"}, "250hz"),
        ({"data.leads": ("I", "V9")}, "config.data.leads"),
        ({"train.optimizer": "rmsprop"}, "choose 'adam' or 'sgd'"),
        ({"eval.windows": "some"}, "choose 'all', 'first' or 'random'"),
        ({"eval.thresholds": "best"}, "choose 'f1', 'reference', 'challenge' or 'fixed'"),
        ({"parallel.batch_statistics": "none"}, "choose 'global' or 'device'"),
        (
            {"parallel.batch_statistics": "device", "parallel.mode": "jit"},
            "is there under pmap alone",
        ),
        ({"precision": "tf32"}, "config.precision is 'tf32'"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_before_training(
    changes: dict, message: str, config: ConfigDict, tmp_path: Path
) -> None:
    other = config.copy_and_resolve_references()
    other.update_from_flattened_dict(changes)
    with pytest.raises(ValueError, match=message):
        train(other, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_sigterm_saves_and_exits_with_75_and_the_same_command_goes_on(
    repository: Path, prepared: dict[str, object], tmp_path: Path
) -> None:
    knobs = prepared | {"train.epochs": 500}
    command = [sys.executable, "main.py", *small_flags(**knobs)]
    command += [f"--workdir={tmp_path / 'run'}"]
    environment = os.environ | {"XLA_FLAGS": ""}
    process = subprocess.Popen(
        command, cwd=repository, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.is_file() and metrics.read_text()) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 75, output
    assert "SIGTERM: saved at step" in output
    with Checkpoints(tmp_path / "run" / "checkpoints") as checkpoints:
        step = checkpoints.latest
    assert step is not None and step > 0 and f"saved at step {step:,}" in output
    again = subprocess.run(
        [*command, f"--config.train.steps={step + 2}"],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 0, again.stderr
    assert f"taken up at step {step:,} of {step + 2:,}" in again.stdout
