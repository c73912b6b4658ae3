"""The same recording in several formats gets the same scores from the command that predicts."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from wfdb_files import write_wfdb

from benchmarks import ecg_files
from configs import quickstart
from resunet_lc_jax.predict import predict
from resunet_lc_jax.runs.config import load_config
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.formats.facts import Facts
from tfds_physionet.leads import STANDARD_LEADS

SIGNAL = np.cumsum(np.random.default_rng(1).integers(-30, 31, (12, 2500)), axis=1).astype(np.int16)


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, str]]]:
    """The rows of predictions.csv and errors.csv by record."""
    folder = tmp_path_factory.mktemp("formats")
    run = folder / "one"
    shutil.copytree(Path(__file__).parents[1] / "old_runs" / "one", run)
    source = folder / "in"
    write_wfdb(
        source,
        SIGNAL.T.astype("<i2").tobytes(),
        name="w",
        file="w.dat",
        record_line="w 12 500 2500",
    )
    for name, write in ecg_files.CLINICAL.items():
        (source / name).write_bytes(write(SIGNAL, STANDARD_LEADS, 500))
    arrays = ecg_files.array_files(SIGNAL, STANDARD_LEADS, 500)
    for number, (name, data) in enumerate(arrays.items()):
        if name != "a.json":  # each by itself, so that no sidecar tells of it
            (source / f"array{number}").mkdir()
            (source / f"array{number}" / name).write_bytes(data)
    np.save(source / "many.npy", np.stack([SIGNAL / 1000] * 2))
    (source / "bad.dcm").write_bytes(b"no DICOM")
    config = load_config(run, quickstart.get_config())
    config.compilation_cache = "off"
    facts = Facts(leads=STANDARD_LEADS, rate=500.0, unit="mV")
    assert predict(config, run, source, folder / "out", facts=facts) == 0
    tables = {}
    for name in ("predictions", "errors"):
        with (folder / "out" / f"{name}.csv").open(newline="") as file:
            tables[name] = {row["record"]: row for row in csv.DictReader(file)}
    assert (folder / "out" / "many" / "1.csv").is_file()
    return tables


def test_scores_are_the_same_in_every_format(predicted: dict) -> None:
    rows = predicted["predictions"]
    assert len(rows) == 1 + len(ecg_files.CLINICAL) + 5 + 2
    scores = {record: [float(row[name]) for name in CLASS_NAMES] for record, row in rows.items()}
    for record, found in scores.items():
        np.testing.assert_allclose(found, scores["w"], rtol=0, atol=1e-5, err_msg=record)


def test_one_bad_file_is_listed_and_stops_no_other(predicted: dict) -> None:
    assert list(predicted["errors"]) == ["bad"]
    assert predicted["errors"]["bad"]["field"] == "file"
