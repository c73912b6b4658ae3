"""The metrics equal the official evaluator's, obey its conventions, and are fast."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resunet_lc_jax.measures.metrics import MACRO_METRICS, co_occurrence, score
from tfds_physionet.diagnoses import SINUS_RHYTHM

# Our key -> the oracle's.
NAMES = {key: key for key in ("auroc", "auprc", "accuracy", "f_measure", "challenge_metric")}
NAMES |= {f"{key}_classes": f"{key}_classes" for key in ("auroc", "auprc", "f_measure")}
NAMES |= {"specificity": "resunet_specificity", "hamming_loss": "hamming_loss"}
NAMES |= {"auprc_of_decisions": "resunet_auprc_on_binary"}


def test_score_equals_the_official_evaluator_in_every_oracle_case(oracle):
    arrays = np.load(oracle / "metrics" / "array_cases.npz")
    cases = json.loads((oracle / "metrics" / "array_cases.json").read_text())["cases"]
    assert cases
    for case in cases:
        ours = score(*(arrays[f"{case}/{name}"] for name in ("labels", "scores", "binary")))
        for key, name in NAMES.items():
            np.testing.assert_allclose(
                ours[key],
                arrays[f"{case}/expected/{name}"],
                rtol=1e-12,
                atol=1e-12,
                err_msg=f"{case}: {key}",
            )


def test_confusion_of_the_challenge_metric_equals_the_official_one(oracle):
    arrays = np.load(oracle / "metrics" / "array_cases.npz")
    for case in {name.split("/")[0] for name in arrays}:
        ours = co_occurrence(arrays[f"{case}/labels"], arrays[f"{case}/binary"])
        expected = arrays[f"{case}/expected/modified_confusion"]
        np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-12, err_msg=case)


def test_score_has_exactly_the_keys_of_the_contract_as_plain_numbers():
    zeros = np.zeros((3, 26))
    result = score(zeros, zeros, zeros)
    lists = ("auroc_classes", "auprc_classes", "f_measure_classes")
    assert set(result) == {*MACRO_METRICS, *lists}
    assert all(type(result[key]) is float for key in MACRO_METRICS)
    assert all(type(value) is float for key in lists for value in result[key])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 5))
def test_areas_equal_their_definitions_by_pairs_and_by_thresholds(seed, count, levels):
    rng = np.random.default_rng(seed)
    labels = rng.random((count, 26)) < 0.4
    scores = rng.integers(0, levels, (count, 26)) / levels
    result = score(labels, scores, scores > 0.5)
    for k in range(26):
        positive, negative = scores[labels[:, k], k], scores[~labels[:, k], k]
        pairs = positive[:, None] - negative
        auroc = np.mean((pairs > 0) + 0.5 * (pairs == 0)) if pairs.size else np.nan
        auprc, recall = 0.0 if positive.size else np.nan, 0.0
        for threshold in sorted(set(scores[:, k].tolist()), reverse=True) * bool(positive.size):
            taken = scores[:, k] >= threshold
            now = (positive >= threshold).mean()
            auprc += (now - recall) * labels[taken, k].mean()
            recall = now
        assert result["auroc_classes"][k] == pytest.approx(auroc, abs=1e-12, nan_ok=True)
        assert result["auprc_classes"][k] == pytest.approx(auprc, abs=1e-12, nan_ok=True)


def test_challenge_metric_is_1_when_right_and_0_when_always_sinus_rhythm():
    rng = np.random.default_rng(3)
    labels = rng.random((200, 26)) < 0.1
    assert score(labels, labels.astype(float), labels)["challenge_metric"] == pytest.approx(1)
    sinus = np.zeros_like(labels)
    sinus[:, SINUS_RHYTHM] = True
    assert score(labels, sinus.astype(float), sinus)["challenge_metric"] == 0
    assert score(sinus, sinus.astype(float), ~sinus)["challenge_metric"] == 0


def test_float32_scores_are_ranked_as_they_are():
    rng = np.random.default_rng(4)
    labels = rng.random((100, 26)) < 0.3
    scores = rng.random((100, 26)).astype(np.float32)
    assert score(labels, scores, labels) == score(labels, scores.astype(np.float64), labels)


def test_bad_arrays_are_refused_with_the_reason():
    good = np.zeros((4, 26))
    with pytest.raises(ValueError, match=r"scores are \(4, 25\)"):
        score(good, good[:, 1:], good)
    with pytest.raises(ValueError, match="decisions hold values other than 0 and 1"):
        score(good, good, good + 0.5)
    scores = good.copy()
    scores[2, 7] = np.nan
    with pytest.raises(ValueError, match="NaN, first in record 2, class 7"):
        score(good, scores, good)
