"""The scoring command equals the official evaluator, to the character."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from resunet_lc_jax.measures.challenge_csv import output_names, write_challenge_csv
from resunet_lc_jax.score import load, main, read_labels, read_labels_tolerantly
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.reading.finding import find_records

_HEADER = "A 12 500 5000\n#Dx: 426783006\n"


def _names(labels):
    return {CLASS_NAMES[k] for k in np.flatnonzero(labels)}


@pytest.mark.parametrize("case", ["files_single", "files_merged_columns"])
def test_files_get_the_official_scores_byte_for_byte(oracle, tmp_path, case):
    folder = oracle / "metrics" / case
    ours = [tmp_path / "scores.csv", tmp_path / "class_scores.csv"]
    assert main([str(p) for p in (folder / "labels", folder / "outputs", *ours)]) == 0
    for path in ours:
        assert path.read_bytes() == (folder / path.name).read_bytes()
    expected = np.load(folder / "expected.npz")
    loaded = load(folder / "labels", folder / "outputs")
    np.testing.assert_array_equal(loaded.labels, expected["labels"])
    np.testing.assert_array_equal(loaded.decisions, expected["binary"])
    np.testing.assert_array_equal(loaded.scores, expected["scores"])


def test_a_missing_output_file_is_an_error_that_names_it(oracle, capsys):
    folder = oracle / "metrics" / "files_missing_output"
    assert main([str(folder / "labels"), str(folder / "outputs")]) == 1
    assert "A.csv: no output file for label file" in capsys.readouterr().err


@pytest.mark.parametrize("below", [False, True])
def test_what_predict_writes_is_found_whatever_the_records_are_called(tmp_path, below):
    labels, outputs = tmp_path / "labels", tmp_path / "outputs"
    names = [b"predictions", b"predictions.record", b"errors", b"caf\xe9", b"1.2.840.1", b"plain"]
    names += [b"x", b"x.record", b"x.csv/y", b"x.csv/z.csv/y", b"x.csv/z", b"free.csv/y"]
    if below:
        names = [b"predictions.csv/" + name for name in names] + [b"errors.csv.record/a", b"b/c"]
    for name in names:
        path = Path(os.fsdecode(os.fsencode(labels) + b"/" + name + b".hea"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_HEADER)
    outputs.mkdir()
    records = find_records(labels).records
    paths = output_names(record.name for record in records)
    for record in records:
        write_challenge_csv(
            outputs / paths[record.name], record.name, ["426783006"], np.ones(1), np.ones(1)
        )
    for table in ("predictions", "errors"):
        (outputs / f"{table}.csv").write_text("record,reason\n")
    # Where there are headers in the folder itself, those below it are not scored.
    scored = [name for name in names if b"/" not in name] or names
    assert load(labels, outputs).decisions.sum() == len(scored)


def test_one_bad_file_stops_no_other_where_that_is_asked_for(tmp_path, capsys):
    for name in ("good", "gone", "folder", "pipe"):
        (tmp_path / f"{name}.hea").write_text(_HEADER)
        (tmp_path / f"{name}.csv").write_text("#A\n426783006\n1\n0.9\n")
    (tmp_path / "gone.csv").unlink()
    (tmp_path / "folder.csv").unlink()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "pipe.hea").unlink()
    os.mkfifo(tmp_path / "pipe.hea")
    assert main([str(tmp_path), str(tmp_path)]) == 1
    assert "stops at 3 of 8 files" in capsys.readouterr().err
    assert main([str(tmp_path), str(tmp_path), "--tolerant"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split(",")[2] == "0.250" and "gone.csv" in captured.err


def test_a_folder_without_headers_is_an_error(tmp_path, capsys):
    assert main([str(tmp_path), str(tmp_path)]) == 1
    assert "no .hea file below it" in capsys.readouterr().err


def test_usage_errors_exit_with_2():
    with pytest.raises(SystemExit) as stopped:
        main(["only-labels"])
    assert stopped.value.code == 2


def test_labels_are_read_as_officially_unless_tolerant():
    official, spaced = "R 12\n#Dx: 426783006, 284470004\n", "R 12\n# Dx: 426783006,RBBB\n"
    assert _names(read_labels(official)) == {"NSR", "PAC"}
    assert _names(read_labels_tolerantly(official)) == {"NSR", "PAC"}
    assert _names(read_labels(spaced)) == set()
    assert _names(read_labels_tolerantly(spaced)) == {"NSR", "RBBB"}
    # Without the space after the colon the official evaluator finds no codes.
    assert _names(read_labels("#Dx:426783006\n")) == set()
    # Codes of one class, twice, and none that counts.
    assert _names(read_labels("#Dx: 63593006,284470004,284470004\n")) == {"PAC"}
    assert _names(read_labels("#Dx: NaN\n#Dx: \n")) == set()


def test_headers_that_are_not_read_officially_are_counted(tmp_path, capsys):
    for name, prefix in (("A", "#Dx"), ("B", "# Dx"), ("C", "# Dx")):
        (tmp_path / f"{name}.hea").write_text(f"{name} 12 500 5000\n{prefix}: 426783006\n")
        (tmp_path / f"{name}.csv").write_text(f"#{name}\n426783006\n1\n0.9\n")
    assert main([str(tmp_path), str(tmp_path)]) == 0
    strict = capsys.readouterr()
    assert "warning: 2 records (B, C) name diagnoses" in strict.err
    assert strict.out.splitlines()[1].split(",")[2] == "0.333"
    assert main([str(tmp_path), str(tmp_path), "--tolerant"]) == 0
    tolerant = capsys.readouterr()
    assert tolerant.err == "" and tolerant.out.splitlines()[1].split(",")[2] == "1.000"


def test_records_in_sub_folders_are_scored_against_mirrored_outputs(tmp_path, capsys):
    for name in ("g1/A", "g2/B"):
        for folder, suffix, text in (
            ("labels", ".hea", "A 12 500\n#Dx: 426783006\n"),
            ("outputs", ".csv", f"#A\n{426783006 if name == 'g1/A' else ''}\n1\n0.9\n"),
        ):
            path = tmp_path / folder / (name + suffix)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    assert main([str(tmp_path / "labels"), str(tmp_path / "outputs")]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split(",")[2] == "0.500"
    assert "no scored class in the second line of 1 records (B); all are 0" in captured.err


def _folder(folder, **outputs):
    """Headers and outputs, all with sinus rhythm right unless given otherwise."""
    for name, output in outputs.items():
        header, csv = output if isinstance(output, tuple) else (None, output)
        (folder / f"{name}.hea").write_bytes(header or b"A 12 500 5000\n#Dx: 426783006\n")
        (folder / f"{name}.csv").write_bytes(b"#A\n426783006\n1\n0.9\n" if csv is None else csv)
    return [str(folder), str(folder)]


def test_files_at_which_the_official_evaluator_stops_are_named_in_one_line(tmp_path, capsys):
    folders = _folder(
        tmp_path,
        A=b"",
        B=b"#B\xe9\n426783006\n1\n0.9\n",
        C=(b"C 12\n#Dx: 426783006\n#\xb5V\n", None),
        D=b"#D\n426783006\n\n",
        E=None,
    )
    assert main(folders) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert "stops at 4 of 10 files" in captured.err
    for reason in ("A.csv: 0 lines", "B.csv: byte 0xe9", "C.hea: byte 0xb5"):
        assert reason in captured.err
    # Where asked for it goes on, and says so: three outputs say nothing, one header is Latin-1.
    assert main([*folders, "--tolerant"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[1].split(",")[2] == "0.400"
    assert "taken as all 0 where the official evaluator stops: 3 outputs" in captured.err


def test_labels_are_read_by_lines_as_python_reads_a_text_file(tmp_path):
    for name, header, names in (
        ("CRLF", b"A 12\r\n#Dx: 164889003\r\n", {"AF"}),
        ("CR", b"A 12\r#Dx: 164889003\r#Sex: F", {"AF"}),
        # No end of a line for Python's files, though str.splitlines takes them for one.
        ("form_feed", b"A 12\n#Sex: F\x0c#Dx: 164889003\n", set()),
        ("next_line", b"A 12\n#Age: 1\xc2\x85#Dx: 164889003\n", set()),
        ("two_lines", b"A 12\n#Dx: 164889003\n#Dx: 426783006\n", {"AF", "NSR"}),
        ("two_colons", b"A 12\n#Dx: 164889003: 426783006\n", {"AF"}),
        ("another_word", b"A 12\n#Dxx: 164889003\n", {"AF"}),
        ("byte_order_mark", b"\xef\xbb\xbf#Dx: 164889003\n", set()),
    ):
        folder = tmp_path / name
        folder.mkdir()
        loaded = load(*map(Path, _folder(folder, A=(header, None))))
        assert _names(loaded.labels[0]) == names, name


def test_odd_headers_are_all_read_by_the_tolerant_reader(odd_headers):
    texts = [path.read_text(errors="replace") for path in sorted(odd_headers.rglob("*.hea"))]
    assert texts
    for text in texts:
        assert _names(read_labels(text)) <= _names(read_labels_tolerantly(text))


def test_scoring_needs_neither_jax_nor_tensorflow():
    code = "import sys, resunet_lc_jax.score; print({'jax', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
