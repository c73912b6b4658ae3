"""The benchmarks' peers compute what our side computes, or the comparison would mean nothing."""

import json
import sys
from functools import partial

import numpy as np
import pytest

from benchmarks import input as reading
from benchmarks import networks, run, scoring, timing
from benchmarks.timing import Row, faster
from resunet_lc_jax.measures import metrics, thresholds
from tfds_physionet.reading.records import read_record
from tfds_physionet.reading.signals import prepare


@pytest.fixture(scope="module")
def classifier():
    rng = np.random.default_rng(0)
    labels = rng.random((300, 26)) < 0.2
    scores = rng.random((300, 26)) * 0.6 + 0.4 * labels
    return labels, scores.round(2)  # with ties


def test_looped_metrics_are_the_metrics(classifier):
    labels, scores = classifier
    ours = metrics.score(labels, scores, scores >= 0.5)
    names = "auroc auprc accuracy f_measure challenge_metric specificity hamming_loss".split()
    expected = [ours[name] for name in [*names, "auprc_of_decisions"]]
    np.testing.assert_allclose(scoring.loop_metrics(labels, scores, scores >= 0.5), expected)


def test_looped_threshold_search_finds_the_same_thresholds(classifier):
    labels, scores = classifier
    ours = thresholds.choose("reference", labels, scores).values
    np.testing.assert_array_equal(scoring.grid_search(labels, scores), ours)


def test_per_item_reading_gives_a_crop_of_the_prepared_z_scores(simulated_records):
    header = min(simulated_records.rglob("*.hea"))
    crop = reading.per_item(header, np.random.default_rng(0))
    prepared = prepare(read_record(header), sampling_rate=500)
    z = (prepared.signal - prepared.lead_mean[:, None]) / prepared.lead_std[:, None]
    starts = [s for s in range(z.shape[1] - 4095) if np.allclose(z[:, s], crop[:, 0], atol=1e-4)]
    assert any(np.allclose(z[:, s : s + 4096], crop, atol=1e-4) for s in starts)


def test_row_says_whether_the_target_is_met_and_the_table_shows_it():
    rows = [faster("step", 2.0, 1.0, 0.9), Row("rate", 5.0, None, "records/s")]
    assert not rows[0].met and rows[0].ratio == 2.0
    table = run.format_rows(rows).splitlines()
    assert "**no**" in table[2] and "ratio <= 0.9" in table[2]
    assert "| rate | 5 records/s |" in table[3]


def test_unknown_part_is_a_usage_error(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run.main([f"--output={tmp_path}", "--only=steps,coffee"])
    assert "coffee" in capsys.readouterr().err


def test_parts_measured_later_join_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr(scoring, "RECORDS", 100)
    (tmp_path / "results.json").write_text(json.dumps({"parts": {"earlier": {}}}))
    assert run.main([f"--output={tmp_path}", "--only=scoring"]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["parts"]) == {"earlier", "scoring"}
    assert {"name", "ours", "peer", "ratio", "target", "met"} <= set(
        results["parts"]["scoring"]["rows"][0]
    )
    assert "threshold" in (tmp_path / "benchmarks.md").read_text()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # what torch.compile itself uses is
def test_the_exported_and_the_compiled_twin_score_as_the_eager_one():
    pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    expected = networks.torch_scores(2, 512, "channels_last", width=8)()
    assert expected.shape == (2, 26)
    for call in (
        networks.onnx_scores(2, 512, width=8),
        networks.torch_scores(2, 512, networks.COMPILED, width=8),
    ):
        np.testing.assert_allclose(call(), expected, atol=1e-5)
    losses = [networks.torch_step(2, 512, form, width=8)() for form in networks.FORMS]
    np.testing.assert_allclose(losses, losses[0], atol=0.1)  # each draws its own dropout


def test_a_peer_that_cannot_be_made_is_left_out_and_the_fastest_of_the_others_counts(capfd):
    makes = {"ours": (partial, int), "eager": (partial, int), "odd": (sys.exit, "no library")}
    with timing.contenders(makes) as running:
        times = timing.alternate(running, rounds=1)
    assert set(times) == {"ours", "eager"} and timing.best_peer(times)[0] == "eager"
    assert timing.in_words({"ours": 1, "slow": 3.0, "eager": 2.0}) == "eager 2 s, slow 3 s"
    assert "odd can't be run here" in capfd.readouterr().out
