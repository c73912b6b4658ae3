"""From the files of a TFDS build to NumPy batches, through tf.data.

The only file that imports tensorflow. The training stream is a pure function of (seed, step): it
can start at any step and gives the very same bytes, without a saved iterator.
"""

import atexit
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import tensorflow as tf

from resunet_lc_jax.data.leads import standard_rows
from resunet_lc_jax.data.selection import Split
from resunet_lc_jax.data.sources import Records
from resunet_lc_jax.data.windows import Windowing, padding
from tfds_physionet.building.shards import RecordReader
from tfds_physionet.diagnoses import ANNOTATED, DATABASES, NUM_CLASSES
from tfds_physionet.reading.records import MISSING
from tfds_physionet.reading.signals import STANDARD_LEADS, PreparedSignal

# The features that are used here, as they are stored. TFDS's own deserialisation gives the same
# and all the others, at four times the cost.
_LEADS = {
    "record_id": tf.io.FixedLenFeature((), tf.string),
    "lead_mean": tf.io.FixedLenFeature((len(STANDARD_LEADS),), tf.float32),
    "lead_std": tf.io.FixedLenFeature((len(STANDARD_LEADS),), tf.float32),
    "lead_present": tf.io.FixedLenFeature((len(STANDARD_LEADS),), tf.int64),
}
_SIGNAL = {"signal": tf.io.FixedLenFeature((), tf.string)}
_LABELS = {
    "database": tf.io.FixedLenFeature((), tf.string),
    "labels": tf.io.FixedLenFeature((NUM_CLASSES,), tf.int64),
}

_Reading = Callable[[Callable, list[tf.Tensor], Any], Any]
"""Calls a function of a reader and arrays within a pipeline: see `_pulled`."""


def training_batches(
    records: Records,
    split: Split,
    windowing: Windowing,
    *,
    start_step: int = 0,
    process: tuple[int, int] = (0, 1),
) -> Generator[dict[str, np.ndarray]]:
    """Yields shuffled, randomly cropped batches, epoch after epoch, without end.

    Each epoch visits every record once, in its own order, and leaves out the last partial batch.
    Order and crops depend on (seed, epoch) and (seed, epoch, record).

    Args:
      records: Where they are.
      split: Which of them.
      windowing: Of the crops and batches.
      start_step: The step of the first batch that is yielded.
      process: (p, P): yield the p-th of P equal parts of each batch; nothing else is read.

    Yields:
      The arrays of `steps.Batch`, and record_id [B].

    Raises:
      OSError: A file can't be read.
      ValueError: A record is damaged.
    """
    batch_size, seed = windowing.batch_size, windowing.seed
    part = batch_size // process[1]
    first = process[0] * part
    steps_per_epoch = len(split) // batch_size
    rows_kept = standard_rows(windowing.leads)

    def steps() -> Iterator[tuple[np.ndarray, int]]:
        epoch, skipped = divmod(start_step, steps_per_epoch)
        while True:
            order = np.random.default_rng([seed, epoch]).permutation(len(split))
            order = order[: steps_per_epoch * batch_size].reshape(steps_per_epoch, batch_size)
            for rows in order[skipped:, first : first + part]:
                yield rows, epoch
            epoch, skipped = epoch + 1, 0

    table, names = split.table, np.char.encode(split.table.record_id, "utf-8")

    def crops(reader: RecordReader, rows: np.ndarray, drawn: np.ndarray) -> tuple:
        """The crops [B, L, T] of some rows, and their other features as serialised examples."""
        signal = np.empty((part, len(rows_kept), windowing.length), np.int16)
        places = zip(
            *(c[rows].tolist() for c in (table.file, table.offset, table.size)), strict=True
        )
        others = [
            _read_crop(crop, reader, place, number, rows_kept, windowing)
            for crop, place, number in zip(signal, places, drawn.tolist(), strict=True)
        ]
        return signal, np.array(others, dtype=object)

    # One pipeline for all epochs: the next one's first records are read while this one ends.
    def batches(reading: _Reading) -> tf.data.Dataset:
        def batch(rows: tf.Tensor, epoch: tf.Tensor) -> dict:
            keys = tf.strings.join([tf.strings.as_string(epoch), tf.gather(names, rows)], "/")
            drawn = tf.strings.to_hash_bucket_strong(keys, 2**62, [windowing.seed, 0])
            signal, others = reading(crops, [rows, drawn], (tf.int16, tf.string))
            signal = tf.ensure_shape(signal, (part, len(rows_kept), windowing.length))
            features = tf.io.parse_example(tf.ensure_shape(others, [part]), _LEADS | _LABELS)
            return _as_batch(features, signal, rows=rows_kept)

        return (
            tf.data.Dataset.from_generator(
                steps,
                output_signature=(tf.TensorSpec([part], tf.int64), tf.TensorSpec([], tf.int64)),
            )
            .map(batch, num_parallel_calls=2, deterministic=True)
            .prefetch(2)
        )

    with _closing(_pulled(records, batches)) as pulled:
        for batch in pulled:
            batch["index"] = np.arange(first, first + part, dtype=np.int32)
            batch["mask"] = np.ones(part, np.float32)
            yield batch


def stored_signals(
    records: Records, split: Split, *, process: tuple[int, int] = (0, 1)
) -> Generator[tuple[str, PreparedSignal]]:
    """Yields the name and the whole signal [12, n] of each record, in the split's order.

    Args:
      records: Where they are.
      split: Which of them.
      process: (p, P): yield every P-th record, from the p-th; nothing else is read.
    """
    rows, table = np.arange(len(split))[process[0] :: process[1]], split.table

    def whole(reader: RecordReader, row: np.ndarray) -> bytes:
        return reader.read(table.file[row], int(table.offset[row]), int(table.size[row]))

    def examples(reading: _Reading) -> tf.data.Dataset:
        def parsed(row: tf.Tensor) -> dict:
            example = tf.ensure_shape(reading(whole, [row], tf.string), [])
            return tf.io.parse_single_example(example, _LEADS | _SIGNAL)

        dataset = tf.data.Dataset.from_tensor_slices(rows)
        return dataset.map(parsed, num_parallel_calls=2, deterministic=True).prefetch(16)

    with _closing(_pulled(records, examples)) as pulled:
        for features in pulled:
            signal = np.frombuffer(features["signal"], np.int16).reshape(len(STANDARD_LEADS), -1)
            yield (
                features["record_id"].decode(),
                PreparedSignal(
                    signal=signal,
                    lead_mean=features["lead_mean"],
                    lead_std=features["lead_std"],
                    lead_present=features["lead_present"].astype(bool),
                    sampling_rate=records.sampling_rate,
                ),
            )


def _pulled(records: Records, dataset: Callable[[_Reading], tf.data.Dataset]) -> Generator[dict]:
    """Yields what comes out of a pipeline; once closed, its threads and files are, too.

    Each record is read from its place: an epoch is shuffled exactly, a run is taken up at any step
    without reading what came before, and a host reads what it trains on, nothing else.

    Args:
      records: Where they are.
      dataset: Makes the pipeline, given what calls a function of a reader and arrays in it, with
        the arrays' tensors and the types of its results.
    """
    failed = list[Exception]()

    def reading(function: Callable, inputs: list[tf.Tensor], types: Any) -> Any:
        def guarded(*arrays: np.ndarray) -> Any:
            try:
                return function(reader, *arrays)
            except OSError as error:
                failed.append(error)
                raise

        return tf.numpy_function(guarded, inputs, types)

    with RecordReader(records.folder) as reader:
        pulled = dataset(reading).as_numpy_iterator()
        try:
            yield from pulled
        except (tf.errors.OpError, UnicodeError):
            # TensorFlow wraps what `reading` raises in words of its own, and bytes that are no
            # example it shows, or fails to.
            folder = records.folder
            damaged = f"{folder} holds a damaged record; remove that folder and prepare the records"
            failed.append(ValueError(f"{damaged} again"))
        finally:
            del pulled  # waits for the reads under way: only then the files are closed
    if failed:
        raise failed[0]


@contextmanager
def _closing(pulled: Generator[dict]) -> Iterator[Generator[dict]]:
    """Closes a generator, at the latest when Python ends: then it would wait for reads for ever."""
    unregister = atexit.unregister  # a name that is gone when Python has ended
    atexit.register(pulled.close)
    try:
        yield pulled
    finally:
        pulled.close()
        unregister(pulled.close)


def _read_crop(
    crop: np.ndarray,
    reader: RecordReader,
    place: tuple[str, int, int],
    drawn: int,
    leads: np.ndarray,
    windowing: Windowing,
) -> bytes:
    """Fills a crop [L, T] with a window of a record, padded where there are fewer samples.

    Of the signal [12, n] no more is read than these samples of these leads.

    Args:
      crop: Is filled.
      reader: Of the files.
      place: File, offset and bytes of the record.
      drawn: Of the seed, the epoch and the record's name; says where the window starts.
      leads: Rows [L] of the signal.
      windowing: Of the crops.

    Returns:
      An example with the record's other features.
    """
    others, offset, samples = reader.find_signal(*place)
    length = windowing.length
    start = drawn % (max(samples - length, 0) + 1)
    width = min(samples, length)
    before, _ = padding(length - width, windowing.pad)
    if width < length:
        crop[:] = MISSING
    for lead, row in zip(leads.tolist(), crop, strict=True):
        first = offset + row.itemsize * (lead * samples + start)
        reader.read_into(place[0], first, row[before : before + width])
    return others


def _as_batch(features: Mapping, signal: tf.Tensor, *, rows: np.ndarray) -> dict:
    """The arrays of `steps.Batch`, and record_id, of crops and what belongs to them by rows."""
    source = tf.equal(DATABASES, features["database"][:, None])
    # A source that is not in the table is taken to give every class.
    annotated = tf.reduce_any(ANNOTATED & source[:, None], axis=-1)
    annotated |= ~tf.reduce_any(source, axis=1, keepdims=True)
    by_lead = {name: tf.gather(features[name], rows, axis=1) for name in ("lead_mean", "lead_std")}
    return by_lead | {
        "signal": signal,
        "lead_present": tf.cast(tf.gather(features["lead_present"], rows, axis=1), tf.bool),
        "labels": tf.cast(features["labels"], tf.float32),
        "annotated": annotated | (features["labels"] > 0),
        "record_id": features["record_id"],
    }
