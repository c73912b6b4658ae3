"""Prediction of folders with odd names and bad files: nothing stops the others or overwrites."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from challenge_files import write_record

from configs import quickstart
from resunet_lc_jax.measures.thresholds import Thresholds
from resunet_lc_jax.predict import predict
from resunet_lc_jax.runs import kept_thresholds
from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.runs.open_run import load_run
from resunet_lc_jax.score import load
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.reading.signals import STANDARD_LEADS

_ROWS = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("old") / "one"
    shutil.copytree(Path(__file__).parents[1] / "old_runs" / "one", folder)
    return folder


def _signal(seed: int, leads: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 200, (leads, 2500)).astype(np.int16)


def _predict(run: Path, folder: Path, output: Path, **options: bool) -> tuple[_ROWS, _ROWS]:
    """The rows of predictions.csv and of errors.csv by record."""
    config = load_config(run, quickstart.get_config())
    config.compilation_cache = "off"
    predict(config, run, folder, output, **options)
    tables = []
    for name in ("predictions.csv", "errors.csv"):
        with (output / name).open(newline="", errors="surrogateescape") as file:
            tables.append({row["record"]: row for row in csv.DictReader(file)})
    return tables[0], tables[1]


def test_records_with_odd_names_each_have_a_file_and_a_row(run: Path, tmp_path: Path) -> None:
    names = ["1.2.840.1", "1.2.840.2", "predictions", "errors", "n" * 251, "plain"]
    for number, name in enumerate(names):
        header = write_record(tmp_path / "in", f"r{number}", _signal(number))
        header.rename(header.with_name(f"{name}.hea"))
    found, errors = _predict(run, tmp_path / "in", tmp_path / "out")
    assert set(found) == set(names) and not errors
    for name in ("1.2.840.1", "1.2.840.2", "n" * 251, "plain", "predictions.record"):
        assert (tmp_path / "out" / f"{name}.csv").is_file()
    for name in ("predictions", "errors"):
        shutil.rmtree(tmp_path / "out" / f"{name}.csv", ignore_errors=True)
        (tmp_path / "in" / f"{name}.hea").unlink()
    assert load(tmp_path / "in", tmp_path / "out").labels.shape == (4, 26)


def test_a_record_beside_a_folder_that_has_its_files_name_is_written(
    run: Path, tmp_path: Path
) -> None:
    for number, name in enumerate(("x", "x.csv/y", "free.csv/y")):
        place = tmp_path / "in" / name
        write_record(place.parent, place.name, _signal(number))
    for _ in range(2):  # what the first leaves goes before the second
        found, errors = _predict(run, tmp_path / "in", tmp_path / "out")
        assert set(found) == {"x", "x.csv/y", "free.csv/y"} and not errors
        for name in ("x.record.csv", "x.csv/y.csv", "free.csv/y.csv"):
            assert (tmp_path / "out" / name).is_file()
    shutil.rmtree(tmp_path / "in" / "x.csv")
    _predict(run, tmp_path / "in", tmp_path / "out")
    assert (tmp_path / "out" / "x.csv").is_file()
    assert not (tmp_path / "out" / "x.record.csv").exists()


def test_bad_records_are_listed_under_their_names_and_leave_the_good_ones_as_they_are(
    run: Path, tmp_path: Path
) -> None:
    good = write_record(tmp_path / "good", "good", _signal(0))
    _predict(run, good.parent, tmp_path / "alone")
    folder = tmp_path / "in"
    shutil.copytree(good.parent, folder)
    bad = {
        name: write_record(folder, name, _signal(1)).with_suffix(".mat")
        for name in ("page", "gone", "pipe", "far", "zeros")
    }
    bad["page"].write_text("<!DOCTYPE html><html>404</html>")
    bad["gone"].unlink()
    bad["gone"].symlink_to(tmp_path / "nowhere")
    bad["pipe"].unlink()
    os.mkfifo(bad["pipe"])
    header = bad["far"].with_suffix(".hea")
    header.write_text(header.read_text().replace("far.mat", "/dev/zero"))
    bad["zeros"].write_bytes(b"")
    found, errors = _predict(run, folder, tmp_path / "out")
    assert set(found) == {"good"} and set(errors) == set(bad)
    assert all(row["reason"] and row["field"] for row in errors.values())
    assert (tmp_path / "out/good.csv").read_bytes() == (tmp_path / "alone/good.csv").read_bytes()


def test_a_name_that_is_no_utf8_is_predicted(run: Path, tmp_path: Path) -> None:
    header = write_record(tmp_path / "in", "plain", _signal(0))
    os.rename(header, os.fsencode(header.parent) + b"/caf\xe9.hea")
    found, _ = _predict(run, tmp_path / "in", tmp_path / "out")
    assert len(found) == 1
    assert len(list((tmp_path / "out").glob("*.csv"))) == 3


def test_leads_that_were_missing_or_derived_are_named(run: Path, tmp_path: Path) -> None:
    write_record(tmp_path / "in", "two", _signal(0, 2), leads=("I", "II"))
    write_record(tmp_path / "in", "all", _signal(1))
    found, _ = _predict(run, tmp_path / "in", tmp_path / "out")
    assert found["two"]["leads_derived"] == "III|aVR|aVL|aVF"
    assert found["two"]["leads_missing"] == "|".join(STANDARD_LEADS[6:])
    assert found["all"]["leads_derived"] == found["all"]["leads_missing"] == ""


_MEMORY = """
import resource, sys
from resunet_lc_jax.cli import main, parse_flags
status = main(parse_flags(sys.argv))
print(status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
"""


@pytest.mark.slow
def test_a_day_of_twelve_leads_is_predicted_in_two_gigabytes(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((tmp_path / "run/config.json").read_text())
    config["data"] |= {"variant": "500hz", "length": 4096}
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    write_record(tmp_path / "in", "other", _signal(1))
    header, length = write_record(tmp_path / "in", "day", _signal(0)), 24 * 3600 * 500
    text = header.read_text().replace(" 500 2500", f" 500 {length}")
    header.write_text(text.replace("day.mat 16+24", "day.dat 16"))
    (tmp_path / "in/day.dat").write_bytes(_signal(0).T.tobytes())
    os.truncate(tmp_path / "in/day.dat", 24 * length)  # a hole after the first samples
    flags = ["--mode=predict", "--workdir=run", "--input=in", "--output=out"]
    command = [sys.executable, "-c", _MEMORY, *flags]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    status, used_gb = done.stdout.split()[-2:]
    assert status == "0" and float(used_gb) < 2
    with (tmp_path / "out/predictions.csv").open() as file:
        assert [row["record"] for row in csv.DictReader(file)] == ["day", "other"]


def test_checksums_that_do_not_match_are_a_remark_and_refuse_a_record_when_strict(
    run: Path, tmp_path: Path
) -> None:
    header = write_record(tmp_path / "in", "wrong", _signal(0))
    header.write_text(header.read_text().replace(" 16 0 0 0 0 ", " 16 0 0 12345 0 "))
    write_record(tmp_path / "in", "other", _signal(1))
    found, errors = _predict(run, tmp_path / "in", tmp_path / "out")
    assert "wrong" in found and errors["wrong"]["field"] == "remark"
    found, errors = _predict(run, tmp_path / "in", tmp_path / "strict", strict=True)
    assert "wrong" not in found and errors["wrong"]["field"] != "remark"


def _files(output: Path) -> dict[str, bytes]:
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file()
    }


def test_a_second_prediction_takes_away_what_is_no_longer_true(run: Path, tmp_path: Path) -> None:
    for name, folder in (("one", "in/a"), ("two", "in/b"), ("three", "other")):
        write_record(tmp_path / folder, name, _signal(len(name)))
    output = tmp_path / "out"
    _predict(run, tmp_path / "in", output)
    (output / "mine.csv").write_text("mine")
    left = output / "a" / ".0123abcd.77.csv"
    left.write_text("half of a fi")
    found, _ = _predict(run, tmp_path / "other", output)
    assert set(found) == {"three"}
    names = {"three.csv", "predictions.csv", "errors.csv", "prediction.json", "mine.csv"}
    assert set(_files(output)) == names and not (output / "b").exists()


def test_a_prediction_says_what_made_it_and_no_path(run: Path, tmp_path: Path) -> None:
    write_record(tmp_path / "in", "one", _signal(0))
    _predict(run, tmp_path / "in", tmp_path / "out")
    files = _files(tmp_path / "out")
    about = json.loads(files["prediction.json"])
    assert about["complete"] and about["run"] == "one" and about["network"] == "res1d_maxpool"
    assert about["step"] == 12 and len(about["checkpoint"]) == 32
    (note,) = about["notes"]
    assert about["thresholds"] == "f1" and "is of an earlier version" in note
    assert not [name for name, content in files.items() if os.fsencode(tmp_path) in content]


# The journal of five records or so is larger than a file may get.
_KILLED = """
import resource, signal, sys
from pathlib import Path
from configs import quickstart
from resunet_lc_jax.predict import predict
from resunet_lc_jax.runs.config import load_config

config = load_config(Path(sys.argv[1]), quickstart.get_config())
config.compilation_cache = "off"
config.eval.batch_size = 2
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_FSIZE, (3500, 3500))
predict(config, *map(Path, sys.argv[1:]))
"""


def test_a_prediction_that_was_killed_goes_on_and_ends_as_the_one_that_was_not(
    run: Path, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    folder = tmp_path / "in"
    for number in range(9):
        leads = STANDARD_LEADS[: 2 if number == 8 else 12]
        where = folder / f"g{number % 2}"
        write_record(where, f"r{number}", _signal(number, len(leads)), leads=leads)
    (folder / "g1" / "r3.mat").write_bytes(b"")
    _predict(run, folder, tmp_path / "whole")
    command = [sys.executable, "-c", _KILLED, run, folder, tmp_path / "out"]
    # A compiled program that were kept would be the first file that is too large.
    alone = os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    killed = subprocess.run(command, cwd=repository, env=alone, check=False)
    assert killed.returncode == -signal.SIGXFSZ
    assert not (tmp_path / "out" / "predictions.csv").exists()
    assert json.loads((tmp_path / "out" / "prediction.json").read_text())["complete"] is False
    capsys.readouterr()
    found, errors = _predict(run, folder, tmp_path / "out")
    said = capsys.readouterr().out
    assert "records were scored before; the others follow" in said
    assert list(found) == [f"g{n % 2}/r{n}" for n in (0, 2, 4, 6, 8, 1, 5, 7)]
    assert list(errors) == ["g1/r3"]
    whole, again = _files(tmp_path / "whole"), _files(tmp_path / "out")
    assert whole.keys() == again.keys()
    exact = {name for name in whole if whole[name] == again[name]}
    assert {"errors.csv", "prediction.json", "g0/r0.csv"} <= exact
    tables = [files["predictions.csv"].decode().splitlines() for files in (whole, again)]
    rows = [np.array([line.split(",") for line in table]) for table in tables]
    np.testing.assert_array_equal(rows[0][:, :5], rows[1][:, :5])
    # The batches hold other neighbours, so sums may differ in the last bits.
    scores = [table[1:, 5:].astype(float) for table in rows]
    np.testing.assert_allclose(*scores, atol=1e-6)


def test_records_that_lack_leads_are_decided_at_their_lead_sets_thresholds(
    run: Path, tmp_path: Path
) -> None:
    own = Path(shutil.copytree(run, tmp_path / "own"))
    opened = load_run(own, load_config(own, quickstart.get_config()))
    kept_thresholds.keep_by_leads(own, {6: Thresholds(np.zeros(26), "f1")}, opened.checkpoint)
    write_record(tmp_path / "in", "two", _signal(0, 2), leads=("I", "II"))
    write_record(tmp_path / "in", "all", _signal(1))
    found, _ = _predict(own, tmp_path / "in", tmp_path / "out")
    assert found["two"]["diagnoses"] == "|".join(CLASS_NAMES) != found["all"]["diagnoses"]
