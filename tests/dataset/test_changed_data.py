"""Signals that changed, and prepared data that were damaged, are noticed."""

import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from builds import build
from challenge_files import write_challenge, write_record

from tfds_physionet.building.build_plan import make_example, make_plan
from tfds_physionet.building.records_table import read_table
from tfds_physionet.building.survey import survey
from tfds_physionet.errors import RecordError

SIGNAL = np.random.default_rng(7).normal(0, 100, (12, 500)).astype(np.int16)


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
    before = build(records, data)
    changed = min(records.rglob("*.mat"))
    time.sleep(0.02)  # longer than a tick of the file system's clock
    _overwrite(changed, keep_time=keep_time)
    after = build(records, data, progress=True)
    said = capsys.readouterr().err
    assert f"1 records have other signals than when {before.builder_dir}" in said
    assert changed.stem in said and "built anew" in said
    assert after.fingerprint == before.fingerprint and after.builder_dir != before.builder_dir
    old, new = (read_table(built.builder_dir / "records.csv") for built in (before, after))
    hashes = [dict(zip(t.record_id, t.signal_hash, strict=True)) for t in (old, new)]
    assert {name for name in hashes[0] if hashes[0][name] != hashes[1][name]} == {changed.stem}
    assert (data / "physionet2021").resolve() == after.data_dir / "physionet2021"
    assert build(records, data) == after


def test_signals_that_were_only_touched_or_copied_are_not_built_anew(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 12), tmp_path / "data"
    before = build(records, data)
    stamp = (before.builder_dir / "dataset_info.json").stat().st_mtime_ns
    shutil.copytree(records, tmp_path / "copy", copy_function=shutil.copyfile)
    for folder in (tmp_path / "copy", records):
        assert build(folder, data) == before
    assert (before.builder_dir / "dataset_info.json").stat().st_mtime_ns == stamp


def test_a_record_that_was_repaired_at_equal_size_is_taken(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 12), tmp_path / "data"
    broken = write_record(records, "X1", np.full((12, 500), -32768, np.int16)).with_suffix(".mat")
    assert build(records, data).num_skipped == 1
    time.sleep(0.02)
    write_record(records, "X1", SIGNAL)
    assert broken.is_file()
    repaired = build(records, data)
    assert (repaired.num_records, repaired.num_skipped) == (13, 0)


def test_data_that_were_damaged_are_found_when_they_are_opened(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 20), tmp_path / "data"
    prepared = build(records, data)
    assert build(records, data) == prepared
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
            build(records, data)
    shard.unlink()
    with pytest.raises(ValueError, match=f"{shard.name} is damaged .No such file"):
        build(records, data)
    shard.write_bytes(content)
    assert build(records, data) == prepared


def test_whole_data_are_read_once_and_then_known(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 10), tmp_path / "data"
    prepared = build(records, data)
    build(records, data)
    known = prepared.builder_dir / "checked.json"
    assert len(json.loads(known.read_text())) == 10
    stamp = known.stat().st_mtime_ns
    build(records, data)
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
