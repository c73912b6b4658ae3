"""The table of the records beside a build says what the build holds."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from challenge_files import write_challenge

from tfds_physionet.building.build import prepare_dataset
from tfds_physionet.building.examples import ordered, split_signal
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


def test_a_signal_is_found_wherever_it_stands_in_an_example():
    def example(*names: str) -> bytes:
        values = {"signal": signal, "codes": b"1|2" * 5, "signal_hash": b"f" * 32}
        entries = b"".join(
            tf.train.Features(
                feature={name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))}
            ).SerializeToString()
            for name, value in values.items()
            if name in names
        )
        return tf.train.Example(features=tf.train.Features.FromString(entries)).SerializeToString()

    def parsed(data: bytes) -> dict:
        feature = tf.train.Example.FromString(data).features.feature
        return {name: feature[name].bytes_list.value[0] for name in feature}

    for signal in (b"", b"ab" * 12, bytes(range(240)) * 1000):
        whole = example("signal", "codes", "signal_hash")
        for data in (whole, ordered(whole)):
            others, start, length = split_signal(data, len(data))
            assert data[start : start + length] == signal
            assert parsed(others) == parsed(example("codes", "signal_hash"))
        if len(signal) > 1000:
            assert split_signal(ordered(whole)[:200], len(whole)) == (others, start, length)
            assert split_signal(ordered(whole)[: start - 2], len(whole)) is None
    without = example("codes")
    assert split_signal(without, len(without)) is None
    assert split_signal(b"\xff" * 100, 100) is None


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
