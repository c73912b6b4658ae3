import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from challenge_files import write_challenge, write_record

from tfds_physionet.building.build import prepare_dataset
from tfds_physionet.building.build_plan import make_plan
from tfds_physionet.building.source_files import examine
from tfds_physionet.building.survey import survey
from tfds_physionet.prepare import main

SIGNAL = np.random.default_rng(7).normal(0, 100, (12, 500)).astype(np.int16)


def _fingerprint(records):
    return examine(records).fingerprint


def _files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_fingerprint_depends_on_the_records_and_not_on_where_they_lie(tmp_path):
    records = write_challenge(tmp_path / "a", 12)
    shutil.copytree(records, tmp_path / "b" / "c")
    (tmp_path / "b" / "c" / "notes.txt").write_text("not a record")
    first = _fingerprint(records)
    assert _fingerprint(tmp_path / "b" / "c") == first and len(first) == 16
    header = next(records.rglob("*.hea"))
    header.write_text(header.read_text().replace("#Age: 60", "#Age: 61"))
    second = _fingerprint(records)
    header.rename(header.with_stem("E99999"))
    third = _fingerprint(records)
    next(records.rglob("*.mat")).write_bytes(b"")
    assert len({first, second, third, _fingerprint(records)}) == 4


def test_the_build_is_the_same_whatever_the_number_of_workers(tmp_path):
    records = write_challenge(tmp_path / "records", 220)
    for workers in (1, 3):
        prepare_dataset(records, tmp_path / str(workers), workers=workers, progress=False)
    one, three = (_files(tmp_path / str(workers)) for workers in (1, 3))
    assert one.keys() == three.keys()
    for name in one:
        if not name.endswith("dataset_info.json"):  # holds the time of its making
            assert one[name] == three[name], name


def test_bad_records_are_skipped_counted_and_listed_with_their_reasons(tmp_path):
    records = write_challenge(tmp_path / "records", 12)
    write_record(records / "odd", "X1", SIGNAL).with_suffix(".mat").unlink()
    write_record(records / "odd", "X2", SIGNAL[:1], leads=["RESP"])
    prepared = prepare_dataset(records, tmp_path / "data", workers=1, progress=False)
    assert (prepared.num_records, prepared.num_skipped) == (12, 2)
    with open(prepared.skipped_path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["record"], row["field"]) for row in rows] == [
        ("odd/X1", "signal file"),
        ("odd/X2", "leads"),
    ]
    assert "X1.mat: can't be read (No such file" in rows[0]["reason"]
    assert "RESP" in rows[1]["reason"]


@pytest.mark.parametrize("count, duplicates", [(9, 0), (0, 20)])
def test_too_few_records_are_a_clear_error_and_leave_nothing(tmp_path, count, duplicates):
    records = write_challenge(tmp_path / "records", count)
    for number in range(duplicates):  # one signal under many names belongs into one fold
        write_record(records, f"X{number}", SIGNAL)
    with pytest.raises(ValueError, match="ten folds need at least ten|nothing is left for fold"):
        prepare_dataset(records, tmp_path / "data", workers=1, progress=False)
    assert not (tmp_path / "data").exists()


def test_duplicates_and_patients_stay_in_one_fold(tmp_path):
    records = write_challenge(tmp_path / "records", 30)
    for number in range(6):
        write_record(records, f"X{number}", SIGNAL)
        rng = np.random.default_rng(number)
        write_record(records, f"HR{number + 1:05d}", rng.integers(0, 99, (12, 90), np.int16))
    patients = tmp_path / "ptbxl_database.csv"
    rows = [f"{number + 1},{15709.0 + number // 3},{number + 1}" for number in range(6)]
    patients.write_text("\n".join(["ecg_id,patient_id,strat_fold", *rows]) + "\n")
    folds = make_plan(survey(records), patients=patients).folds
    where = {record.record_id: fold for fold, part in enumerate(folds, 1) for record in part}
    assert len(where) == 42
    assert len({where[f"X{number}"] for number in range(6)}) == 1
    assert where["HR00001"] == where["HR00002"] == where["HR00003"]
    assert where["HR00004"] == where["HR00005"] == where["HR00006"]
    published = make_plan(survey(records), patients=patients, published_folds=True).folds
    assert {"HR00001", "HR00004"} <= {r.record_id for f in (1, 4) for r in published[f - 1]}


def test_sources_are_mixed_within_a_fold(tmp_path):
    plan = make_plan(survey(write_challenge(tmp_path, 100)))
    names = [[record.record_id for record in fold] for fold in plan.folds]
    assert all(fold != sorted(fold) for fold in names)
    shutil.move(tmp_path / "training" / "ptb", tmp_path / "training" / "aaa")
    moved = make_plan(survey(tmp_path))
    assert [[record.record_id for record in fold] for fold in moved.folds] == names


def _start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "tfds_physionet.prepare", *map(str, arguments)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )


def _workers_of(parent):
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def _wait(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_build_leaves_no_worker_and_nothing_half_built(tmp_path, how):
    records = write_challenge(tmp_path / "records", 300)
    data = tmp_path / "data"
    process = _start(f"--records={records}", f"--data_dir={data}", "--workers=2")
    _wait(lambda: len(_workers_of(process.pid)) == 2)
    workers = _workers_of(process.pid)
    process.send_signal(how)
    message = process.communicate(timeout=60)[1].decode()
    _wait(lambda: not any(Path(f"/proc/{worker}/stat").exists() for worker in workers))
    assert process.returncode == (-9 if how == signal.SIGKILL else 130)
    assert "Traceback" not in message
    assert not (data / "physionet2021").exists()
    if how != signal.SIGKILL:
        assert not data.exists()
        return
    prepared = prepare_dataset(records, data, workers=1, progress=False)  # not hindered by that
    assert sorted(data.iterdir()) == [data / "physionet2021", prepared.data_dir]
    assert [path.name for path in prepared.data_dir.iterdir()] == ["physionet2021"]


def test_the_command_tells_what_it_did_and_what_is_wrong(tmp_path, capsys):
    records = write_challenge(tmp_path / "records", 10)
    assert main([f"--records={records}", f"--data_dir={tmp_path}/data", "--config=100hz"]) == 0
    assert "100hz/1.0.0: 10 records\n" in capsys.readouterr().out
    assert main([f"--records={tmp_path}/none", f"--data_dir={tmp_path}/data"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error:") and f"{tmp_path}/none" in error
    for arguments in ([], [f"--data_dir={tmp_path}"], ["--config=1hz", "--data_dir=x"]):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2


def test_a_reader_who_has_seen_enough_ends_nothing(tmp_path):
    records = write_challenge(tmp_path / "records", 10)
    command = [sys.executable, "-m", "tfds_physionet.prepare", f"--records={records}"]
    command += [f"--data_dir={tmp_path / 'data'}", "--config=all", "--workers=1"]
    reads, writes = os.pipe()
    os.close(reads)
    done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writes)
    assert done.returncode == 0 and "error" not in done.stderr, done.stderr
    assert len(list((tmp_path / "data" / "physionet2021").glob("*/1.0.0/records.csv"))) == 4
