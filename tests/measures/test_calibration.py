"""Reliability curves and calibration errors have their defined values."""

import numpy as np
import pytest

from resunet_lc_jax.measures.calibration import (
    Temperatures,
    brier,
    differently_calibrated,
    line,
    reliability,
)


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _drawn(count, rng, *, scale=1.0, shift=0.0, mean=-1.0):
    """Labels [count, 26] and scores that are calibrated but for a scale and a shift of logits."""
    z = rng.normal(mean, 2, (count, 26))
    return rng.random(z.shape) < _sigmoid(z), _sigmoid(scale * z + shift)


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


def test_the_debiased_error_of_calibrated_scores_is_near_0_where_the_plain_one_is_not():
    rng = np.random.default_rng(0)
    found = [reliability(*_drawn(200, rng)) for _ in range(20)]
    assert np.mean([of.error for of in found]) > 0.05
    assert np.median([of.debiased for of in found]) == 0
    assert np.mean([of.debiased_low == 0 for of in found]) > 0.95


@pytest.mark.parametrize("mean", [-1.0, -4.0])  # a third and a twentieth of the records positive
@pytest.mark.parametrize("count", [100, 500])
def test_the_interval_of_the_debiased_error_holds_that_of_many_records(count, mean):
    rng = np.random.default_rng(0)
    truth = reliability(*_drawn(100_000, rng, shift=2.0, mean=mean)).debiased.mean()
    found = [reliability(*_drawn(count, rng, shift=2.0, mean=mean)) for _ in range(20)]
    held = np.mean([(of.debiased_low <= truth) & (truth <= of.debiased_high) for of in found])
    assert 0.88 < held < 0.99


def test_slope_and_intercept_tell_how_the_logits_were_distorted():
    labels, scores = _drawn(40_000, np.random.default_rng(0), scale=2.0, shift=0.0)
    found = line(labels[:, 0], scores[:, 0])
    assert found.slope_interval[0] < 0.5 < found.slope_interval[1]
    assert found.slope == pytest.approx(0.5, abs=0.02)
    labels, scores = _drawn(40_000, np.random.default_rng(1), shift=-1.0)
    found = line(labels[:, 0], scores[:, 0])
    assert found.intercept_interval[0] < 1 < found.intercept_interval[1]
    few = np.zeros(50, bool)
    few[:4] = True
    assert np.isnan(line(few, np.linspace(0.1, 0.9, 50)).slope)


def test_brier_is_the_mean_squared_difference():
    mean, low, high = brier(np.array([[1], [0], [0]]), np.array([[0.5], [0.5], [0.1]]))
    assert mean[0] == pytest.approx((0.25 + 0.25 + 0.01) / 3) and low[0] < mean[0] < high[0]


def test_temperatures_undo_the_scale_of_logits_and_keep_their_order(tmp_path):
    labels, scores = _drawn(20_000, np.random.default_rng(0), scale=3.0)
    labels[:, 4] = False
    fitted = Temperatures.fit(labels, scores)
    assert fitted.values[4] == 1 and np.delete(fitted.values, 4) == pytest.approx(3, rel=0.1)
    after = fitted.apply(scores)
    assert (np.diff(after[np.argsort(scores[:, 0]), 0]) >= 0).all()
    better = brier(labels, scores)[0] - brier(labels, after)[0]
    assert np.delete(better, 4).min() > 0.005
    fitted.to_json(tmp_path / "calibration.json", step=7)
    again = Temperatures.from_json(tmp_path / "calibration.json", step=7)
    np.testing.assert_array_equal(again.values, fitted.values)
    assert Temperatures.from_json(tmp_path / "calibration.json", step=8) is None
    assert Temperatures.from_json(tmp_path / "none.json", step=7) is None
    (tmp_path / "calibration.json").write_text('{"step": 7, "temperatures": {"AF": 0}}')
    with pytest.raises(ValueError, match="not a calibration file"):
        Temperatures.from_json(tmp_path / "calibration.json", step=7)


def test_folds_of_one_calibration_are_told_from_folds_of_several():
    rng = np.random.default_rng(0)
    alarms = [bool(differently_calibrated([_drawn(300, rng) for _ in range(4)])) for _ in range(60)]
    assert sum(alarms) <= 8  # 5 % of 60 are 3; more than 8 come once in 400 times
    # Alike, even if wrong: the order of the pooled scores is as good as that of each.
    assert not differently_calibrated([_drawn(300, rng, scale=2.0) for _ in range(4)])
    parts = [_drawn(300, rng), _drawn(300, rng, shift=2.0), _drawn(300, rng)]
    assert len(differently_calibrated(parts)) == 26
    rare = [(labels & False, scores) for labels, scores in parts]
    assert differently_calibrated(rare) == []
