"""The intervals hold the truth as often as they say: a fast form of `benchmarks.coverage`."""

import json

import numpy as np
import pytest

from benchmarks import coverage
from resunet_lc_jax.measures.metrics import MACRO_METRICS, score

# Of 100 simulations; an interval that holds the truth in 94 % does so in 86 or more of 100 in all
# but one of 1,000 tests.
_AT_LEAST = 86


@pytest.mark.parametrize("cell", [(0.7, 200, 0.05), (0.99, 50, 0.3)])
def test_intervals_hold_the_truth_where_a_class_has_ten_positives(cell):
    found = coverage.cover(cell, simulations=100, replicates=60)
    for key in MACRO_METRICS:
        # No record is right in all classes here, and every interval says so.
        if key != "accuracy" or found["truths"][key] > 0.01:
            assert _AT_LEAST <= found["macro"][key], key
        assert found["type_i"][key] <= 12, key
    # 2,600 classes: the limits themselves.
    for key, held in found["classes"].items():
        assert coverage.LIMITS[0] <= held <= coverage.LIMITS[1], key


def test_the_truths_are_those_of_a_large_sample():
    of = coverage.population(0.9, 0.05)
    labels, scores, other = coverage.simulate(of, 200_000, np.random.default_rng(0))
    found = score(labels, scores, scores >= of.threshold)
    for key in MACRO_METRICS:
        assert of.truths[key] == pytest.approx(found[key], rel=0.01), key
    assert score(labels, other, labels)["auroc"] == pytest.approx(0.9, abs=0.002)
    assert np.corrcoef(scores[:, 0], other[:, 0])[0, 1] == pytest.approx(0.83, abs=0.03)


def test_the_command_writes_its_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(coverage, "COUNTS", (50,))
    monkeypatch.setattr(coverage, "AUROCS", (0.9,))
    coverage.main([f"--output={tmp_path}", "--simulations=2", "--replicates=10"])
    cells = json.loads((tmp_path / "coverage.json").read_text())
    assert [cell["prevalence"] for cell in cells] == [0.01, 0.05, 0.3]
    table = (tmp_path / "coverage.md").read_text()
    assert "fewer than 10 positives on average" in table and table.count("| 50 | 30 % | 0.9 |") == 3
