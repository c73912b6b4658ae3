"""Records are found wherever they lie, once each, under names that can be written."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from challenge_files import obeying_permissions, write_challenge, write_record

from tfds_physionet.building.build import prepare_dataset
from tfds_physionet.building.records_table import read_table
from tfds_physionet.databases import database_of, without_patient_folders
from tfds_physionet.errors import printable
from tfds_physionet.reading.finding import find_records

SIGNAL = np.random.default_rng(3).normal(0, 100, (12, 300)).astype(np.int16)


def _header(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("found by its name")
    return folder / name


def _names(source: Path) -> list[tuple[str, str]]:
    return [(record.name, record.record_id) for record in find_records(source).records]


def test_records_are_found_anywhere_below_in_an_order_that_the_folder_has_no_part_in(
    tmp_path: Path,
) -> None:
    for name in ("b/X1.hea", "a/g1/X2.hea", "X3.hea", "a-b/X4.hea"):
        _header((tmp_path / name).parent, Path(name).name)
    assert [name for name, _ in _names(tmp_path)] == ["X3", "a/g1/X2", "a-b/X4", "b/X1"]
    assert find_records(tmp_path).records[0].path == tmp_path / "X3.hea"


def test_a_name_keeps_its_dots_and_a_suffix_may_be_in_capitals(tmp_path: Path) -> None:
    for name in ("1.2.840.1001.hea", "1.2.840.1002.HEA", "1.2.840.1003.Hea"):
        _header(tmp_path, name)
    ids = [f"1.2.840.100{number}" for number in (1, 2, 3)]
    assert _names(tmp_path) == [(name, name) for name in ids]


def test_one_header_can_be_given_instead_of_a_folder(tmp_path: Path) -> None:
    header = _header(tmp_path / "a", "X1.hea")
    _header(tmp_path / "a", "X2.hea")
    found = find_records(header)
    assert found.root == tmp_path / "a" and [r.path for r in found.records] == [header]
    assert _names(header) == [("X1", "X1")]


def test_a_stem_in_several_folders_makes_the_path_the_record_id(tmp_path: Path) -> None:
    for name in ("a/1.hea", "b/1.hea", "b/2.hea", "c/3.hea", "c/3.HEA"):
        _header((tmp_path / name).parent, Path(name).name)
    found = dict(_names(tmp_path))
    assert found == {
        "a/1": "a/1",
        "b/1": "b/1",
        "b/2": "2",
        "c/3.hea": "3.hea",
        "c/3.HEA": "3.HEA",
    }


def test_folders_that_lead_back_into_themselves_are_visited_once(tmp_path: Path) -> None:
    _header(tmp_path / "z", "X1.hea")
    (tmp_path / "z" / "up").symlink_to(tmp_path)
    (tmp_path / "a").symlink_to(tmp_path / "z")
    (tmp_path / "loop").symlink_to("loop")
    assert _names(tmp_path) == [("z/X1", "X1")]
    outside = tmp_path.parent / f"{tmp_path.name}_outside"
    _header(outside, "X2.hea")
    (tmp_path / "linked").symlink_to(outside)
    assert [name for name, _ in _names(tmp_path)] == ["linked/X2", "z/X1"]


def test_hidden_files_and_copies_in_hidden_folders_are_passed_over(tmp_path: Path) -> None:
    _header(tmp_path, "X1.hea")
    _header(tmp_path, "._X1.hea")
    _header(tmp_path / ".ipynb_checkpoints", "X1.hea")
    _header(tmp_path / "a" / ".Trash" / "b", "X2.hea")
    assert _names(tmp_path) == [("X1", "X1")]
    hidden = tmp_path / ".Trash"
    _header(hidden, "X3.hea")
    assert _names(hidden) == [("X3", "X3")]  # it was asked for


def test_a_folder_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    records = write_challenge(tmp_path / "records", 10)
    locked = records / "locked"
    _header(locked, "X1.hea")
    locked.chmod(0)
    command = [sys.executable, "-m", "tfds_physionet.prepare", f"--records={records}"]
    done = subprocess.run(
        obeying_permissions([*command, f"--data_dir={tmp_path / 'data'}", "--workers=1"]),
        capture_output=True,
        text=True,
        check=False,
    )
    locked.chmod(0o755)
    assert done.returncode == 0 and "10 records, 1 skipped" in done.stdout, done.stderr
    skipped = next((tmp_path / "data").glob("records_*/physionet2021/500hz/1.0.0/skipped.csv"))
    assert "locked,folder,can't be read (Permission denied)" in skipped.read_text()


def test_a_folder_without_records_is_an_error_that_names_it(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match=str(folder)):
            find_records(folder)


def test_names_that_are_no_utf8_are_kept_inside_and_escaped_where_they_are_written(
    tmp_path: Path,
) -> None:
    records = write_challenge(tmp_path / "records", 11)
    header = write_record(records / "odd", "X", SIGNAL)
    odd = os.fsdecode(os.fsencode(header.parent) + b"/M\xfcller\n")
    header.rename(f"{odd}.hea")
    with pytest.raises(UnicodeEncodeError):
        f"{odd}.hea".encode()
    [record] = [record for record in find_records(records).records if "ller" in record.name]
    assert record.record_id == r"M\xfcller\x0a" and record.path.is_file()
    data = tmp_path / "data"
    for _ in range(2):
        prepared = prepare_dataset(records, data, workers=1, progress=False)
    assert prepared.num_records == 12
    assert record.record_id in read_table(prepared.builder_dir / "records.csv").record_id
    (records / "odd" / "X.mat").unlink()
    prepared = prepare_dataset(records, data, workers=1, progress=False)
    assert r"odd/M\xfcller\x0a,signal file" in prepared.skipped_path.read_text()


def test_different_names_stay_different_when_they_are_escaped() -> None:
    names = ["Müller", "M\udcfcller", r"M\xfcller", "a\nb", r"a\x0ab", "心電図 1"]
    escaped = [printable(name) for name in names]
    assert len(set(escaped)) == len(names) and all("\n" not in name for name in escaped)
    assert (escaped[0], escaped[-1]) == (names[0], names[-1])


@pytest.mark.parametrize(
    "path, database",
    [
        ("georgia/g1/X1", "georgia"),
        ("a/training/mine/g3/X1", "mine"),
        ("HR00001", "ptb-xl"),
        ("records500/00000/00001_hr", "ptb-xl"),
        ("hospital/2019/X1", "hospital"),
        ("X1", "unknown"),
    ],
)
def test_the_source_is_read_from_below_the_given_folder(path: str, database: str) -> None:
    for above in ("/data", "/ptb/training/deep/georgia", "/data/chapman_shaoxing"):
        assert database_of(Path(above, f"{path}.hea"), Path(above)) == database


def test_a_folder_a_patient_is_no_source() -> None:
    patients = [f"patient{number:03d}" for number in range(290) for _ in range(2)]
    assert set(without_patient_folders([*patients, "georgia"])) == {"unknown", "georgia"}
    many = [f"p{number}" for number in range(60) for _ in range(100)]
    assert set(without_patient_folders(many)) == {"unknown"}
    hospitals = ["north"] * 30 + ["south"] * 4 + ["georgia"]
    assert without_patient_folders(hospitals) == hospitals
