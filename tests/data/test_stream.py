"""The stream of training batches and the reading of whole records."""

import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from resunet_lc_jax.data import stream
from resunet_lc_jax.data.leads import standard_rows
from resunet_lc_jax.data.selection import Split
from resunet_lc_jax.data.sources import VARIANTS, Records
from resunet_lc_jax.data.windows import Windowing
from tfds_physionet.reading.records import MISSING
from tfds_physionet.reading.signals import STANDARD_LEADS, z_score


@pytest.fixture(scope="module")
def train(records: Records) -> Split:
    return records.selection.split("train")


def _batches(
    records: Records,
    split: Split,
    *,
    start_step: int = 0,
    process: tuple[int, int] = (0, 1),
    **changes,
) -> Iterator[dict[str, np.ndarray]]:
    knobs = {
        "length": 512,
        "leads": STANDARD_LEADS,
        "pad": "right",
        "statistics": "record",
        "rule": "all",
        "batch_size": 16,
        "seed": 0,
    }
    windowing = Windowing(**(knobs | changes))
    return stream.training_batches(
        records, split, windowing, start_step=start_step, process=process
    )


def _equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def test_a_stream_started_at_any_step_gives_the_very_same_batches(records, train) -> None:
    steps_per_epoch = len(train) // 16
    whole = list(islice(_batches(records, train), 2 * steps_per_epoch + 2))
    for start in (1, steps_per_epoch - 1, steps_per_epoch, 2 * steps_per_epoch + 1):
        assert _equal(next(_batches(records, train, start_step=start)), whole[start])


def test_an_epoch_visits_each_record_once_in_its_own_order(records, train) -> None:
    steps_per_epoch = len(train) // 16
    batches = list(islice(_batches(records, train), 2 * steps_per_epoch))
    first = np.concatenate([b["record_id"] for b in batches[:steps_per_epoch]])
    second = np.concatenate([b["record_id"] for b in batches[steps_per_epoch:]])
    assert len(set(first)) == len(first) == 16 * steps_per_epoch
    assert len(set(second)) == len(second)
    assert (first != second).any()


def test_each_of_several_processes_reads_its_own_part_of_the_same_batches(records, train) -> None:
    whole = list(islice(_batches(records, train), 3))
    for process in range(4):
        parts = list(islice(_batches(records, train, process=(process, 4)), 3))
        rows = slice(4 * process, 4 * process + 4)
        for batch, part in zip(whole, parts, strict=True):
            for name in batch:
                np.testing.assert_array_equal(part[name], batch[name][rows], err_msg=name)


def test_another_seed_gives_another_order(records, train) -> None:
    a, b = next(_batches(records, train)), next(_batches(records, train, seed=1))
    assert (a["record_id"] != b["record_id"]).any()


def test_a_crop_is_a_piece_of_its_record_with_its_labels(records, train) -> None:
    signals = {name.encode(): signal for name, signal in stream.stored_signals(records, train)}
    labels = dict(zip(train.table.record_id.tolist(), train.table.labels, strict=True))
    batch = next(_batches(records, train, leads=("V2", "I")))
    starts = set()
    for row, name in enumerate(batch["record_id"]):
        prepared, crop = signals[name], batch["signal"][row]
        whole = prepared.signal[[7, 0]]
        (start,) = [
            s for s in range(whole.shape[1] - 511) if np.array_equal(whole[:, s : s + 512], crop)
        ]
        starts.add(start)
        np.testing.assert_array_equal(batch["labels"][row], labels[name.decode()])
        np.testing.assert_array_equal(batch["lead_mean"][row], prepared.lead_mean[[7, 0]])
    assert len(starts) > 8


def test_a_crop_stands_where_its_record_epoch_and_seed_say(records, train) -> None:
    signals = {name: s.signal for name, s in stream.stored_signals(records, train)}
    steps_per_epoch = len(train) // 16
    for epoch, batch in enumerate(
        islice(_batches(records, train, seed=5), 0, 2 * steps_per_epoch, steps_per_epoch)
    ):
        for name, crop in zip(batch["record_id"], batch["signal"], strict=True):
            places = signals[name.decode()].shape[1] - 512 + 1
            key = tf.constant(f"{epoch}/{name.decode()}")
            start = int(tf.strings.to_hash_bucket_strong(key, 2**62, [5, 0])) % places
            np.testing.assert_array_equal(crop, signals[name.decode()][:, start : start + 512])


def test_of_a_record_no_more_is_read_than_its_crop_and_what_comes_before(
    records, train, monkeypatch
) -> None:
    read: list[int] = []
    preadv = os.preadv

    def counted(file: int, buffers: list, offset: int) -> int:
        read.append(preadv(file, buffers, offset))
        return read[-1]

    monkeypatch.setattr(os, "preadv", counted)
    batches = _batches(records, train, batch_size=len(train), length=64, leads=("V2", "I"))
    next(batches)
    batches.close()
    crops = 2 * 64 * 2 * len(train)
    count = sum(read) / (crops + 1024 * len(train))
    assert count == round(count)  # whole batches: further ones are read ahead
    assert sum(read) / count < train.table.size.sum() / 10


@pytest.mark.slow
def test_a_stream_left_open_does_not_keep_python_from_ending(records, train) -> None:
    script = (
        "import pickle, sys; from resunet_lc_jax.data import stream;"
        "batches = stream.training_batches(*pickle.load(sys.stdin.buffer)); next(batches)"
    )
    knobs = (512, STANDARD_LEADS, "right", "record", "all", 16, 0)
    given = pickle.dumps((records, train, Windowing(*knobs)))
    done = subprocess.run(
        [sys.executable, "-c", script], input=given, capture_output=True, timeout=120
    )
    assert done.returncode == 0 and b"Exception" not in done.stderr, done.stderr


def test_a_short_record_is_padded_on_the_right(records, train) -> None:
    batch = next(_batches(records, train, length=1152))
    assert batch["signal"].shape == (16, 12, 1152)
    assert (batch["signal"][..., 1000:] == MISSING).all()
    assert (batch["signal"][..., :1000] != MISSING).all()


def test_stored_signals_are_z_scored_per_lead(records) -> None:
    _, signal = next(stream.stored_signals(records, records.selection.split("validation")))
    z = z_score(signal)
    np.testing.assert_allclose(z.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(axis=1), 1, atol=1e-4)


def test_each_fold_is_read_whole_and_once(records) -> None:
    whole = records.selection.split("all")
    names = [name for name, _ in stream.stored_signals(records, whole)]
    assert len(set(names)) == len(names) == len(whole) == 160


def test_leads_and_variants_are_known_by_name() -> None:
    assert standard_rows(["II", "V6"]).tolist() == [1, 11]
    assert VARIANTS["500hz_1-47hz"].band_hz == (1.0, 47.0)


def test_short_records_are_padded_on_the_left_where_that_is_asked_for(records, train) -> None:
    right, left = (
        next(_batches(records, train, length=1200, pad=pad)) for pad in ("right", "left")
    )
    signals = {name.encode(): signal for name, signal in stream.stored_signals(records, train)}
    for row, name in enumerate(left["record_id"]):
        signal = signals[name].signal
        missing = 1200 - signal.shape[1]
        assert missing > 0 and name == right["record_id"][row]
        np.testing.assert_array_equal(left["signal"][row][:, missing:], signal)
        np.testing.assert_array_equal(right["signal"][row][:, : signal.shape[1]], signal)
        assert (left["signal"][row][:, :missing] == MISSING).all()


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_streams_that_are_closed_leave_no_file_and_no_thread_behind(records, train) -> None:
    def use() -> tuple[int, int]:
        for _ in stream.stored_signals(records, records.selection.split("validation")):
            pass
        for batches in (_batches(records, train), stream.stored_signals(records, train)):
            next(batches)
            batches.close()
        return _open_files(), threading.active_count()

    before = use()
    assert [use() for _ in range(5)] == [before] * 5


@pytest.fixture
def moved(records: Records, tmp_path: Path) -> Records:
    """A copy of the records, whose files the test may break."""
    return replace(records, folder=Path(shutil.copytree(records.folder, tmp_path / "build")))


def _break(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how == "cut":
        path.write_bytes(content[:-100])
    elif how == "overwritten":
        path.write_bytes(bytes(255 for _ in content))


@pytest.mark.parametrize("how", ["missing", "a folder", "cut", "overwritten"])
def test_a_broken_file_ends_a_stream_with_a_sentence_that_names_it(
    how: str, moved: Records, train: Split
) -> None:
    file = train.table.file[0]
    _break(moved.folder / file, how)
    wanted = moved.folder if how == "overwritten" else moved.folder / file
    for stored in (
        _batches(moved, train, batch_size=len(train)),
        stream.stored_signals(moved, train),
    ):
        open_before = _open_files()
        with pytest.raises((OSError, ValueError), match="prepare the records") as caught:
            list(islice(stored, len(train)))
        assert str(caught.value).startswith(f"{wanted} ") and "\n" not in str(caught.value)
        assert _open_files() == open_before
