"""Challenge output files are written and read as the official evaluator takes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from resunet_lc_jax.measures.challenge_csv import read_challenge_csv, write_challenge_csv
from tfds_physionet.diagnoses import CLASS_NAMES, DIAGNOSES

COLUMNS = ["|".join(diagnosis.codes) for diagnosis in DIAGNOSES]


def _read(tmp_path, text):
    path = tmp_path / "R1.csv"
    path.write_text(text)
    return read_challenge_csv(path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_scores_and_decisions_survive_the_file_to_the_last_bit(tmp_path_factory, dtype, data):
    width = np.dtype(dtype).itemsize * 8
    scores = data.draw(arrays(dtype, 26, elements=st.floats(0, 1, width=width)))
    decisions = data.draw(arrays(np.uint8, 26, elements=st.integers(0, 1)))
    path = tmp_path_factory.getbasetemp() / "round" / "trip" / "HR00001.csv"
    write_challenge_csv(path, "HR00001", COLUMNS, decisions, scores)
    output = read_challenge_csv(path)
    assert output.record_id == "HR00001" and list(output.columns) == COLUMNS
    decided, scored = output.by_class()
    np.testing.assert_array_equal(decided, decisions)
    np.testing.assert_array_equal(scored.astype(dtype), scores)


def test_file_has_the_four_lines_of_the_challenge(tmp_path):
    path = tmp_path / "R1.csv"
    write_challenge_csv(path, "R1", ["1", "2|3"], np.array([1, 0]), np.float32([1 / 3, 0.5]))
    assert path.read_text() == "#R1\n1,2|3\n1,0\n0.333333343,0.5\n"
    assert [file.name for file in tmp_path.iterdir()] == ["R1.csv"]


def test_several_columns_of_one_class_are_any_decision_and_mean_score(tmp_path):
    text = "#R1\n59118001, 713427006,999,164889003|7\n0,T,1,true\n0.2,0.6,0.9,0.7\n"
    decisions, scores = _read(tmp_path, text).by_class()
    assert [CLASS_NAMES[k] for k in np.flatnonzero(decisions)] == ["AF", "RBBB"]
    assert scores[CLASS_NAMES.index("RBBB")] == pytest.approx(0.4)
    # The unknown class 999 counts nowhere; classes that are absent are 0.
    assert scores.sum() == pytest.approx(0.4 + 0.7)


@pytest.mark.parametrize("word", ["1", "True", "true", "T", "t"])
def test_a_decision_is_true_in_five_spellings(tmp_path, word):
    assert _read(tmp_path, f"#R1\n164889003\n{word}\n0.5\n").decisions.tolist() == [True]


@pytest.mark.parametrize("word", ["0", "1.0", "TRUE", "yes", "2", ""])
def test_any_other_decision_is_false(tmp_path, word):
    decisions = _read(tmp_path, f"#R1\n164889003,1\n{word},0\n0.5,0\n").decisions
    assert decisions.tolist() == [False, False]


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "x", ""])
def test_a_score_that_is_not_finite_is_zero(tmp_path, word):
    text = f"#R1\n59118001,713427006\n1,0\n{word},0.6\n"
    assert _read(tmp_path, text).by_class()[1].sum() == pytest.approx(0.3)


@pytest.mark.parametrize("text", ["", "#R1\n", "#R1\n1,2\n0,1\n", "#R1\n1,2\n0,1\n0.5\n"])
def test_an_empty_or_malformed_output_is_all_zero(tmp_path, text):
    output = _read(tmp_path, text)
    assert output.columns == ()
    assert not any(array.any() for array in output.by_class())
