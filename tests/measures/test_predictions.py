"""Predictions survive their file unchanged."""

from dataclasses import fields

import numpy as np
import pytest

from resunet_lc_jax.measures.predictions import Predictions, load_predictions, save_predictions


def _predictions():
    rng = np.random.default_rng(0)
    scores = rng.random((5, 26)).astype(np.float32)
    thresholds = rng.random(26)
    return Predictions(
        np.array(["A1", "HR00002", "JS3", "I4", "é"]),
        np.array(["p", "p", "q", "r", "s"]),
        np.array(["georgia"] * 5),
        (rng.random((5, 26)) < 0.3).astype(np.uint8),
        scores,
        (scores >= thresholds).astype(np.uint8),
        thresholds,
    )


def test_predictions_survive_their_file_to_the_last_bit(tmp_path):
    path = tmp_path / "evaluation" / "test.npz"
    before = _predictions()
    save_predictions(path, before)
    after = load_predictions(path)
    for field in fields(Predictions):
        one, other = getattr(before, field.name), getattr(after, field.name)
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    np.testing.assert_array_equal(after.scores >= after.thresholds, after.decisions)
    assert [file.name for file in path.parent.iterdir()] == ["test.npz"]


def test_text_columns_may_be_given_as_lists_of_strings_or_objects(tmp_path):
    before = _predictions()
    listed = Predictions(
        before.record_id.astype(object),
        list(before.patient_id),
        list(before.database),
        before.labels,
        before.scores,
        before.decisions,
        before.thresholds,
    )
    save_predictions(tmp_path / "test.npz", listed)
    assert load_predictions(tmp_path / "test.npz").record_id.tolist() == before.record_id.tolist()


def test_rows_are_taken_from_every_column():
    taken = _predictions().take(np.array([3, 0]))
    assert taken.record_id.tolist() == ["I4", "A1"]
    np.testing.assert_array_equal(taken.scores, _predictions().scores[[3, 0]])
    assert len(taken.thresholds) == 26


def test_bad_predictions_are_refused_with_the_reason(tmp_path):
    good = _predictions()
    with pytest.raises(ValueError, match="4 values of database for 5 records"):
        Predictions(
            good.record_id,
            good.patient_id,
            good.database[1:],
            good.labels,
            good.scores,
            good.decisions,
            good.thresholds,
        )
    path = tmp_path / "test.npz"
    np.savez(path, record_id=np.array(["A"]))
    with pytest.raises(ValueError, match="test.npz: not a file of predictions"):
        load_predictions(path)
