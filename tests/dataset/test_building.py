"""Builds are shared, taken up, checked and made anew; a bad record stops none of them."""

import csv
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from challenge_files import obey_permissions, write_challenge, write_record

from tfds_physionet.build_plan import make_example, make_plan
from tfds_physionet.building import PreparedDataset, prepare_dataset
from tfds_physionet.errors import RecordError
from tfds_physionet.records_table import read_table
from tfds_physionet.survey import survey

SIGNAL = np.random.default_rng(7).normal(0, 100, (12, 500)).astype(np.int16)


def _prepare(records: Path, data: Path, **options) -> PreparedDataset:
    return prepare_dataset(records, data, **{"workers": 1, "progress": False} | options)


def _listed(prepared: PreparedDataset) -> dict[str, tuple[str, str]]:
    with prepared.skipped_path.open(newline="", encoding="utf-8") as file:
        return {row["record"]: (row["field"], row["reason"]) for row in csv.DictReader(file)}


def _content(prepared: PreparedDataset) -> dict[str, bytes]:
    """The files of a build, but for those that hold times or what was skipped."""
    of_its_own = ("dataset_info.json", "signal_files.json", "source.json", "skipped.csv")
    return {
        path.name: path.read_bytes()
        for path in prepared.builder_dir.iterdir()
        if path.name not in of_its_own
    }


def _tables(folder: Path) -> list[Path]:
    return [
        Path(where) / "records.csv" for where, _, names in os.walk(folder) if "records.csv" in names
    ]


def test_prepare_training_and_tfds_share_one_build(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 12), tmp_path / "data"
    prepared = _prepare(records, data)
    trained = _prepare(records, data, link=False)
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
    first = _prepare(write_challenge(tmp_path / "a", 10), data, link=False)
    assert (data / "physionet2021").resolve() == first.data_dir / "physionet2021"
    second = _prepare(write_challenge(tmp_path / "b", 11), data)
    assert (data / "physionet2021").resolve() == second.data_dir / "physionet2021"
    assert _prepare(tmp_path / "a", data, link=False) == first
    assert (data / "physionet2021").resolve() == second.data_dir / "physionet2021"
    assert _prepare(tmp_path / "a", data) == first
    assert (data / "physionet2021").resolve() == first.data_dir / "physionet2021"


def test_a_build_of_an_earlier_version_is_found_where_it_lies_and_not_hidden(
    tmp_path: Path,
) -> None:
    records, data = write_challenge(tmp_path / "records", 10), tmp_path / "data"
    made = _prepare(records, data)
    (data / "physionet2021").unlink()
    (made.data_dir / "physionet2021").rename(data / "physionet2021")
    (data / "physionet2021" / "500hz" / "1.0.0" / "signal_files.json").unlink()
    shutil.rmtree(made.data_dir)
    assert _prepare(records, data).builder_dir == data / "physionet2021" / "500hz" / "1.0.0"
    assert _prepare(records, data, config="100hz").data_dir == data
    with pytest.raises(ValueError, match="built from something else.*another data_dir"):
        _prepare(write_challenge(tmp_path / "others", 11), data)
    assert _prepare(tmp_path / "others", data, link=False).num_records == 11
    assert not (data / "physionet2021").is_symlink()


def test_a_table_of_patients_makes_a_build_of_its_own(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 10), tmp_path / "data"
    write_record(records, "HR00001", SIGNAL)
    table = tmp_path / "ptbxl_database.csv"
    table.write_text("ecg_id,patient_id,strat_fold\n1,7,3\n")
    plain, known = _prepare(records, data), _prepare(records, data, patients=table)
    assert plain.builder_dir != known.builder_dir
    assert _prepare(records, data) == plain and _prepare(records, data, patients=table) == known
    assert "ptb-xl 7" in read_table(known.builder_dir / "records.csv").patient_id


def test_a_finished_build_is_found_in_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 10), tmp_path / "data"
    _prepare(records, data)
    folders = [data, *(path for path in data.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    command = [sys.executable, "-m", "tfds_physionet.prepare", f"--data_dir={data}"]
    for folder, status in ((records, 0), (write_challenge(tmp_path / "others", 11), 2)):
        done = subprocess.run(
            [*command, f"--records={folder}"],
            capture_output=True,
            text=True,
            preexec_fn=obey_permissions,
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
    whole = _prepare(records, tmp_path / "whole")
    command = f"""
import os
from pathlib import Path
from tfds_physionet import building
from tfds_physionet.physionet2021.physionet2021_dataset_builder import Builder
written = Builder._examples
def examples(self, count):
    if len(list(Path({str(data)!r}).rglob("*.tfrecord-*-of-00001"))) == 6:
        os.kill(os.getpid(), 9)
    return written(self, count)
Builder._examples = examples
building.prepare_dataset(Path({str(records)!r}), Path({str(data)!r}), workers=1, progress=False)
"""
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == -9
    assert not (data / "physionet2021").exists()
    prepared_again = []
    made = builder.Builder._examples

    def counted(self: builder.Builder, count: int):
        prepared_again.append(count)
        return made(self, count)

    monkeypatch.setattr(builder.Builder, "_examples", counted)
    taken_up = _prepare(records, data)
    assert len(prepared_again) == 4  # of ten shards six were there
    assert _content(taken_up) == _content(whole)
    assert [path.name for path in taken_up.data_dir.iterdir()] == ["physionet2021"]


def test_two_processes_build_once(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 12), tmp_path / "data"
    results: list[PreparedDataset] = []
    threads = [
        threading.Thread(target=lambda: results.append(_prepare(records, data))) for _ in range(2)
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
            _prepare(records, folder)
    assert data.is_dir() and not list(data.iterdir()) and not (tmp_path / "none").exists()


def _limit_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))


def test_a_disk_without_room_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 10), tmp_path / "data"
    command = [sys.executable, "-m", "tfds_physionet.prepare", f"--records={records}"]
    done = subprocess.run(
        [*command, f"--data_dir={data}", "--workers=1"],
        capture_output=True,
        text=True,
        preexec_fn=_limit_file_size,
        check=False,
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    assert last.startswith(f"error: {data}") and "no room" in last and "another data_dir" in last
    assert not data.exists()


def _overwrite(path: Path, *, keep_time: bool = False) -> None:
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\x07" * 200)
    if keep_time:  # as a download does that sets the server's time
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_signal_that_changed_at_equal_size_is_built_anew_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture, keep_time: bool
) -> None:
    records, data = write_challenge(tmp_path / "records", 12), tmp_path / "data"
    before = _prepare(records, data)
    changed = min(records.rglob("*.mat"))
    time.sleep(0.02)  # longer than a tick of the file system's clock
    _overwrite(changed, keep_time=keep_time)
    after = _prepare(records, data, progress=True)
    assert f"1 records are no longer those of {before.builder_dir}" in capsys.readouterr().err
    assert after.fingerprint == before.fingerprint and after.builder_dir != before.builder_dir
    old, new = (read_table(built.builder_dir / "records.csv") for built in (before, after))
    hashes = [dict(zip(t.record_id, t.signal_hash, strict=True)) for t in (old, new)]
    assert {name for name in hashes[0] if hashes[0][name] != hashes[1][name]} == {changed.stem}
    assert (data / "physionet2021").resolve() == after.data_dir / "physionet2021"
    assert _prepare(records, data) == after


def test_signals_that_were_only_touched_or_copied_are_not_built_anew(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 12), tmp_path / "data"
    before = _prepare(records, data)
    stamp = (before.builder_dir / "dataset_info.json").stat().st_mtime_ns
    shutil.copytree(records, tmp_path / "copy", copy_function=shutil.copyfile)
    for folder in (tmp_path / "copy", records):
        assert _prepare(folder, data) == before
    assert (before.builder_dir / "dataset_info.json").stat().st_mtime_ns == stamp


def test_a_record_that_was_repaired_at_equal_size_is_taken(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 12), tmp_path / "data"
    broken = write_record(records, "X1", np.full((12, 500), -32768, np.int16)).with_suffix(".mat")
    assert _prepare(records, data).num_skipped == 1
    time.sleep(0.02)
    write_record(records, "X1", SIGNAL)
    assert broken.is_file()
    repaired = _prepare(records, data)
    assert (repaired.num_records, repaired.num_skipped) == (13, 0)


def test_data_that_were_damaged_are_found_when_they_are_opened(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 20), tmp_path / "data"
    prepared = _prepare(records, data)
    assert _prepare(records, data) == prepared
    shard = max(prepared.builder_dir.glob("*.tfrecord-*"), key=lambda path: path.stat().st_size)
    content = shard.read_bytes()
    for damaged in (
        content[:20_000] + bytes(2000) + content[22_000:],
        content[:-7],
        content[: len(content) // 2],
    ):
        shard.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=f"{shard.name} is damaged .*prepare the records again"
        ):
            _prepare(records, data)
    shard.unlink()
    with pytest.raises(ValueError, match=f"{shard.name} is damaged .No such file"):
        _prepare(records, data)
    shard.write_bytes(content)
    assert _prepare(records, data) == prepared


def test_whole_data_are_read_once_and_then_known(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 10), tmp_path / "data"
    prepared = _prepare(records, data)
    _prepare(records, data)
    known = prepared.builder_dir / "checked.json"
    assert len(json.loads(known.read_text())) == 10
    stamp = known.stat().st_mtime_ns
    _prepare(records, data)
    assert known.stat().st_mtime_ns == stamp


def test_a_record_that_changes_between_planning_and_writing_is_noticed(tmp_path: Path) -> None:
    records = write_challenge(tmp_path / "records", 12)
    plan = make_plan(survey(records))
    planned = [record for fold in plan.folds for record in fold]
    signals, diagnoses, lost = planned[:3]
    _overwrite(signals.path.with_suffix(".mat"))
    diagnoses.path.write_text(
        diagnoses.path.read_text().replace("#Dx: ", "#Dx: 426783006,164889003,")
    )
    lost.path.unlink()
    results = [make_example((record, 500.0, None)) for record in planned]
    assert [isinstance(result, RecordError) for result in results] == [True] * 3 + [False] * 9
    assert "changed while the data set was built" in results[0].reason
    assert "changed while the data set was built" in results[1].reason
    assert results[2].path == lost.path and "can't be read" in results[2].reason


# Each is a record whose reading or preparation goes wrong in another way.
def _missing_signal(header: Path) -> None:
    header.with_suffix(".mat").unlink()


def _signal_elsewhere(header: Path) -> None:
    header.write_text(header.read_text().replace("bad.mat", "/dev/zero"))


def _signal_is_a_pipe(header: Path) -> None:
    header.with_suffix(".mat").unlink()
    os.mkfifo(header.with_suffix(".mat"))


def _header_is_a_pipe(header: Path) -> None:
    header.unlink()
    os.mkfifo(header)


def _dangling(header: Path) -> None:
    header.unlink()
    header.symlink_to("nowhere")


def _web_page(header: Path) -> None:
    header.with_suffix(".mat").write_text("<html>404</html>" * 1000)


def _huge(header: Path) -> None:
    header.write_text(header.read_text().replace(" 500 500", f" 500 {10**17}"))


def _name_with_nul(header: Path) -> None:
    header.write_text(header.read_text().replace("bad.mat", "b\0d.mat"))


def _long_number(header: Path) -> None:
    header.write_text(header.read_text().replace("1000/mV", f"{'9' * 5000}/mV"))


BAD = [_missing_signal, _signal_elsewhere, _signal_is_a_pipe, _header_is_a_pipe, _dangling]
BAD += [_web_page, _huge, _name_with_nul, _long_number]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedDataset]:
    folder = tmp_path_factory.mktemp("good")
    records = write_challenge(folder / "records", 12)
    return records, _prepare(records, folder / "data")


@pytest.mark.parametrize("spoil", BAD)
def test_a_bad_record_is_listed_under_its_own_name_and_changes_nothing_of_the_others(
    spoil, good: tuple[Path, PreparedDataset], tmp_path: Path
) -> None:
    records = tmp_path / "records"
    shutil.copytree(good[0], records)
    spoil(write_record(records / "odd", "bad", SIGNAL))
    prepared = _prepare(records, tmp_path / "data")
    listed = _listed(prepared)
    assert list(listed) == ["odd/bad"] and all(listed["odd/bad"])
    assert _content(prepared) == _content(good[1])


def test_a_record_that_cannot_be_written_has_no_part_in_the_build(
    good: tuple[Path, PreparedDataset], tmp_path: Path
) -> None:
    # It can be read; resampled to 500 Hz it would be longer than any record is.
    records = tmp_path / "records"
    shutil.copytree(good[0], records)
    signal = np.random.default_rng(1).integers(-99, 99, (12, 9_000_000), np.int16)
    write_record(records / "odd", "long", signal, rate=250)
    prepared = _prepare(records, tmp_path / "data")
    assert list(_listed(prepared)) == ["odd/long"]
    assert _content(prepared) == _content(good[1])


def test_a_record_that_ends_its_worker_is_listed_and_stops_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = write_challenge(tmp_path / "records", 220)
    # A limit on memory that the workers inherit, and a signal beyond it.
    signal = np.zeros((12, 1), np.int16)
    header = write_record(records / "odd", "vast", signal)
    size = 24 * 10**8
    with header.with_suffix(".mat").open("r+b") as file:
        file.truncate(24 + size)
    header.write_text(header.read_text().replace(" 500 1\n", f" 500 {size // 24}\n"))
    command = [sys.executable, "-m", "tfds_physionet.prepare", f"--records={records}"]
    done = subprocess.run(
        [*command, f"--data_dir={tmp_path / 'data'}", "--workers=2"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (2 * 10**9, 2 * 10**9)),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "220 records, 1 skipped" in done.stdout


def test_records_with_remarks_are_used_and_the_remarks_listed(tmp_path: Path) -> None:
    records = write_challenge(tmp_path / "records", 12)
    header = write_record(records / "odd", "X1", SIGNAL)
    header.write_text(header.read_text().replace(" 0 0 0 0 I\n", " 0 0 12345 0 I\n"))
    prepared = _prepare(records, tmp_path / "data")
    assert (prepared.num_records, prepared.num_skipped, prepared.num_remarks) == (13, 0, 1)
    assert _listed(prepared)["odd/X1"][0] == "remark"
    strict = _prepare(records, tmp_path / "data", strict=True)
    assert (strict.num_records, strict.num_skipped) == (12, 1)
    assert "checksum" in _listed(strict)["odd/X1"][1]


def test_diagnoses_that_were_not_understood_are_counted_and_shown(tmp_path: Path) -> None:
    records = write_challenge(tmp_path / "records", 12)
    for number in range(3):
        write_record(records, f"X{number}", SIGNAL + number, codes=["NORM", "SR", "426783006"])
    prepared = _prepare(records, tmp_path / "data")
    said = " ".join(prepared.notes)
    assert "3 records name diagnoses that are no SNOMED code: NORM, SR" in said
    report = json.loads((prepared.builder_dir / "folds.json").read_text())
    assert report["unread_diagnoses"] == {"records": 3, "examples": {"NORM": 3, "SR": 3}}
    assert "patients unknown of 15 of 15 records" in said
