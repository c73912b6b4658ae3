"""Intervals have their defined bounds, count patients, and do not pretend."""

import math

import numpy as np
import pytest

from resunet_lc_jax.measures import intervals
from resunet_lc_jax.measures.measured import difference, measure


def test_wilsons_interval_equals_its_published_values():
    # Newcombe, "Two-sided confidence intervals for the single proportion", 1998, method 3.
    for hits, trials, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        found = intervals.wilson(np.array(hits / trials), np.array(trials))
        assert found == pytest.approx((low, high), abs=5e-5)
    assert np.isnan(intervals.wilson(np.array(math.nan), np.array(0))).all()


def test_records_that_agree_within_a_patient_are_no_further_evidence():
    rng = np.random.default_rng(0)
    hits = rng.random((40, 1)) < 0.7
    once = intervals.of_shares(hits, np.ones_like(hits), np.arange(40))
    again = np.repeat(hits, 20, axis=0)
    clustered = intervals.of_shares(again, np.ones_like(again), np.repeat(np.arange(40), 20))
    np.testing.assert_allclose(clustered, once)
    apart = intervals.of_shares(again, np.ones_like(again), np.arange(800))
    assert apart[2] - apart[1] < 0.3 * (once[2] - once[1])
    # All right, in two patients only: two trials, not 40.
    sure = np.ones((40, 1))
    low = intervals.of_shares(sure, sure, np.arange(40) // 20)[1][0]
    assert low == pytest.approx(2 / (2 + 1.959964**2), abs=1e-6)


def _perfect(count=40, positives=18):
    labels = np.zeros((count, 26), bool)
    labels[:positives] = True
    scores = np.linspace(1, 0, count)[:, None] * np.ones(26)
    return labels, scores, labels, np.arange(count)


def test_a_perfect_classifier_is_not_known_to_be_perfect():
    found = measure(*_perfect(), replicates=50)
    for key in ("auroc", "auprc", "f_measure"):
        assert found.scores[f"{key}_classes"][0] == 1
        assert 0.6 < found.low[key][0] < 0.97 and found.high[key][0] == 1
    # 18 of 18: the F-measure's bound is that of a share.
    share = 18 / (18 + 1.959964**2)
    assert found.low["f_measure"][0] == pytest.approx(2 * share / (1 + share), abs=1e-6)
    for key in ("auroc", "auprc", "f_measure", "accuracy", "challenge_metric", "specificity"):
        assert found.macro[key].low < 0.97 and found.macro[key].high == 1
    assert found.macro["hamming_loss"].low == 0 and found.macro["hamming_loss"].high > 0.01


def test_a_class_with_fewer_than_five_positives_gets_no_interval():
    labels, scores, decisions, patients = _perfect()
    labels, scores = labels.copy(), scores + 0.3 * np.random.default_rng(0).random((40, 26))
    labels[4:, 1] = False
    labels[:, 2] = False
    found = measure(labels, scores, labels, patients, replicates=50)
    assert found.few.tolist() == [False, True, True] + [False] * 23
    for key in ("auroc", "auprc", "f_measure"):
        assert np.isnan(found.low[key][1:3]).all() and np.isnan(found.high[key][1:3]).all()
        assert not np.isnan(found.low[key][0])
    # Eighteen positives of three patients are three.
    few = measure(labels, scores, labels, np.arange(40) // 6, replicates=50)
    assert few.few.all()


def test_every_interval_holds_what_is_reported():
    rng = np.random.default_rng(1)
    labels = rng.random((150, 26)) < 0.06
    scores = rng.random(labels.shape) + 0.1 * labels
    found = measure(labels, scores, scores > 0.9, np.arange(150), replicates=100)
    for key, of in found.macro.items():
        assert of.low <= of.value <= of.high, key
    for key in ("auroc", "auprc", "f_measure"):
        known = ~found.few
        value = np.array(found.scores[f"{key}_classes"])
        assert np.all((found.low[key] <= value)[known] & (value <= found.high[key])[known])
    # Average precision is too high on average: more of its interval lies below.
    of = found.macro["auprc"]
    assert of.value - of.low > 1.5 * (of.high - of.value)


def test_predictions_do_not_differ_from_themselves_and_differences_are_paired():
    rng = np.random.default_rng(2)
    labels = rng.random((200, 26)) < 0.2
    base = rng.standard_normal(labels.shape) + labels
    good = base + 0.3 * labels
    one, other = (measure(labels, s, s > 0.5, np.arange(200), replicates=100) for s in (base, good))
    same = difference(one, one, "auprc")
    assert (same.value, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    gain = difference(one, other, "auroc")
    assert 0 < gain.low < gain.value < gain.high and gain.p_value < 0.01
    alone = one.macro["auroc"]
    assert gain.high - gain.low < alone.high - alone.low
