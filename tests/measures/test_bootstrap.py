"""Bootstrap replicates equal the metrics of the resampled records, over patients, and fast."""

import numpy as np
import pytest

from resunet_lc_jax.measures.bootstrap import patient_weights
from resunet_lc_jax.measures.metrics import score, weighted_scores


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
        assert set(expected) < set(replicates)
        # Without a positive drawn the areas are undefined; F-measure is treated alike.
        undrawn = labels.any(axis=0) & ~labels[rows].any(axis=0)
        f_measure = np.where(undrawn, np.nan, expected["f_measure_classes"])
        expected |= {"f_measure_classes": f_measure, "f_measure": np.nanmean(f_measure)}
        for key, value in expected.items():
            # Sums of counts are exact; only sums of quotients may round in another order.
            np.testing.assert_allclose(
                replicates[key][i], value, rtol=1e-12, atol=1e-14, err_msg=key
            )
    # The cases that matter did occur: a class that is sometimes without positives.
    assert 0 < np.isnan(replicates["auroc_classes"][:, 5]).mean() < 1


def test_the_score_is_the_replicate_in_which_every_record_was_drawn_once():
    labels, scores, decisions = _run(1, 80)
    once = weighted_scores(labels, scores, decisions, [np.ones((1, 80), np.int32)])
    measured = score(labels, scores, decisions)
    assert set(measured) < set(once)
    for key, value in measured.items():
        np.testing.assert_array_equal(once[key][0], value, err_msg=key)


def test_a_class_without_positives_in_a_replicate_counts_in_no_macro_average():
    labels = np.zeros((6, 26), bool)
    labels[:3, 0], labels[5, 1] = True, True
    weights = np.array([[1, 1, 1, 1, 1, 0]], np.int32)
    found = weighted_scores(labels, labels.astype(float), np.ones_like(labels), [weights])
    for key in ("auroc", "auprc", "f_measure"):
        assert np.isnan(found[f"{key}_classes"][0, 1]), key
    # Class 1 has none in this replicate; the classes that never had one keep their official 0.
    assert found["f_measure_classes"][0, 2] == 0
    assert found["f_measure"][0] == pytest.approx(0.75 / 25)


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
