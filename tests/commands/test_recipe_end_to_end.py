"""The winner's recipe, made small, on simulated records: plateau, early stop, lead sets."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from challenge_files import headers_below, write_record
from ml_collections import ConfigDict
from small_runs import small_config

from configs import isibrno
from resunet_lc_jax.evaluate import evaluate, evaluate_leads
from resunet_lc_jax.learning.recipe import MONITORED
from resunet_lc_jax.measures.challenge_csv import read_challenge_csv
from resunet_lc_jax.predict import predict
from resunet_lc_jax.runs.metrics_log import read_metrics
from resunet_lc_jax.runs.open_run import load_run, open_run
from resunet_lc_jax.train import train
from tfds_physionet.reading.records import read_record


@pytest.fixture(scope="module")
def config(prepared: dict[str, object]) -> ConfigDict:
    changes = {
        "model.name": "isibrno",
        "train.epochs": 15,
        "train.learning_rate": 0.1,  # too much, so that validation soon has no new best
        "train.schedule": "plateau",
        "train.plateau_patience": 1,
        "train.stop_patience": 3,
        "train.log_every_steps": 1,
    }
    return small_config(isibrno, **prepared, **changes)


@pytest.fixture(scope="module")
def trained(config: ConfigDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    assert train(config, workdir) == 0
    return workdir


def _weights(workdir: Path, config: ConfigDict) -> list[bytes]:
    run = load_run(workdir, config, checkpoint="latest")
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(run.variables)]


def test_training_ends_early_and_a_run_taken_up_again_ends_at_the_same_step(
    trained: Path, config: ConfigDict, tmp_path: Path
) -> None:
    rows = [row for row in read_metrics(trained) if "validation_auprc" in row]
    assert {f"validation_{name}" for name in MONITORED} <= set(rows[0])
    values = [row["validation_auprc"] for row in rows]
    best = int(np.argmax(values))
    assert len(values) - 1 - best == 3 and len(values) < 15
    again = config.copy_and_resolve_references()
    again.train.steps = rows[best + 2]["step"]  # the rate has dropped by then
    assert train(again, tmp_path / "run") == 0
    assert train(config, tmp_path / "run") == 0
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == (
        trained / "metrics.jsonl"
    ).read_bytes()
    assert _weights(tmp_path / "run", config) == _weights(trained, config)


def test_a_run_is_evaluated_on_each_lead_set_in_one_report(
    trained: Path, config: ConfigDict, capsys: pytest.CaptureFixture
) -> None:
    found = evaluate_leads(config, trained, split="test", sizes=[2, 3, 4, 6, 12])
    assert json.loads((trained / "evaluation" / "test_leads.json").read_text()).keys() == (
        found.keys()
    )
    assert list(found["leads"]) == ["2", "3", "4", "6", "12"]
    table = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in table if line and line[0] in found["leads"]] == list(found["leads"])
    whole = evaluate(config, trained, split="test")
    for name in ("auroc", "auprc", "f_measure", "challenge_metric"):
        assert found["leads"]["12"][name] == whole[name]
    # Two leads give the six limb leads: sets of 2 and 6, and of 3 and 4, are the same inputs.
    auroc = {size: entry["auroc"] for size, entry in found["leads"].items()}
    assert auroc["2"] == auroc["6"] and auroc["3"] == auroc["4"] and len(set(auroc.values())) == 3
    assert not any("was not trained on" in note for note in found["notes"])


def test_files_with_two_leads_are_scored_as_the_set_of_two_leads_is_evaluated(
    trained: Path, config: ConfigDict, simulated_records: Path, tmp_path: Path
) -> None:
    for header in headers_below(simulated_records):
        record = read_record(header)
        two, gain = record.signal[:2], f"{record.gains[0]:g}/mV"
        write_record(
            tmp_path / "in",
            header.stem,
            two,
            rate=record.sampling_rate,
            leads=("I", "II"),
            gain=gain,
        )
    assert predict(config, trained, tmp_path / "in", tmp_path / "out") == 0
    evaluated = open_run(trained, config, "test").score("test", leads=2)
    assert len(evaluated.record_id) > 10
    for name, scores in zip(evaluated.record_id, evaluated.scores, strict=True):
        found = read_challenge_csv(tmp_path / "out" / f"{name}.csv")
        # The record's own leads are rounded, those derived are so once more.
        np.testing.assert_allclose(found.scores, scores, atol=0.01)


def test_a_lead_set_that_the_run_was_not_trained_on_is_named(
    trained: Path, config: ConfigDict
) -> None:
    other = config.copy_and_resolve_references()
    other.augment.lead_sets = (12, 6)
    found = evaluate_leads(other, trained, split="validation", sizes=[12, 6, 2])
    assert "not trained on sets of 2 leads" in found["notes"][-1]
    with pytest.raises(ValueError, match="there is no set of 5 leads"):
        evaluate_leads(config, trained, split="test", sizes=[5])
