import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from challenge_files import headers_below, write_challenge, write_record

from tfds_physionet.building.build import CONFIGS, prepare_dataset
from tfds_physionet.diagnoses import encode
from tfds_physionet.physionet2021.physionet2021_dataset_builder import Builder
from tfds_physionet.reading.records import read_record
from tfds_physionet.reading.signals import prepare

FOLDS = [f"fold_{number}" for number in range(1, 11)]


class Physionet2021Test(tfds.testing.DatasetBuilderTestCase):
    """TFDS's own checks, on dummy data that is written for them."""

    DATASET_CLASS = Builder
    SPLITS = dict.fromkeys(FOLDS, 1)
    BUILDER_CONFIG_NAMES_TO_TEST = ["500hz", "500hz_1-47hz"]

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.EXAMPLE_DIR = str(write_challenge(Path(folder.name), 10))
        super().setUpClass()


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return write_challenge(tmp_path_factory.mktemp("records"), 15)


def _read(data_dir, config):
    """All examples by record id, as a user reads them."""
    dataset = tfds.load(f"physionet2021/{config}", data_dir=str(data_dir), split="+".join(FOLDS))
    return {example["record_id"].decode(): example for example in dataset.as_numpy_iterator()}


@pytest.mark.parametrize("config", CONFIGS)
def test_examples_are_the_prepared_records(records, tmp_path, config):
    prepare_dataset(records, tmp_path, config=config, workers=1, progress=False)
    examples = _read(tmp_path, config)
    assert len(examples) == 15
    rate = float(config.split("hz")[0])
    for path in headers_below(records):
        record, example = read_record(path), examples[path.stem]
        prepared = prepare(
            record, sampling_rate=rate, band_hz=(1.0, 47.0) if "1-47" in config else None
        )
        for name in ("signal", "lead_mean", "lead_std", "lead_present"):
            np.testing.assert_array_equal(example[name], getattr(prepared, name))
        np.testing.assert_array_equal(example["labels"], encode(record.codes))
        assert example["signal"].shape == (12, 1.2 * rate)
        assert example["codes"].decode().split(",") == list(record.codes)
        assert example["original_sampling_rate"] == record.sampling_rate
        assert (example["age"], example["sex"], example["patient_id"].decode()) == (
            60,
            b"female",
            path.stem,
        )


def test_unknown_ages_and_missing_diagnoses_are_stored_as_such(tmp_path):
    records = write_challenge(tmp_path / "records", 10)
    signal = np.random.default_rng(1).normal(0, 100, (12, 500)).astype(np.int16)
    comments = "#Age: NaN\n#Sex: Unknown\n#Dx: NaN"
    write_record(records, "X1", signal, comments=comments)
    prepare_dataset(records, tmp_path / "data", workers=1, progress=False)
    example = _read(tmp_path / "data", "500hz")["X1"]
    assert np.isnan(example["age"]) and example["sex"] == b"unknown" and example["codes"] == b""
    assert not example["labels"].any()


def test_all_real_records_are_built(physionet2021, tmp_path):
    prepared = prepare_dataset(physionet2021, tmp_path, workers=2, progress=False)
    count = len(headers_below(physionet2021))
    assert (prepared.num_records, prepared.num_skipped) == (count, 0)
    examples = _read(tmp_path, "500hz")
    assert len(examples) == count
    assert {example["database"] for example in examples.values()} == {
        path.name.encode() for path in (physionet2021 / "training").iterdir()
    }


def test_a_plain_session_finds_the_data_set_without_importing_tensorflow_first():
    code = (
        "import tfds_physionet, sys; assert 'tensorflow' not in sys.modules; "
        "import tensorflow_datasets as tfds; print(tfds.builder_cls('physionet2021').name)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "physionet2021"
