"""Compared runs give the table and figures, and runs that cannot be compared are refused."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from resunet_lc_jax.compare import COLUMNS, compare
from resunet_lc_jax.measures.challenge_csv import write_challenge_csv
from resunet_lc_jax.measures.measured import difference as measured_difference
from resunet_lc_jax.measures.measured import measure
from resunet_lc_jax.measures.metrics import score
from resunet_lc_jax.measures.predictions import Predictions, save_predictions
from resunet_lc_jax.measures.report import build_report
from resunet_lc_jax.measures.thresholds import choose
from tfds_physionet.diagnoses import CLASS_NAMES, DIAGNOSES
from tfds_physionet.files import write_json

COUNT = 150


def _predictions(skill):
    """The same records and labels for every skill; better scores for a higher one."""
    rng = np.random.default_rng(0)
    labels = (rng.random((COUNT, 26)) < 0.2).astype(np.uint8)
    scores = np.clip(0.3 + 0.2 * rng.standard_normal(labels.shape) + skill * labels, 0, 1)
    patients = np.array([f"P{i // 2}" for i in range(COUNT)])
    names = np.array([f"R{i:03d}" for i in range(COUNT)])
    decisions = (scores >= 0.5).astype(np.uint8)
    return Predictions(
        names, patients, np.full(COUNT, "ptb-xl"), labels, scores, decisions, np.full(26, 0.5)
    )


@pytest.fixture
def make_run(tmp_path):
    def make(folder, predictions, *, model="resunet_lc", test_folds=(10,), split="test"):
        workdir = tmp_path / folder
        workdir.mkdir(parents=True)
        config = {"model": {"name": model}, "data": {"test_folds": test_folds}}
        (workdir / "config.json").write_text(json.dumps(config))
        save_predictions(workdir / "evaluation" / f"{split}.npz", predictions)
        return workdir

    return make


def test_the_table_holds_scores_and_paired_differences_of_each_run(make_run, tmp_path):
    good, poor = _predictions(0.3), _predictions(0.2)
    shuffled = poor.take(np.random.default_rng(1).permutation(COUNT))
    runs = [make_run("a", good), make_run("b", shuffled, model="res1d_maxpool")]
    table = compare(runs, tmp_path / "out", replicates=100)
    assert (tmp_path / "out" / "comparison.md").read_text() == table
    with open(tmp_path / "out" / "comparison.csv", newline="") as file:
        rows = {(row["model"], row["metric"]): row for row in csv.DictReader(file)}
    assert len(rows) == 2 * len(COLUMNS)

    one, two = (score(p.labels, p.scores, p.decisions) for p in (good, poor))
    arrays = [(p.labels, p.scores, p.decisions, p.patient_id) for p in (good, poor)]
    first, other = (measure(*of, replicates=100) for of in arrays)
    difference = measured_difference(first, other, "auprc")
    row = rows["res1d_maxpool", "auprc"]
    assert float(row["value"]) == pytest.approx(two["auprc"], abs=1e-12)
    assert float(row["difference"]) == pytest.approx(two["auprc"] - one["auprc"], abs=1e-12)
    ours = [float(row["difference_low"]), float(row["difference_high"])]
    assert ours == pytest.approx([difference.low, difference.high], abs=1e-12)
    assert rows["resunet_lc", "auprc"]["difference"] == ""

    assert f"{two['auprc'] - one['auprc']:+.3f} ({difference.low:+.3f} to" in table
    assert table.splitlines()[4].startswith("| ↳ difference |") and ")*" in table
    # Alone the run has the interval that its own report gives.
    report = build_report(shuffled, replicates=100)
    own = [float(row["low"]), float(row["high"])]
    assert own == pytest.approx(report["intervals"]["auprc"], abs=1e-12)
    # The pairing makes the difference clearer than either score.
    assert ours[1] - ours[0] < float(row["high"]) - float(row["low"])


def test_latex_is_escaped_and_figures_are_drawn(make_run, tmp_path):
    runs = [make_run("a", _predictions(0.3)), make_run("b", _predictions(0.2), model="res_1&2")]
    compare(runs, tmp_path / "out", replicates=20)
    latex = (tmp_path / "out" / "comparison.tex").read_text()
    assert r"resunet\_lc & 0." in latex and r"res\_1\&2 & 0." in latex and "$-$0." in latex
    lines = [line for line in latex.splitlines() if "&" in line]
    assert all(line.replace(r"\&", "").count("&") == len(COLUMNS) for line in lines)
    for name in ("f_measure_classes.png", "auprc_classes.png"):
        assert imread(tmp_path / "out" / name).std() > 0.02


def test_runs_of_one_model_are_told_apart_by_their_folders(make_run, tmp_path):
    runs = [make_run("a", _predictions(0.3)), make_run("b", _predictions(0.2))]
    runs += [make_run("c", _predictions(0.1), model="res1d_maxpool")]
    table = compare(runs, tmp_path / "out", replicates=10)
    for name in ("resunet_lc (a)", "resunet_lc (b)", "res1d_maxpool"):
        assert f"| {name} |" in table


def test_runs_that_differ_in_split_records_patients_or_labels_are_refused(make_run, tmp_path):
    base = _predictions(0.3)
    first = make_run("first", base)
    labels = base.labels.copy()
    labels[7, 14] ^= 1
    patients = base.patient_id.copy()
    patients[3] = "Q"
    cases = {
        r"splits differ: test_folds is \[10\] in .*first, \[9\]": {"test_folds": (9,)},
        r"records differ: 2 only in .*first \(R000, R001\), 0 only in": {
            "predictions": base.take(np.arange(2, COUNT))
        },
        "patient_id differs for 1 records: R003 has 'P1' in .*, 'Q' in": {
            "predictions": replace(base, patient_id=patients)
        },
        "labels differ in 1 places: R007, NSR is": {"predictions": replace(base, labels=labels)},
    }
    for i, (message, changes) in enumerate(cases.items()):
        other = make_run(f"other{i}", **({"predictions": base} | changes))
        with pytest.raises(ValueError, match=message):
            compare([first, other], tmp_path / "out", replicates=10)
    assert not (tmp_path / "out").exists()


def test_every_difference_is_to_the_first_run(make_run, tmp_path):
    first = _predictions(0.3)
    runs = [make_run("a", first), make_run("b", _predictions(0.2)), make_run("c", first)]
    compare(runs, tmp_path / "out", replicates=20)
    with open(tmp_path / "out" / "comparison.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "resunet_lc (c)"]
    for row in rows:
        assert [float(row[f"difference{end}"]) for end in ("", "_low", "_high")] == [0, 0, 0]


def test_a_run_that_was_not_evaluated_on_the_split_is_named(make_run, tmp_path):
    run = make_run("a", _predictions(0.3), split="validation")
    with pytest.raises(FileNotFoundError, match="was evaluated on validation; evaluate it with"):
        compare([run], tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="holds no run"):
        compare([tmp_path], tmp_path / "out")


def _table(path, predictions, *, rows=slice(None), extra=()):
    """Another program's scores, as a CSV table."""
    lines = [",".join(["record", *CLASS_NAMES])]
    for name, of in zip(predictions.record_id[rows], predictions.scores[rows], strict=True):
        lines.append(",".join([name, *(f"{score:.9g}" for score in of)]))
    lines += [",".join([name, *["0.5"] * 26]) for name in extra]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_is_aligned_by_record_and_what_is_missing_is_said(make_run, tmp_path):
    good, poor = _predictions(0.3), _predictions(0.2)
    run = make_run("a", good)
    shuffled = poor.take(np.random.default_rng(1).permutation(COUNT))
    rows = shuffled.record_id != "R007"
    table = _table(tmp_path / "torch.csv", shuffled, rows=rows, extra=["other"])
    text = compare([run, f"PyTorch:{table}"], tmp_path / "out", replicates=50)
    assert "| PyTorch |" in text and "149 records, test" in text
    assert "torch.csv lacks 1 of 150 records: R007." in text
    assert "torch.csv has 1 records more, which are left out." in text
    assert "Compared on the 149 records that all of them have." in text
    expected = poor.take(poor.record_id != "R007")
    value = score(expected.labels, expected.scores, expected.decisions)["auprc"]
    assert f"{value:.3f} (" in text
    assert imread(tmp_path / "out" / "differences.png").std() > 0.02


def test_thresholds_of_a_table_are_its_own_or_the_runs_rule_or_one_half(make_run, tmp_path):
    good, poor = _predictions(0.3), _predictions(0.2)
    chosen = choose("f1", good.labels, good.scores)
    run = make_run("a", good.decided(chosen))
    chosen.to_json(run / "thresholds.json")
    save_predictions(run / "evaluation" / "validation.npz", good)
    table = _table(tmp_path / "torch.csv", poor)
    plain = compare([run, table], tmp_path / "out", replicates=20)
    assert (
        "at 0.5: torch" in plain and "at thresholds by f1 on validation records: resunet" in plain
    )
    assert "tuned and untuned thresholds differ" in plain
    validation = _table(tmp_path / "validation.csv", poor)
    tuned = compare([run, f"{table}@{validation}"], tmp_path / "out", replicates=20)
    assert "by f1 on validation records: resunet_lc, torch" in tuned
    assert "tuned and untuned" not in tuned
    best = choose("f1", poor.labels, np.array(poor.scores.tolist()))
    decided = poor.decided(best)
    value = score(decided.labels, decided.scores, decided.decisions)["f_measure"]
    assert f"| torch | {value:.3f} (" in tuned


def test_a_folder_of_challenge_files_is_compared_with_its_own_decisions(make_run, tmp_path):
    good = _predictions(0.3)
    codes = ["|".join(diagnosis.codes) for diagnosis in DIAGNOSES]
    for name, decided, of in zip(good.record_id, good.decisions, good.scores, strict=True):
        write_challenge_csv(tmp_path / "entry" / f"{name}.csv", name, codes, 1 - decided, of)
    text = compare([make_run("a", good), tmp_path / "entry"], tmp_path / "out", replicates=20)
    assert "as the file has them: entry" in text
    assert "Scores of resunet_lc and entry are the very same." in text


def test_what_is_written_names_runs_and_tables_by_the_end_of_their_paths(make_run, tmp_path):
    skills = {"one/run": 0.3, "two/run": 0.28, "three": 0.2}
    runs = {name: make_run(name, _predictions(skill)) for name, skill in skills.items()}
    table = _table(tmp_path / "torch.csv", _predictions(0.1), rows=slice(9), extra=["other"])
    text = compare([*runs.values(), table], tmp_path / "out", replicates=10)
    assert "one/run" in text and "torch.csv has 1 records more" in text
    files = [path for path in (tmp_path / "out").iterdir() if path.suffix != ".png"]
    assert len(files) == 3
    for path in files:
        assert str(tmp_path) not in path.read_text()


def test_seeds_are_grouped_under_one_name(make_run, tmp_path):
    skills = {"a1": 0.3, "a2": 0.28, "b1": 0.2, "b2": 0.21}
    runs = {name: make_run(name, _predictions(skill)) for name, skill in skills.items()}
    entries = [f"A:{runs['a1']}+{runs['a2']}", f"B:{runs['b1']}+{runs['b2']}"]
    text = compare(entries, tmp_path / "out", replicates=50)
    rows = [line.split(" | ")[0].strip("| ") for line in text.splitlines()[2:8]]
    assert rows == ["A", "↳ s.d. of 2 runs", "B", "↳ s.d. of 2 runs", "↳ difference", ""]
    assert "for all 6 metrics at once (Holm)" in text and "standard deviation over the runs" in text
    with open(tmp_path / "out" / "comparison.csv", newline="") as file:
        found = [row for row in csv.DictReader(file) if row["metric"] == "auroc"]
    assert [row["runs"] for row in found] == ["2", "2"]
    assert float(found[1]["p_value_holm"]) >= float(found[1]["p_value"])


def test_what_would_compare_nothing_is_refused(make_run, tmp_path):
    good = _predictions(0.3)
    run = make_run("a", good)
    (tmp_path / "link").symlink_to(run)
    with pytest.raises(ValueError, match="stands 2 times among the runs"):
        compare([run, tmp_path / "link"], tmp_path / "out")
    with pytest.raises(ValueError, match="stands 2 times among the runs"):
        compare([f"A:{run}+{run}"], tmp_path / "out")
    table = _table(tmp_path / "torch.csv", good)
    with pytest.raises(ValueError, match="none of these is an evaluated run"):
        compare([table], tmp_path / "out")
    twice = make_run("b", good.take(np.r_[np.arange(COUNT), 3]))
    with pytest.raises(ValueError, match="1 records stand twice: R003"):
        compare([run, twice], tmp_path / "out")
    renamed = replace(good, record_id=np.char.add("X", good.record_id))
    with pytest.raises(ValueError, match="none of its 150 records .* is one of the run's"):
        compare([run, _table(tmp_path / "other.csv", renamed)], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_evaluate_and_compare_give_one_interval_whatever_the_runs_seed(make_run, tmp_path):
    good = _predictions(0.3)
    run = make_run("a", good)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"seed": 77}))
    report = build_report(good, replicates=40)
    write_json(run / "evaluation" / "test.json", report)
    compare([run], tmp_path / "out")
    with open(tmp_path / "out" / "comparison.csv", newline="") as file:
        for row in csv.DictReader(file):
            own = [float(row["low"]), float(row["high"])]
            assert own == pytest.approx(report["intervals"][row["metric"]], abs=1e-12)
