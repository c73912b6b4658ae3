"""Reliability curves and calibration errors have their defined values."""

import numpy as np
import pytest

from resunet_lc_jax.measures.calibration import reliability


def test_bins_and_error_equal_a_count_by_hand():
    scores = np.array([[0.05], [0.0], [0.95], [1.0], [0.9]])
    labels = np.array([[0], [1], [1], [1], [0]])
    result = reliability(labels, scores)
    assert result.counts[0].tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 3]
    assert result.mean_score[0, [0, 9]] == pytest.approx([0.025, 0.95])
    assert result.share[0, [0, 9]] == pytest.approx([0.5, 2 / 3])
    assert np.isnan(result.share[0, 1:9]).all()
    assert result.error[0] == pytest.approx(2 / 5 * 0.475 + 3 / 5 * (0.95 - 2 / 3))


def test_probabilities_are_calibrated_and_sharpened_ones_are_not():
    rng = np.random.default_rng(0)
    probabilities = rng.random((20_000, 3))
    labels = rng.random(probabilities.shape) < probabilities
    assert reliability(labels, probabilities).error.max() < 0.02
    sharpened = probabilities**3 / (probabilities**3 + (1 - probabilities) ** 3)
    assert reliability(labels, sharpened).error.min() > 0.1


def test_logits_are_refused():
    with pytest.raises(ValueError, match="probabilities, not logits"):
        reliability(np.zeros((1, 2)), np.array([[0.5, 1.5]]))
