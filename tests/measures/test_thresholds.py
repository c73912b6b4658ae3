"""Thresholds are the best there are, survive their file, and are found fast."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resunet_lc_jax.measures.metrics import score
from resunet_lc_jax.measures.thresholds import METHODS, Thresholds, choose
from tfds_physionet.diagnoses import CLASS_NAMES


def _validation(seed, count, *, digits=None, dtype=np.float32):
    """Labels and informative scores; class 4 has no positive record."""
    rng = np.random.default_rng(seed)
    labels = rng.random((count, 26)) < rng.uniform(0.01, 0.4, 26)
    labels[:, 4] = False
    logits = rng.normal(-1.5, 1.5, labels.shape) + 2 * labels
    scores = 1 / (1 + np.exp(-logits))
    return labels, (scores if digits is None else scores.round(digits)).astype(dtype)


def _f1(labels, decisions):
    both = (labels & decisions).sum()
    return 2 * both / max(labels.sum() + decisions.sum(), 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([None, 1, 2]))
def test_best_f1_is_not_beaten_by_any_threshold(seed, count, digits):
    labels, scores = _validation(seed, count, digits=digits)
    thresholds = choose("f1", labels, scores)
    decisions = thresholds.decide(scores).astype(bool)
    for k in np.flatnonzero(labels.any(axis=0)):
        best = max(_f1(labels[:, k], scores[:, k] >= value) for value in scores[:, k])
        assert _f1(labels[:, k], decisions[:, k]) == best


def test_the_reference_rule_gives_the_reference_thresholds_to_the_last_bit(oracle):
    with np.load(oracle / "metrics" / "array_cases.npz") as arrays:
        cases = sorted(name.split("/")[0] for name in arrays if name.endswith("/find_threshold"))
        assert "heavy_ties" in cases and "no_labels_at_all" in cases
        for case in cases:
            ours = choose("reference", arrays[f"{case}/labels"], arrays[f"{case}/scores"]).values
            np.testing.assert_array_equal(ours, arrays[f"{case}/expected/find_threshold"], case)


def test_the_reference_rule_searches_with_greater_and_always_decides_a_class_without_f1():
    labels = np.zeros((4, 26), bool)
    labels[3, 0] = True
    scores = np.full((4, 26), 0.2)
    scores[:, 0] = (0.1, 0.2, 0.3, 0.4)
    found = choose("reference", labels, scores)
    assert found.values[0] == 0.3
    assert found.decide(scores)[:, 0].tolist() == [0, 0, 1, 1]
    assert (found.values[1:] == 0).all() and found.decide(scores)[:, 1:].all()


@pytest.mark.parametrize("method", METHODS)
def test_a_class_without_positives_keeps_one_half_and_is_named(method):
    labels, scores = _validation(1, 300)
    thresholds = choose(method, labels, scores)
    assert thresholds.without_positives == (CLASS_NAMES[4],)
    assert thresholds.values[4] == (0 if method == "reference" else 0.5)
    assert thresholds.method == method


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 1]))
def test_challenge_thresholds_cannot_be_bettered_one_class_at_a_time(seed, digits):
    labels, scores = _validation(seed, 25, digits=digits)
    thresholds = choose("challenge", labels, scores)

    def metric(values):
        return score(labels, scores, scores >= values)["challenge_metric"]

    best = metric(thresholds.values)
    assert best >= metric(choose("f1", labels, scores).values) - 1e-12
    for k in np.flatnonzero(labels.any(axis=0)):
        for value in [*scores[:, k], 2.0]:
            values = thresholds.values.copy()
            values[k] = value
            assert metric(values) <= best + 1e-9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_thresholds_decide_identically_after_a_round_trip_through_json(tmp_path, method, dtype):
    labels, scores = _validation(2, 2000, dtype=dtype)
    thresholds = choose(method, labels, scores)
    path = tmp_path / "run" / "thresholds.json"
    thresholds.to_json(path)
    again = Thresholds.from_json(path)
    assert again.values.tolist() == thresholds.values.tolist()
    assert (again.method, again.without_positives) == (method, thresholds.without_positives)
    np.testing.assert_array_equal(again.decide(scores), thresholds.decide(scores))
    assert [file.name for file in path.parent.iterdir()] == ["thresholds.json"]


def test_best_thresholds_decide_alike_in_float32_and_with_noise_in_the_last_digit():
    labels, scores = _validation(3, 5000)
    for method in ("f1", "challenge"):
        thresholds = choose(method, labels, scores)
        decisions = thresholds.decide(scores)
        np.testing.assert_array_equal(scores >= thresholds.values.astype(np.float32), decisions)
        noisy = np.nextafter(scores, np.float32(0))
        assert (thresholds.decide(noisy) != decisions).sum() <= 1


def test_neighbouring_float32_scores_are_told_apart_in_float32_too():
    # Between these two there is no float32 number, and their mean rounds to the lower one.
    low = np.float32(0.5)
    labels = np.arange(20)[:, None] % 2 * np.ones(26) > 0
    scores = np.where(labels, np.nextafter(low, np.float32(1)), low)
    for method in ("f1", "challenge"):
        values = choose(method, labels, scores).values
        np.testing.assert_array_equal(scores[:, 0] >= values.astype(np.float32)[0], labels[:, 0])


def test_a_file_that_lacks_a_class_or_is_no_json_is_refused_by_name(tmp_path):
    path = tmp_path / "thresholds.json"
    path.write_text(json.dumps({"method": "fixed", "thresholds": {}, "without_positives": []}))
    with pytest.raises(ValueError, match="thresholds.json"):
        Thresholds.from_json(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="thresholds.json"):
        Thresholds.from_json(path)
    with pytest.raises(ValueError, match="'best': choose one of f1"):
        choose("best", np.zeros((1, 26)), np.zeros((1, 26)))
