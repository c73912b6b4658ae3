"""Prediction of folders with odd names and bad files: nothing stops the others or overwrites."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from challenge_files import write_record

from configs import quickstart
from resunet_lc_jax.predict import predict
from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.score import load
from tfds_physionet.signals import STANDARD_LEADS

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
