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


@pytest.mark.parametrize("word", ["1", "True", "true", "T", "t", "1.0", "+1", "1e0", " 1 ", "01"])
def test_a_decision_is_true_if_it_is_a_number_equal_to_1_or_a_word_for_it(tmp_path, word):
    assert _read(tmp_path, f"#R1\n164889003\n{word}\n0.5\n").decisions.tolist() == [True]


@pytest.mark.parametrize("word", ["0", "TRUE", "yes", "2", "", "0.9999", "-1", "nan", "inf", "'1'"])
def test_any_other_decision_is_false(tmp_path, word):
    decisions = _read(tmp_path, f"#R1\n164889003,1\n{word},0\n0.5,0\n").decisions
    assert decisions.tolist() == [False, False]


@pytest.mark.parametrize("word", ["nan", "inf", "-inf", "x", "", "1e999"])
def test_a_score_that_is_not_finite_is_zero(tmp_path, word):
    text = f"#R1\n59118001,713427006\n1,0\n{word},0.6\n"
    assert _read(tmp_path, text).by_class()[1].sum() == pytest.approx(0.3)


# What the official evaluator makes of each file: AF's (decision, score) and NSR's, in this order.
_READ = {
    "four lines": (b"#R1\n164889003,426783006\n1,0\n0.7,0.2\n", (1, 0.7, 0, 0.2)),
    "no end of the last line": (b"#R1\n164889003,426783006\n1,0\n0.7,0.2", (1, 0.7, 0, 0.2)),
    "first line without #": (b"R1\n164889003,426783006\n1,0\n0.7,0.2\n", (1, 0.7, 0, 0.2)),
    "an empty first line": (b"\n164889003,426783006\n1,0\n0.7,0.2\n", (1, 0.7, 0, 0.2)),
    "a byte order mark": (
        b"\xef\xbb\xbf#R1\n164889003,426783006\n1,0\n0.7,0.2\n",
        (1, 0.7, 0, 0.2),
    ),
    "a fifth line": (b"#R1\n164889003,426783006\n1,0\n0.7,0.2\n0.1\n", (1, 0.7, 0, 0.2)),
    "surplus values": (b"#R1\n164889003,426783006\n1,0,1\n0.7,0.2,9,9\n", (1, 0.7, 0, 0.2)),
    "a column of no scored class without values": (
        b"#R1\n164889003,426783006,7\n1,0\n0.7,0.2\n",
        (1, 0.7, 0, 0.2),
    ),
    "CRLF": (b"#R1\r\n164889003,426783006\r\n1,0\r\n0.7,0.2\r\n", (1, 0.7, 0, 0.2)),
    "CR": (b"#R1\r164889003,426783006\r1,0\r0.7,0.2\r", (1, 0.7, 0, 0.2)),
    "blanks": (b"#R1\n 164889003 ,\t426783006\n 1 , 0 \n 0.7 , 0.2 \n", (1, 0.7, 0, 0.2)),
    "a form feed in the record's name": (
        b"#R\x0c1\n164889003,426783006\n1,0\n0.7,0.2\n",
        (1, 0.7, 0, 0.2),
    ),
    "a form feed at the end of the classes": (
        b"#R1\n164889003,426783006\x0c\n1,0\n0.7,0.2\n",
        (1, 0.7, 0, 0.2),
    ),
    "bytes 0x85 and 0xa0 in UTF-8": (
        b"#R1\xc2\x85x\n164889003,426783006\xc2\xa0\n1,0\n0.7,0.2\n",
        (1, 0.7, 0, 0.2),
    ),
    "a name in UTF-8": (b"#R\xc3\xa9\n164889003,426783006\n1,0\n0.7,0.2\n", (1, 0.7, 0, 0.2)),
    "a NUL in a score": (b"#R1\n164889003,426783006\n1,0\n0.7\0,0.2\n", (1, 0, 0, 0.2)),
    "a file separator in a score": (
        b"#R1\n164889003,426783006\n1,0\n0.7\x1c,0.2\n",
        (1, 0, 0, 0.2),
    ),
    "an underscore in a score": (b"#R1\n164889003,426783006\n1,0\n1_0,0.2\n", (1, 10, 0, 0.2)),
    "decisions and scores swapped": (
        b"#R1\n164889003,426783006\n0.7,0.2\n1,0\n",
        (0, 1, 0, 0),
    ),
    "another order, one class left out": (b"#R1\n426783006\n1\n0.2\n", (0, 0, 1, 0.2)),
    "a class twice": (
        b"#R1\n164889003,164889003,426783006\n0,1,0\n0.5,0.7,0.2\n",
        (1, 0.6, 0, 0.2),
    ),
    "blanks about a bar": (b"#R1\n7 | 164889003,426783006\n1,0\n0.7,0.2\n", (0, 0, 0, 0.2)),
    "a second line with #": (
        b"#R1\n#made by x\n164889003,426783006\n1,0\n0.7,0.2\n",
        (0, 0, 0, 0),
    ),
    "an empty second line": (b"#R1\n\n164889003,426783006\n1,0\n0.7,0.2\n", (0, 0, 0, 0)),
    "four empty lines": (b"\n\n\n\n", (0, 0, 0, 0)),
    "quoted classes": (b'#R1\n"164889003","426783006"\n1,0\n0.7,0.2\n', (0, 0, 0, 0)),
    "semicolons": (b"#R1\n164889003;426783006\n1;0\n0.7;0.2\n", (0, 0, 0, 0)),
}


@pytest.mark.parametrize("name", _READ)
def test_odd_files_are_read_as_the_official_evaluator_reads_them(tmp_path, name):
    data, expected = _READ[name]
    (tmp_path / "R1.csv").write_bytes(data)
    output = read_challenge_csv(tmp_path / "R1.csv")
    decisions, scores = output.by_class()
    af, nsr = CLASS_NAMES.index("AF"), CLASS_NAMES.index("NSR")
    assert (decisions[af], scores[af], decisions[nsr], scores[nsr]) == pytest.approx(expected)
    assert decisions.sum() == expected[0] + expected[2]
    # An output that says nothing of any scored class can be told from one that says 0.
    assert bool(output.classes) == any(expected)


# Where the official evaluator ends in a traceback.
_REFUSED = {
    "an empty file": (b"", "0 lines; give four"),
    "one line": (b"#R1\n", "1 lines; give four"),
    "no scores": (b"#R1\n164889003,426783006\n1,0\n", "3 lines; give four"),
    "too few decisions": (b"#R1\n164889003,426783006\n1\n0.7,0.2\n", "1 decisions for 2 classes"),
    "too few scores": (b"#R1\n164889003,426783006\n1,0\n0.7\n", "1 scores for 2 classes"),
    "Latin-1": (b"#R\xe9\n164889003,426783006\n1,0\n0.7,0.2\n", "byte 0xe9 is not UTF-8"),
    "Latin-1 in a fifth line": (b"#R\n164889003\n1\n0.7\n\xb5\n", "byte 0xb5 is not UTF-8"),
    "UTF-16": ("#R1\n164889003\n1\n0.7\n".encode("utf-16"), "byte 0xff is not UTF-8"),
}


@pytest.mark.parametrize("name", _REFUSED)
def test_a_file_at_which_the_official_evaluator_stops_is_refused_by_name(tmp_path, name):
    data, message = _REFUSED[name]
    (tmp_path / "R1.csv").write_bytes(data)
    with pytest.raises(ValueError, match=f"R1.csv: {message}"):
        read_challenge_csv(tmp_path / "R1.csv")
