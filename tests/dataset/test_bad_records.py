"""Whatever happens to a record, the others are built as without it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from builds import build, content, listed
from challenge_files import write_challenge, write_record

from tfds_physionet.building.build import PreparedDataset
from tfds_physionet.building.build_plan import make_plan
from tfds_physionet.building.survey import survey
from tfds_physionet.pool import WorkerDied

SIGNAL = np.random.default_rng(7).normal(0, 100, (12, 500)).astype(np.int16)


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
    return records, build(records, folder / "data")


@pytest.mark.parametrize("spoil", BAD)
def test_a_bad_record_is_listed_under_its_own_name_and_changes_nothing_of_the_others(
    spoil, good: tuple[Path, PreparedDataset], tmp_path: Path
) -> None:
    records = tmp_path / "records"
    shutil.copytree(good[0], records)
    spoil(write_record(records / "odd", "bad", SIGNAL))
    prepared = build(records, tmp_path / "data")
    found = listed(prepared)
    assert list(found) == ["odd/bad"] and all(found["odd/bad"])
    assert content(prepared) == content(good[1])


def test_a_record_that_cannot_be_written_has_no_part_in_the_build(
    good: tuple[Path, PreparedDataset], tmp_path: Path
) -> None:
    # It can be read; resampled to 500 Hz it would be longer than any record is.
    records = tmp_path / "records"
    shutil.copytree(good[0], records)
    signal = np.random.default_rng(1).integers(-99, 99, (12, 9_000_000), np.int16)
    write_record(records / "odd", "long", signal, rate=250)
    prepared = build(records, tmp_path / "data")
    assert list(listed(prepared)) == ["odd/long"]
    assert content(prepared) == content(good[1])


_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from tfds_physionet.building.survey import survey
taken = Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]
limit = int(taken) * 1024 + 40_000_000
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
found = survey(Path(sys.argv[1]))
for record, sight in zip(found.found.records, found.seen):
    print(record.name, type(sight).__name__, getattr(sight, "reason", ""))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="limits memory as Linux does")
def test_a_record_that_takes_all_memory_stops_no_other(tmp_path: Path) -> None:
    write_record(tmp_path, "first", SIGNAL)
    header = write_record(tmp_path, "huge", SIGNAL)
    write_record(tmp_path, "last", SIGNAL)
    count = 4_000_000  # 96 MB
    text = header.read_text().replace(" 500 500", f" 500 {count}")
    header.write_text(text.replace("huge.mat 16+24", "huge.dat 16"))
    (tmp_path / "huge.dat").touch()
    os.truncate(tmp_path / "huge.dat", 24 * count)
    command = [sys.executable, "-c", _WITH_LITTLE_MEMORY, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and [line.split()[1] for line in lines] == [
        "Sight",
        "RecordError",
        "Sight",
    ], done.stderr
    assert "Unable to allocate" in lines[1] or "MemoryError" in lines[1]


def test_a_record_whose_worker_died_is_listed(tmp_path: Path) -> None:
    records = write_challenge(tmp_path, 12)
    read = []

    def deadly(function, items):
        for item in items:
            read.append(item)
            yield WorkerDied("it ended with status -11") if len(read) == 5 else function(item)

    plan = make_plan(survey(records, map_records=deadly))
    assert sum(map(len, plan.folds)) == 11
    [(name, _, reason)] = plan.skipped
    assert name == survey(records).found.records[4].name and "status -11" in reason


def test_records_with_remarks_are_used_and_the_remarks_listed(tmp_path: Path) -> None:
    records = write_challenge(tmp_path / "records", 12)
    header = write_record(records / "odd", "X1", SIGNAL)
    header.write_text(header.read_text().replace(" 0 0 0 0 I\n", " 0 0 12345 0 I\n"))
    prepared = build(records, tmp_path / "data")
    assert (prepared.num_records, prepared.num_skipped, prepared.num_remarks) == (13, 0, 1)
    assert listed(prepared)["odd/X1"][0] == "remark"
    strict = build(records, tmp_path / "data", strict=True)
    assert (strict.num_records, strict.num_skipped) == (12, 1)
    assert "checksum" in listed(strict)["odd/X1"][1]


def test_diagnoses_that_were_not_understood_are_counted_and_shown(tmp_path: Path) -> None:
    records = write_challenge(tmp_path / "records", 12)
    for number in range(3):
        write_record(records, f"X{number}", SIGNAL + number, codes=["NORM", "SR", "426783006"])
    prepared = build(records, tmp_path / "data")
    said = " ".join(prepared.notes)
    assert "3 records name diagnoses that are no SNOMED code: NORM, SR" in said
    report = json.loads((prepared.builder_dir / "folds.json").read_text())
    assert report["unread_diagnoses"] == {"records": 3, "examples": {"NORM": 3, "SR": 3}}
    assert "patients unknown of 15 of 15 records" in said
