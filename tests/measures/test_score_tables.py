"""Scores of any program are read, aligned by record, and refused with the reason."""

import csv

import numpy as np
import pytest

from resunet_lc_jax.measures.challenge_csv import write_challenge_csv
from resunet_lc_jax.measures.score_tables import read_score_table
from tfds_physionet.diagnoses import CLASS_NAMES, DIAGNOSES

NAMES = ["R1", "R2", "R3"]
SCORES = np.random.default_rng(0).random((3, 26)).round(6)


def _write_csv(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def _rows(scores=SCORES):
    return [[name, *row] for name, row in zip(NAMES, scores.tolist(), strict=True)]


def test_one_table_is_read_alike_in_each_form(tmp_path):
    decisions = (SCORES > 0.5).astype(int)
    both = [f"{name}_decision" for name in CLASS_NAMES]
    rows = [row + of for row, of in zip(_rows(), decisions.tolist(), strict=True)]
    paths = [
        _write_csv(tmp_path / "table.csv", ["record", *CLASS_NAMES, *both], rows),
        tmp_path / "table.npz",
        tmp_path / "folder",
    ]
    np.savez(paths[1], record=np.array(NAMES), scores=SCORES, decisions=decisions)
    for name, of, decided in zip(NAMES, SCORES, decisions, strict=True):
        codes = ["|".join(d.codes) for d in DIAGNOSES]
        write_challenge_csv(paths[2] / "g1" / f"{name}.csv", name, codes, decided, of)
    if pytest.importorskip("pyarrow"):
        import pyarrow
        from pyarrow import parquet

        columns = dict(zip(["record", *CLASS_NAMES, *both], zip(*rows, strict=True), strict=True))
        paths.append(tmp_path / "table.parquet")
        parquet.write_table(pyarrow.table({k: list(v) for k, v in columns.items()}), paths[-1])
    for path in paths:
        table = read_score_table(path)
        assert table.record_id.tolist() == NAMES and table.lacking == (), path
        np.testing.assert_array_equal(table.scores, SCORES, err_msg=str(path))
        np.testing.assert_array_equal(table.decisions, decisions, err_msg=str(path))


def test_columns_go_by_abbreviation_or_code_in_any_order_and_others_are_passed_over(tmp_path):
    header = ["age", "164889003", "record", "59118001|713427006", "AF_calibrated", "NSR"]
    path = _write_csv(tmp_path / "t.csv", header, [[61, 0.1, "R1", 0.2, 0.9, 0.3]])
    table = read_score_table(path)
    found = dict(zip(CLASS_NAMES, table.scores[0], strict=True))
    assert (found["AF"], found["RBBB"], found["NSR"]) == (0.1, 0.2, 0.3)
    assert table.decisions is None and len(table.lacking) == 23 and "AFL" in table.lacking


def test_what_predict_writes_is_a_table_with_its_decisions(tmp_path):
    header = ["record", "diagnoses", "leads_missing", *CLASS_NAMES]
    rows = [["R1", "AF|NSR", "", *SCORES[0]], ["R2", "", "V1", *SCORES[1]]]
    table = read_score_table(_write_csv(tmp_path / "predictions.csv", header, rows))
    decided = [[CLASS_NAMES[k] for k in np.flatnonzero(row)] for row in table.decisions]
    assert decided == [["AF", "NSR"], []]


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (["record", "AF"], [["R1", 0.1], ["R1", 0.2]], "1 records stand twice: R1"),
        (["record", "AF"], [["R1", "nan"]], "the score of R1, AF is no finite number"),
        (["record", "AF"], [["R1", "high"]], "column 'AF' holds what is no number"),
        (["record", "AF"], [["R1"]], "row 2 has 1 values, not 2"),
        (["name", "AF"], [["R1", 0.1]], "there is no column 'record'"),
        (["record", "x"], [["R1", 0.1]], "no column is named by a class"),
        (["record", "AF", "164889003"], [["R1", 0.1, 0.1]], "two columns are of AF"),
        (["record", "AF", "AF"], [["R1", 0.1, 0.1]], "columns stand twice: AF"),
        (["record", "AF", "AF_decision"], [["R1", 0.1, 0.4]], "other values than 0 and 1"),
        (["record", "AF", "NSR_decision"], [["R1", 0.1, 1]], "are of other classes: AF, NSR"),
        (["record", "AF"], [], "no column 'record', or it has no rows"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused_by_name(tmp_path, header, rows, message):
    with pytest.raises(ValueError, match=f"t.csv: .*{message}"):
        read_score_table(_write_csv(tmp_path / "t.csv", header, rows))


def test_other_files_are_refused_in_one_sentence(tmp_path):
    (tmp_path / "t.txt").write_text("x")
    (tmp_path / "t.npz").write_text("x")
    (tmp_path / "t.parquet").write_text("x")
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00")
    for name, message in (
        ("t.txt", "give a table as .csv, .npz, .parquet"),
        ("t.npz", "no NPZ file"),
        ("t.parquet", "no Parquet table"),
        ("t.csv", "no CSV table"),
    ):
        with pytest.raises(ValueError, match=f"{name}: {message}"):
            read_score_table(tmp_path / name)
    np.savez(tmp_path / "u.npz", record=np.array(NAMES), scores=SCORES[:, :25])
    with pytest.raises(ValueError, match=r"scores are \(3, 25\); give \(3, 26\)"):
        read_score_table(tmp_path / "u.npz")
    with pytest.raises(FileNotFoundError, match="no such file or folder of scores"):
        read_score_table(tmp_path / "none.csv")
