"""The table of the records beside a build says what the build holds."""

import numpy as np
import pytest
import tensorflow_datasets as tfds
from challenge_files import write_challenge

from tfds_physionet.building.build import prepare_dataset
from tfds_physionet.building.records_table import read_table
from tfds_physionet.building.shards import RecordReader


def test_the_table_beside_a_build_lists_each_record_as_it_is_stored(tmp_path):
    records = write_challenge(tmp_path / "records", 40)
    prepared = prepare_dataset(records, tmp_path / "data", workers=1, progress=False)
    table = read_table(prepared.builder_dir / "records.csv")
    builder = tfds.builder("physionet2021", data_dir=tmp_path / "data")
    row = 0
    with RecordReader(prepared.builder_dir) as reader:
        for fold in range(1, 11):
            for example in tfds.as_numpy(builder.as_dataset(split=f"fold_{fold}")):
                assert table.fold[row] == fold
                for name in ("record_id", "database", "patient_id", "signal_hash"):
                    assert getattr(table, name)[row] == example[name].decode()
                np.testing.assert_array_equal(table.labels[row], example["labels"])
                place = (table.file[row], table.offset[row], table.size[row])
                alone = builder.info.features.deserialize_example(reader.read(*place))
                assert alone["record_id"].numpy() == example["record_id"]
                np.testing.assert_array_equal(alone["signal"], example["signal"])
                row += 1
    assert row == len(table.record_id) == 40
    (prepared.builder_dir / "records.csv").unlink()
    with pytest.raises(FileNotFoundError, match="prepare it again"):
        read_table(prepared.builder_dir / "records.csv")


def test_the_table_tells_age_and_sex_and_one_of_an_earlier_version_neither(tmp_path):
    records = write_challenge(tmp_path / "records", 20)
    header = sorted(records.rglob("E*.hea"))[0]
    header.write_text(header.read_text().replace("Age: 60", "Age: 71").replace("Female", "Male"))
    prepared = prepare_dataset(records, tmp_path / "data", workers=1, progress=False)
    path = prepared.builder_dir / "records.csv"
    table = read_table(path)
    own = table.record_id == header.stem
    assert table.age[own] == 71 and table.sex[own] == "male"
    assert (table.age[~own] == 60).all() and (table.sex[~own] == "female").all()
    path.write_text("".join(f"{row.rsplit(',', 3)[0]}\n" for row in path.read_text().splitlines()))
    earlier = read_table(path)
    assert np.isnan(earlier.age).all() and (earlier.sex == "unknown").all()
    np.testing.assert_array_equal(earlier.size, table.size)
