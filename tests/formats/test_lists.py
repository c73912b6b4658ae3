"""A list of files is an input like a folder."""

from pathlib import Path

import numpy as np
import pytest
from wfdb_files import write_wfdb

from benchmarks import ecg_files
from tfds_physionet.errors import RecordError
from tfds_physionet.leads import STANDARD_LEADS
from tfds_physionet.reading.finding import find_records
from tfds_physionet.reading.records import read_record

SIGNAL = np.random.default_rng(0).integers(-900, 900, (12, 240)).astype(np.int16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_wfdb(tmp_path / "in" / "a", name="X1")
    (tmp_path / "in" / "b").mkdir()
    (tmp_path / "in/b/x.xml").write_bytes(ecg_files.aecg(SIGNAL, STANDARD_LEADS, 500))
    return tmp_path / "in"


@pytest.mark.parametrize(
    "name, text",
    [
        ("list.txt", "# two\n\na/X1.hea\nb/x.xml\nb/x.xml\n"),
        ("RECORDS", "a/X1\nb/x.xml"),
        ("list.csv", "id,Path\n1,a/X1.hea\n2,b/x.xml\n"),
        ("folders.txt", "a\nb\n"),
    ],
)
def test_a_list_names_files_beside_it(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    found = find_records(folder / name)
    assert found.root == folder
    assert [record.name for record in found.records] == ["a/X1", "b/x"]
    assert [read_record(record).signal.shape[0] for record in found.records] == [12, 12]


def test_absolute_paths_lie_below_the_folder_that_they_share(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/list.txt").write_text(f"{folder / 'a/X1.hea'}\n{folder / 'b/x.xml'}")
    found = find_records(tmp_path / "lists/list.txt")
    assert [record.name for record in found.records] == ["a/X1", "b/x"]


def test_a_path_that_leads_out_of_the_folder_is_refused_and_stops_no_other(folder: Path) -> None:
    (folder / "list.txt").write_text("../in/a/X1.hea\nb/x.xml\nb/gone.xml")
    found = find_records(folder / "list.txt")
    assert [record.name for record in found.records] == ["b/x", "b/gone"]
    (refused,) = found.unreadable
    assert "leads out" in refused.reason
    with pytest.raises(RecordError, match="No such file"):
        read_record(found.records[1])


def test_one_file_is_an_input(folder: Path) -> None:
    (found,) = find_records(folder / "b/x.xml").records
    assert (found.name, found.record_id) == ("x", "x")


def test_a_folder_holds_files_of_several_formats_and_others_are_passed_over(folder: Path) -> None:
    (folder / "b/x.json").write_text("{}")
    (folder / "labels.csv").write_text("record,label\nX1,AF\n")
    (folder / "b/IM0001").write_bytes(ecg_files.dicom(SIGNAL, STANDARD_LEADS, 500))
    (folder / "b/x.edf").write_bytes(ecg_files.edf(SIGNAL, STANDARD_LEADS, 240))
    names = [record.name for record in find_records(folder).records]
    assert names == ["a/X1", "b/IM0001", "b/x.edf", "b/x.xml"]
    assert [r.name for r in find_records(folder, headers_only=True).records] == ["a/X1"]
