"""Differences of models are judged for all metrics at once; seeds are averaged."""

import numpy as np
import pytest

from resunet_lc_jax.measures.comparison import COLUMNS, compare_models, holm
from resunet_lc_jax.measures.measured import measure
from resunet_lc_jax.measures.predictions import Predictions


def _predictions(skill, seed):
    rng = np.random.default_rng(0)
    labels = (rng.random((120, 26)) < 0.2).astype(np.uint8)
    scores = rng.standard_normal(labels.shape) + skill * labels
    scores = scores + 0.5 * np.random.default_rng(seed).standard_normal(labels.shape)
    scores = 1 / (1 + np.exp(-scores))
    names = np.arange(120).astype(str)
    decisions = (scores >= 0.6).astype(np.uint8)
    return Predictions(names, names, names, labels, scores, decisions, np.full(26, 0.6))


def test_holms_correction_equals_a_count_by_hand():
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": float("nan")}
    assert holm(p) == pytest.approx({"a": 0.04, "b": 0.09, "c": 0.09, "d": 1})
    assert holm({"a": 0.5, "b": 0.6}) == {"a": 1, "b": 1}


def test_a_group_of_seeds_has_their_mean_their_spread_and_one_interval():
    seeds = [_predictions(1.0, seed) for seed in (1, 2, 3)]
    other = [_predictions(2.0, seed) for seed in (4, 5)]
    models = {"A": seeds, "B": other, "C": seeds[:1]}
    sources = {name: name.lower() for name in models}
    lines = compare_models(models, sources, replicates=100)
    each = [measure(p.labels, p.scores, p.decisions, p.patient_id, replicates=100) for p in seeds]
    for key in COLUMNS:
        values = [one.scores[key] for one in each]
        assert lines[0].scores[key].value == pytest.approx(np.mean(values))
        assert lines[0].deviations[key] == pytest.approx(np.std(values, ddof=1))
        # A single run has the interval that its own report has.
        assert lines[2].scores[key] == each[0].macro[key]
    assert [line.members for line in lines] == [3, 2, 1] and lines[2].deviations is None
    assert lines[1].differs("auroc") and not lines[0].differs("auroc")
    means = np.mean([one.scores["f_measure_classes"] for one in each], axis=0)
    np.testing.assert_allclose(lines[0].measured["f_measure_classes"], means)


def test_one_star_of_six_needs_more_than_one_in_twenty():
    lines = compare_models(
        {"A": [_predictions(1.0, 1)], "B": [_predictions(1.05, 2)]},
        {"A": "a", "B": "b"},
        replicates=100,
    )
    line = lines[1]
    for key in COLUMNS:
        assert line.adjusted[key] >= line.differences[key].p_value
        if line.adjusted[key] >= 0.05:
            assert not line.differs(key)
