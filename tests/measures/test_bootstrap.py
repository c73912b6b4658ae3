"""Bootstrap replicates equal the metrics of the resampled records, over patients, and fast."""

import time

import numpy as np
import pytest

from resunet_lc_jax.measures.bootstrap import interval, patient_weights, weighted_scores
from resunet_lc_jax.measures.metrics import score


def _run(seed, count, *, digits=2):
    rng = np.random.default_rng(seed)
    labels = rng.random((count, 26)) < rng.uniform(0.0, 0.4, 26)
    labels[:, 3] = False
    labels[:, 5] = np.arange(count) == 0  # drawn in some replicates only
    scores = np.clip(rng.normal(0.3, 0.2, labels.shape) + 0.3 * labels, 0, 1).round(digits)
    return labels, scores, scores > 0.5


def test_a_replicate_equals_the_score_of_the_resampled_records():
    labels, scores, decisions = _run(0, 60)
    weights = np.concatenate(list(patient_weights(np.arange(60) // 2, replicates=100)))
    replicates = weighted_scores(labels, scores, decisions, iter([weights[:70], weights[70:]]))
    for i, row in enumerate(weights):
        rows = np.repeat(np.arange(60), row)
        expected = score(labels[rows], scores[rows], decisions[rows])
        assert set(replicates) == set(expected)
        for key, value in expected.items():
            # Sums of counts are exact; only sums of quotients may round in another order.
            np.testing.assert_allclose(
                replicates[key][i], value, rtol=1e-12, atol=1e-14, err_msg=key
            )
    # The cases that matter did occur: a class that is sometimes without positives.
    assert 0 < np.isnan(replicates["auroc_classes"][:, 5]).mean() < 1


def test_patients_are_drawn_whole_and_as_many_as_there_are():
    patients = np.array(["b", "a", "a", "c", "b", "a"])
    weights = np.concatenate(list(patient_weights(patients, replicates=200, seed=1)))
    assert weights.shape == (200, 6)
    np.testing.assert_array_equal(weights[:, 1], weights[:, 2])
    np.testing.assert_array_equal(weights[:, 0], weights[:, 4])
    np.testing.assert_array_equal(weights[:, [0, 1, 3]].sum(axis=1), 3)
    assert weights[:, 3].mean() == pytest.approx(1, abs=0.2)
    again = np.concatenate(list(patient_weights(patients, replicates=200, seed=1)))
    np.testing.assert_array_equal(weights, again)


def test_patients_with_many_records_widen_the_interval():
    labels, scores, decisions = _run(2, 40)
    # Each record twenty times: as 800 patients it seems to be more evidence than it is.
    labels, scores, decisions = (np.repeat(a, 20, axis=0) for a in (labels, scores, decisions))

    def width(patients):
        weights = patient_weights(patients, replicates=300)
        low, high = interval(weighted_scores(labels, scores, decisions, weights)["auprc"])
        return high - low

    assert width(np.repeat(np.arange(40), 20)) > 2 * width(np.arange(800))


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(40):
        # Accuracy of a decision that is right with probability 0.7 in one class, always elsewhere.
        labels = np.zeros((150, 26), bool)
        labels[:, 0] = rng.random(150) < 0.7
        decisions = np.zeros_like(labels)
        decisions[:, 0] = True
        weights = patient_weights(np.arange(150), replicates=200)
        values = weighted_scores(labels, decisions.astype(float), decisions, weights)["accuracy"]
        low, high = interval(values)
        covered.append(low <= 0.7 <= high)
    assert 0.85 <= np.mean(covered) <= 1


def test_an_interval_leaves_out_undefined_replicates():
    assert interval(np.array([np.nan, *range(101)]), confidence=0.9) == pytest.approx((5, 95))
    assert np.isnan(interval(np.full(3, np.nan))).all()


def test_a_thousand_replicates_of_twenty_thousand_records_would_take_under_a_minute():
    labels, scores, decisions = _run(4, 20_000, digits=6)
    start = time.perf_counter()
    weighted_scores(labels, scores, decisions, patient_weights(np.arange(20_000), replicates=64))
    # A sixteenth of the work, without the slack that a busy machine needs.
    assert time.perf_counter() - start < 60 / 16
