"""The report holds what was measured, in numbers that JSON keeps, class by class and by source."""

import json
from dataclasses import replace

import numpy as np
import pytest

from resunet_lc_jax.measures.metrics import MACRO_METRICS, score
from resunet_lc_jax.measures.predictions import Predictions
from resunet_lc_jax.measures.report import build_report, format_report
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.files import write_json
from tfds_physionet.splits.folds import patients_note


def _predictions(count=400):
    rng = np.random.default_rng(0)
    labels = (rng.random((count, 26)) < rng.uniform(0.02, 0.3, 26)).astype(np.uint8)
    labels[:, 4] = 0
    scores = (0.6 * rng.random(labels.shape) + 0.4 * labels * rng.random(labels.shape)).astype("f4")
    thresholds = np.linspace(0.3, 0.5, 26)
    return Predictions(
        np.array([f"R{i}" for i in range(count)]),
        np.array([f"P{i // 2}" for i in range(count)]),
        np.array(["georgia", "ptb-xl"])[(np.arange(count) % 4 == 0).astype(int)],
        labels,
        scores,
        (scores >= thresholds).astype(np.uint8),
        thresholds,
    )


@pytest.fixture(scope="module")
def report():
    return build_report(_predictions(), replicates=100)


def test_the_top_level_holds_the_scores_as_plain_numbers(report):
    predictions = _predictions()
    expected = score(predictions.labels, predictions.scores, predictions.decisions)
    assert {key: report[key] for key in MACRO_METRICS} == {k: expected[k] for k in MACRO_METRICS}
    np.testing.assert_array_equal(report["auprc_classes"], expected["auprc_classes"])
    assert (report["records"], report["patients"]) == (400, 200)


def test_the_report_is_valid_json_with_null_where_a_number_is_undefined(report, tmp_path):
    write_json(tmp_path / "test.json", report)

    def refuse(word):
        raise ValueError(f"{word} is no JSON")

    again = json.loads((tmp_path / "test.json").read_text(), parse_constant=refuse)
    assert again["auprc_classes"][4] is None and again["auprc"] == report["auprc"]
    name = CLASS_NAMES[4]
    assert again["few_positives"] == [name]
    assert again["classes"][name]["intervals"]["f_measure"] == [None, None]


def test_a_class_with_few_positives_is_marked_on_the_screen():
    predictions = _predictions()
    labels = predictions.labels.copy()
    labels[8:, 0] = 0
    labels[:8, 0] = 1  # eight records of four patients
    found = build_report(replace(predictions, labels=labels), replicates=20)
    assert found["classes"]["AF"]["few_positives"] and not found["classes"]["NSR"]["few_positives"]
    _, areas, counts = format_report(found, title="").split("class ")
    assert "AF*" in counts.split() and "NSR" in counts.split()
    rows = {row.split()[0]: row for row in areas.splitlines() if row.split()}
    assert " 8* " in rows["AF"] and "(" not in rows["AF"] and "(" in rows["NSR"]
    assert "fewer than 5 positives" in format_report(found, title="")


def test_every_macro_metric_lies_in_its_interval(report):
    for key in MACRO_METRICS:
        low, high = report["intervals"][key]
        assert low <= report[key] <= high and low < high


def test_each_database_is_scored_on_its_own_records(report):
    predictions = _predictions()
    rows = predictions.database == "ptb-xl"
    own = predictions.take(rows)
    expected = score(own.labels, own.scores, own.decisions)
    entry = report["databases"]["ptb-xl"]
    assert entry["records"] == 100 and entry["auprc"] == expected["auprc"]
    k = CLASS_NAMES.index("AF")
    assert entry["classes"]["AF"]["f_measure"] == expected["f_measure_classes"][k]
    assert entry["classes"]["AF"]["positives"] == predictions.labels[rows, k].sum()


def test_the_precision_recall_curve_has_the_reported_area(report):
    for k, name in enumerate(CLASS_NAMES):
        curve = report["classes"][name]["precision_recall"]
        if name == CLASS_NAMES[4]:
            assert curve["recall"] == [] and np.isnan(report["auprc_classes"][k])
            continue
        assert curve["recall"][-1] == 1 and np.all(np.diff(curve["score"]) < 0)
        steps = np.diff(curve["recall"], prepend=0)
        assert steps @ curve["precision"] == pytest.approx(report["auprc_classes"][k], abs=1e-9)


def test_patients_are_counted_only_where_they_are_known(report):
    unknown = patients_note({"records": 400, "patients_unknown": {"georgia": 400}})
    text = format_report(
        {**report, "about": {"patients_unknown": unknown}}, title="resunet_lc, test"
    )
    assert text.startswith("resunet_lc, test: 400 records (patients unknown)\n")
    assert "95 % interval over records (patients unknown)" in text
    assert "95 % interval over patients" in format_report(report, title="resunet_lc, test")


def test_the_screen_shows_every_metric_class_and_database(report):
    text = format_report(report, title="resunet_lc, test")
    assert "resunet_lc, test: 400 records of 200 patients" in text
    for name in (*MACRO_METRICS, *CLASS_NAMES, "georgia", "ptb-xl"):
        assert name in text
    assert max(map(len, text.splitlines())) <= 130


def test_a_split_without_records_is_refused():
    with pytest.raises(ValueError, match="no records to evaluate"):
        build_report(_predictions().take(np.zeros(0, int)))
