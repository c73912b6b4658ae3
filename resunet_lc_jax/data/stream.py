"""From the prepared data set to NumPy batches, through TFDS and tf.data.

The only file that imports tensorflow. The training stream is a pure function of (seed, step): it
can start at any step and gives the very same bytes, without a saved iterator.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

import tfds_physionet  # noqa: F401  (registers the builder)
from resunet_lc_jax.data.selection import Split
from resunet_lc_jax.data.windows import padding
from tfds_physionet.diagnoses import ANNOTATED, DATABASES, NUM_CLASSES
from tfds_physionet.physionet2021.physionet2021_dataset_builder import Builder, Physionet2021Config
from tfds_physionet.records import MISSING
from tfds_physionet.shards import RecordReader
from tfds_physionet.signals import STANDARD_LEADS, PreparedSignal

DATASET = "physionet2021"

# The features that are used here, as they are stored. TFDS's own deserialisation gives the same
# and all the others, at four times the cost.
_STORED = {
    "record_id": tf.io.FixedLenFeature((), tf.string),
    "patient_id": tf.io.FixedLenFeature((), tf.string),
    "database": tf.io.FixedLenFeature((), tf.string),
    "signal": tf.io.FixedLenFeature((), tf.string),
    "lead_mean": tf.io.FixedLenFeature((len(STANDARD_LEADS),), tf.float32),
    "lead_std": tf.io.FixedLenFeature((len(STANDARD_LEADS),), tf.float32),
    "lead_present": tf.io.FixedLenFeature((len(STANDARD_LEADS),), tf.int64),
    "labels": tf.io.FixedLenFeature((NUM_CLASSES,), tf.int64),
}


@dataclass(frozen=True)
class StoredRecord:
    """One whole record of the prepared data set.

    Attributes:
      record_id: The record's name.
      patient_id: The patient it is of.
      database: The source it came from.
      labels: [K] uint8.
      prepared: The signal [12, T] with its statistics.
    """

    record_id: str
    patient_id: str
    database: str
    labels: np.ndarray
    prepared: PreparedSignal


def open_dataset(data_dir: Path, config: str) -> tfds.core.DatasetBuilder:
    """Opens a prepared data set.

    Args:
      data_dir: The folder that holds physionet2021/.
      config: The BuilderConfig: '500hz', '400hz', '100hz' or '500hz_1-47hz'.
    """
    return tfds.builder(f"{DATASET}/{config}", data_dir=str(data_dir))


def variant(name: str) -> Physionet2021Config:
    """Returns the BuilderConfig of this name, with its sampling_rate and band_hz (Hz).

    Raises:
      ValueError: There is none; the message lists the names.
    """
    known = {config.name: config for config in Builder.BUILDER_CONFIGS}
    if name not in known:
        raise ValueError(f"config.data.variant is {name!r}; choose one of {', '.join(known)}")
    return known[name]


def lead_rows(leads: Sequence[str]) -> np.ndarray:
    """Returns the rows of the standard twelve at which these leads stand.

    Raises:
      ValueError: A name is not one of the standard twelve, or stands twice.
    """
    rows = [STANDARD_LEADS.index(lead) for lead in leads if lead in STANDARD_LEADS]
    if not rows or len(set(rows)) != len(leads):
        raise ValueError(
            f"config.data.leads is {tuple(leads)}; choose different leads of {STANDARD_LEADS}"
        )
    return np.array(rows)


def training_batches(
    builder: tfds.core.DatasetBuilder,
    records: Split,
    *,
    batch_size: int,
    length: int,
    leads: Sequence[str],
    seed: int,
    pad: str = "right",
    start_step: int = 0,
    process: tuple[int, int] = (0, 1),
) -> Iterator[dict[str, np.ndarray]]:
    """Yields shuffled, randomly cropped batches, epoch after epoch, without end.

    Each epoch visits every record once, in its own order, and leaves out the last partial batch.
    Order and crops depend on (seed, epoch) and (seed, epoch, record).

    Args:
      builder: The prepared data set.
      records: Those to read.
      batch_size: B, examples in a batch.
      length: T, samples of a crop; a shorter record is padded with MISSING.
      leads: The leads to keep, in this order.
      seed: Seed of order and crops.
      pad: The side of the padding: 'right' or 'left'.
      start_step: The step of the first batch that is yielded.
      process: (p, P): yield the p-th of P equal parts of each batch; nothing else is read.

    Yields:
      The arrays of `steps.Batch`, and record_id [B].
    """
    part = batch_size // process[1]
    first = process[0] * part
    steps_per_epoch = len(records) // batch_size
    read, leads_kept = _reader(builder, records), lead_rows(leads)

    def steps() -> Iterator[tuple[np.ndarray, int]]:
        epoch, skipped = divmod(start_step, steps_per_epoch)
        while True:
            order = np.random.default_rng([seed, epoch]).permutation(len(records))
            order = order[: steps_per_epoch * batch_size].reshape(steps_per_epoch, batch_size)
            for rows in order[skipped:, first : first + part]:
                yield rows, epoch
            epoch, skipped = epoch + 1, 0

    def example(serialised: tf.Tensor, epoch: tf.Tensor) -> dict:
        features = tf.io.parse_single_example(serialised, _STORED)
        return features | {
            "signal": _crop(features, length=length, pad=pad, seed=seed, epoch=epoch)
        }

    # One pipeline for all epochs: the next one's first records are read while this one ends.
    batches = (
        tf.data.Dataset.from_generator(
            steps, output_signature=(tf.TensorSpec([part], tf.int64), tf.TensorSpec([], tf.int64))
        )
        .map(
            lambda rows, epoch: (read(rows), tf.fill([part], epoch)),
            num_parallel_calls=2,
            deterministic=True,
        )
        .unbatch()
        .map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(part, drop_remainder=True)
        .map(partial(_as_batch, rows=leads_kept))
        .prefetch(2)
    )
    for batch in batches.as_numpy_iterator():
        batch["index"] = np.arange(first, first + part, dtype=np.int32)
        batch["mask"] = np.ones(part, np.float32)
        yield batch


def stored_records(
    builder: tfds.core.DatasetBuilder, records: Split, *, process: tuple[int, int] = (0, 1)
) -> Iterator[StoredRecord]:
    """Yields each of these records once, whole, in the stored order.

    Args:
      builder: The prepared data set.
      records: Those to read.
      process: (p, P): yield every P-th record, from the p-th; nothing else is read.
    """
    read = _reader(builder, records)
    rows = np.arange(len(records))[process[0] :: process[1], None]
    examples = tf.data.Dataset.from_tensor_slices(rows).map(
        lambda row: tf.io.parse_single_example(read(row)[0], _STORED),
        num_parallel_calls=2,
        deterministic=True,
    )
    for features in examples.prefetch(16).as_numpy_iterator():
        signal = np.frombuffer(features["signal"], np.int16).reshape(len(STANDARD_LEADS), -1)
        yield StoredRecord(
            record_id=features["record_id"].decode(),
            patient_id=features["patient_id"].decode(),
            database=features["database"].decode(),
            labels=features["labels"].astype(np.uint8),
            prepared=PreparedSignal(
                signal=signal,
                lead_mean=features["lead_mean"],
                lead_std=features["lead_std"],
                lead_present=features["lead_present"].astype(bool),
                sampling_rate=builder.builder_config.sampling_rate,
            ),
        )


def _reader(builder: tfds.core.DatasetBuilder, records: Split) -> Callable[[tf.Tensor], tf.Tensor]:
    """Reads the records in some rows [n] of the table: [n] serialised examples.

    Each is read from its place: an epoch is shuffled exactly, a run is taken up at any step
    without reading what came before, and a host reads what it trains on, nothing else.
    """
    table = records.table
    reader = RecordReader(Path(builder.data_dir))

    def read(rows: np.ndarray) -> np.ndarray:
        places = zip(table.file[rows], table.offset[rows], table.size[rows], strict=True)
        return np.array([reader.read(*place) for place in places], dtype=object)

    return lambda rows: tf.ensure_shape(tf.numpy_function(read, [rows], tf.string), rows.shape)


def _crop(features: Mapping, *, length: int, pad: str, seed: int, epoch: tf.Tensor) -> tf.Tensor:
    """Takes `length` samples [12, length] from a random place, padded where there are fewer.

    The place is a function of the seed, the epoch and the record's name.
    """
    signal = tf.reshape(tf.io.decode_raw(features["signal"], tf.int16), (len(STANDARD_LEADS), -1))
    places = tf.maximum(tf.shape(signal, tf.int64)[1] - length, 0) + 1
    name = tf.strings.join([tf.strings.as_string(epoch), features["record_id"]], "/")
    start = tf.strings.to_hash_bucket_strong(name, 2**62, [seed, 0]) % places
    crop = signal[:, start : start + length]
    missing = padding(length - tf.shape(crop)[1], pad)
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
