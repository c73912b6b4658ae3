"""A config's records are prepared once, found again, and refused where they can't serve."""

import os
from pathlib import Path

import numpy as np
import pytest
from challenge_files import write_challenge, write_record

from configs import default
from resunet_lc_jax.data.sources import Records, open_records
from resunet_lc_jax.runs import settings
from tfds_physionet.prepare import main


def _open(records: Path, data_dir: Path) -> Records:
    config = default.get_config()
    config.data.records, config.data.data_dir = str(records), str(data_dir)
    config.data.workers = 1
    return open_records(settings.source(config), settings.split_rules(config))


def test_training_takes_what_the_prepare_command_has_built(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 20), tmp_path / "data"
    assert main([f"--records={records}", f"--data_dir={data}", "--workers=1"]) == 0
    opened = _open(records, data)
    built = [where for where, _, names in os.walk(data) if "records.csv" in names]
    assert built == [str(opened.folder)]
    assert any("patients unknown of 20 of 20 records" in note for note in opened.notes)


def test_records_without_any_label_are_not_trained_on(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(12):
        signal = rng.normal(0, 100, (12, 500)).astype(np.int16)
        write_record(tmp_path / "records", f"X{number}", signal, codes=["NORM"])
    with pytest.raises(ValueError, match="none of the 12 records has one of the 26 diagnoses"):
        _open(tmp_path / "records", tmp_path / "data")


def test_prepared_records_that_were_damaged_are_not_trained_on(tmp_path: Path) -> None:
    records, data = write_challenge(tmp_path / "records", 20), tmp_path / "data"
    opened = _open(records, data)
    shard = min(opened.folder.glob("*.tfrecord-*"))
    content = bytearray(shard.read_bytes())
    content[5000:7000] = bytes(2000)
    shard.write_bytes(content)
    with pytest.raises(ValueError, match=f"{shard.name} is damaged"):
        _open(records, data)
