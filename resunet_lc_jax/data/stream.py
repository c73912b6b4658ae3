"""From the files of a TFDS build to NumPy batches, through tf.data.

The only file that imports tensorflow. The training stream is a pure function of (seed, step): it
can start at any step and gives the very same bytes, without a saved iterator.
"""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from functools import partial

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
_SIGNAL = {
    "record_id": tf.io.FixedLenFeature((), tf.string),
    "signal": tf.io.FixedLenFeature((), tf.string),
    "lead_mean": tf.io.FixedLenFeature((len(STANDARD_LEADS),), tf.float32),
    "lead_std": tf.io.FixedLenFeature((len(STANDARD_LEADS),), tf.float32),
    "lead_present": tf.io.FixedLenFeature((len(STANDARD_LEADS),), tf.int64),
}
_LABELS = {
    "database": tf.io.FixedLenFeature((), tf.string),
    "labels": tf.io.FixedLenFeature((NUM_CLASSES,), tf.int64),
}


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

    def example(serialised: tf.Tensor, epoch: tf.Tensor) -> dict:
        features = tf.io.parse_single_example(serialised, _SIGNAL | _LABELS)
        return features | {"signal": _crop(features, epoch, windowing)}

    # One pipeline for all epochs: the next one's first records are read while this one ends.
    def batches(read: Callable[[tf.Tensor], tf.Tensor]) -> tf.data.Dataset:
        return (
            tf.data.Dataset.from_generator(
                steps,
                output_signature=(tf.TensorSpec([part], tf.int64), tf.TensorSpec([], tf.int64)),
            )
            .map(
                lambda rows, epoch: (read(rows), tf.fill([part], epoch)),
                num_parallel_calls=2,
                deterministic=True,
            )
            .unbatch()
            .map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
            .batch(part, drop_remainder=True)
            .map(partial(_as_batch, rows=rows_kept))
            .prefetch(2)
        )

    with closing(_pulled(records, split, batches)) as pulled:
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
    rows = np.arange(len(split))[process[0] :: process[1], None]

    def examples(read: Callable[[tf.Tensor], tf.Tensor]) -> tf.data.Dataset:
        parsed = tf.data.Dataset.from_tensor_slices(rows).map(
            lambda row: tf.io.parse_single_example(read(row)[0], _SIGNAL),
            num_parallel_calls=2,
            deterministic=True,
        )
        return parsed.prefetch(16)

    with closing(_pulled(records, split, examples)) as pulled:
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


def _pulled(
    records: Records,
    split: Split,
    dataset: Callable[[Callable[[tf.Tensor], tf.Tensor]], tf.data.Dataset],
) -> Generator[dict]:
    """Yields what comes out of a pipeline; once closed, its threads and files are, too.

    Each record is read from its place: an epoch is shuffled exactly, a run is taken up at any step
    without reading what came before, and a host reads what it trains on, nothing else.

    Args:
      records: Where they are.
      split: Which of them.
      dataset: Makes the pipeline, given what reads the records in some rows [n] of the split: [n]
        serialised examples.
    """
    table, failed = split.table, list[Exception]()

    def read(rows: np.ndarray) -> np.ndarray:
        places = zip(table.file[rows], table.offset[rows], table.size[rows], strict=True)
        try:
            return np.array([reader.read(*place) for place in places], dtype=object)
        except OSError as error:
            failed.append(error)
            raise

    with RecordReader(records.folder) as reader:
        pulled = dataset(
            lambda rows: tf.ensure_shape(tf.numpy_function(read, [rows], tf.string), rows.shape)
        ).as_numpy_iterator()
        try:
            yield from pulled
        except (tf.errors.OpError, UnicodeError):
            # TensorFlow wraps what `read` raises in words of its own, and bytes that are no example
            # it shows, or fails to.
            folder = records.folder
            damaged = f"{folder} holds a damaged record; remove that folder and prepare the records"
            failed.append(ValueError(f"{damaged} again"))
        finally:
            del pulled  # waits for the reads under way: only then the files are closed
    if failed:
        raise failed[0]


def _crop(features: Mapping, epoch: tf.Tensor, windowing: Windowing) -> tf.Tensor:
    """Takes a window [12, T] from a random place, padded where there are fewer samples.

    The place is a function of the seed, the epoch and the record's name.
    """
    length, seed = windowing.length, windowing.seed
    signal = tf.reshape(tf.io.decode_raw(features["signal"], tf.int16), (len(STANDARD_LEADS), -1))
    places = tf.maximum(tf.shape(signal, tf.int64)[1] - length, 0) + 1
    name = tf.strings.join([tf.strings.as_string(epoch), features["record_id"]], "/")
    start = tf.strings.to_hash_bucket_strong(name, 2**62, [seed, 0]) % places
    crop = signal[:, start : start + length]
    missing = padding(length - tf.shape(crop)[1], windowing.pad)
    crop = tf.pad(crop, [[0, 0], missing], constant_values=MISSING)
    return tf.ensure_shape(crop, (len(STANDARD_LEADS), length))


def _as_batch(features: Mapping, *, rows: np.ndarray) -> dict:
    """The arrays of `steps.Batch`, and record_id, of cropped examples; their leads by rows."""
    source = tf.equal(DATABASES, features["database"][:, None])
    # A source that is not in the table is taken to give every class.
    annotated = tf.reduce_any(ANNOTATED & source[:, None], axis=-1)
    annotated |= ~tf.reduce_any(source, axis=1, keepdims=True)
    by_lead = {k: features[k] for k in ("signal", "lead_mean", "lead_std", "lead_present")}
    if len(rows) != len(STANDARD_LEADS) or (rows != np.arange(len(rows))).any():
        by_lead = {name: tf.gather(values, rows, axis=1) for name, values in by_lead.items()}
    return by_lead | {
        "lead_present": tf.cast(by_lead["lead_present"], tf.bool),
        "labels": tf.cast(features["labels"], tf.float32),
        "annotated": annotated | (features["labels"] > 0),
        "record_id": features["record_id"],
    }
