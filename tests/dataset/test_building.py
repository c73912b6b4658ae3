"""Builds are shared, found again, taken up where they were killed, and leave nothing behind."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from builds import build, content
from challenge_files import obeying_permissions, write_challenge, write_record

from tfds_physionet.building.build import PreparedDataset
from tfds_physionet.building.records_table import read_table

SIGNAL = np.random.default_rng(7).normal(0, 100, (12, 500)).astype(np.int16)


def _tables(folder: Path) -> list[Path]:
    return [
        Path(where) / "records.csv" for where, _, names in os.walk(folder) if "records.csv" in names
    ]


def test_prepare_training_and_tfds_share_one_build(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 12), tmp_path / "data"
    prepared = build(records, data)
    trained = build(records, data, link=False)
    assert trained == prepared and len(_tables(data)) == 1
    builder = tfds.builder("physionet2021", data_dir=data)
    assert sum(split.num_examples for split in builder.info.splits.values()) == 12
    assert os.readlink(data / "physionet2021") == f"{prepared.data_dir.name}/physionet2021"
    data.rename(tmp_path / "moved")
    assert tfds.builder("physionet2021", data_dir=tmp_path / "moved").info.splits


def test_prepare_leads_to_the_records_that_it_prepared_last_and_training_changes_that_not(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    first = build(write_challenge(tmp_path / "a", 10), data, link=False)
    assert (data / "physionet2021").resolve() == first.data_dir / "physionet2021"
    second = build(write_challenge(tmp_path / "b", 11), data)
    assert (data / "physionet2021").resolve() == second.data_dir / "physionet2021"
    assert build(tmp_path / "a", data, link=False) == first
    assert (data / "physionet2021").resolve() == second.data_dir / "physionet2021"
    assert build(tmp_path / "a", data) == first
    assert (data / "physionet2021").resolve() == first.data_dir / "physionet2021"


def test_a_build_of_an_earlier_version_is_found_where_it_lies_and_not_hidden(
    tmp_path: Path,
) -> None:
    records, data = write_challenge(tmp_path / "records", 10), tmp_path / "data"
    made = build(records, data)
    (data / "physionet2021").unlink()
    (made.data_dir / "physionet2021").rename(data / "physionet2021")
    (data / "physionet2021" / "500hz" / "1.0.0" / "signal_files.json").unlink()
    shutil.rmtree(made.data_dir)
    assert build(records, data).builder_dir == data / "physionet2021" / "500hz" / "1.0.0"
    assert build(records, data, config="100hz").data_dir == data
    with pytest.raises(ValueError, match="built from something else.*another data_dir"):
        build(write_challenge(tmp_path / "others", 11), data)
    assert build(tmp_path / "others", data, link=False).num_records == 11
    assert not (data / "physionet2021").is_symlink()


def test_a_table_of_patients_makes_a_build_of_its_own(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 10), tmp_path / "data"
    write_record(records, "HR00001", SIGNAL)
    table = tmp_path / "ptbxl_database.csv"
    table.write_text("ecg_id,patient_id,strat_fold\n1,7,3\n")
    plain, known = build(records, data), build(records, data, patients=table)
    assert plain.builder_dir != known.builder_dir
    assert build(records, data) == plain and build(records, data, patients=table) == known
    assert "ptb-xl 7" in read_table(known.builder_dir / "records.csv").patient_id


def test_a_finished_build_is_found_in_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 10), tmp_path / "data"
    build(records, data)
    folders = [data, *(path for path in data.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    command = [sys.executable, "-m", "tfds_physionet.prepare", f"--data_dir={data}"]
    for folder, status in ((records, 0), (write_challenge(tmp_path / "others", 11), 2)):
        done = subprocess.run(
            obeying_permissions([*command, f"--records={folder}"]),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
    assert done.stderr.startswith(f"error: {data}/") and "Permission denied" in done.stderr
    for folder in folders:
        folder.chmod(0o755)
    names = {path.name for path in data.rglob("*")}
    assert not any("lock" in name or "checked" in name for name in names)


def test_a_killed_build_goes_on_from_its_finished_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfds_physionet.physionet2021 import physionet2021_dataset_builder as builder

    records, data = write_challenge(tmp_path / "records", 60), tmp_path / "data"
    whole = build(records, tmp_path / "whole")
    command = f"""
import os
from pathlib import Path
from tfds_physionet.building.build import prepare_dataset
from tfds_physionet.physionet2021.physionet2021_dataset_builder import Builder
written = Builder._examples
def examples(self, count):
    if len(list(Path({str(data)!r}).rglob("*.tfrecord-*-of-00001"))) == 6:
        os.kill(os.getpid(), 9)
    return written(self, count)
Builder._examples = examples
prepare_dataset(Path({str(records)!r}), Path({str(data)!r}), workers=1, progress=False)
"""
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == -9
    assert not (data / "physionet2021").exists()
    prepared_again = []
    made = builder.Builder._examples

    def counted(self: builder.Builder, count: int):
        prepared_again.append(count)
        return made(self, count)

    monkeypatch.setattr(builder.Builder, "_examples", counted)
    taken_up = build(records, data)
    assert len(prepared_again) == 4  # of ten shards six were there
    assert content(taken_up) == content(whole)
    assert [path.name for path in taken_up.data_dir.iterdir()] == ["physionet2021"]


def test_two_processes_build_once(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 12), tmp_path / "data"
    results: list[PreparedDataset] = []
    threads = [
        threading.Thread(target=lambda: results.append(build(records, data))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2 and results[0] == results[1]
    assert sorted(data.iterdir()) == [data / "physionet2021", results[0].data_dir]


def test_an_empty_folder_of_the_users_stays_when_a_build_fails(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 9), tmp_path / "data"
    data.mkdir()
    for folder in (data, tmp_path / "none" / "below"):
        with pytest.raises(ValueError, match="at least ten"):
            build(records, folder)
    assert data.is_dir() and not list(data.iterdir()) and not (tmp_path / "none").exists()


def test_a_disk_without_room_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 10), tmp_path / "data"
    command = [sys.executable, "-m", "tfds_physionet.prepare", f"--records={records}"]
    command += [f"--data_dir={data}", "--workers=1"]
    done = subprocess.run(
        ["sh", "-c", 'ulimit -f 20 && exec "$@"', "sh", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert last.startswith(f"error: {data}") and "no room" in last and "another data_dir" in last
    assert not data.exists()
