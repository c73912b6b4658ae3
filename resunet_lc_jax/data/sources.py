"""The records that a config asks for, prepared once and found again, and which serve what."""

import contextlib
from pathlib import Path

import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from resunet_lc_jax.data.selection import Selection, select
from resunet_lc_jax.data.stream import open_dataset
from resunet_lc_jax.devices import hosts
from tfds_physionet import simulate
from tfds_physionet.prepare import PreparedDataset, fingerprint, prepare_dataset
from tfds_physionet.records_table import read_table


def open_records(config: ConfigDict) -> tuple[tfds.core.DatasetBuilder, Selection]:
    """Opens the data set of the records of `config.data` and selects its splits.

    Args:
      config: The run's `config.data`.

    Raises:
      ValueError: Too few of the records can be used, or the selection does not fit.
    """
    if not hosts.is_main():
        hosts.wait("records")  # process 0 prepares them
    prepared = prepare_records(config)
    if hosts.is_main():
        hosts.wait("records")
    table = read_table(prepared.builder_dir / "records.csv")
    return open_dataset(prepared.data_dir, config.variant), select(table, config)


def prepare_records(config: ConfigDict) -> PreparedDataset:
    """Prepares the records of `config.data`, or finds them prepared.

    Each source has its own sub-folder of `config.data.data_dir`, named by a fingerprint of its
    records, so that two sources never mix and a source that changed is prepared anew.

    Args:
      config: The run's `config.data`.

    Raises:
      ValueError: Too few of the records can be used.
    """
    data_dir = Path(config.data_dir or "~/tensorflow_datasets").expanduser()
    if config.records == "simulated":
        name = f"simulated_{config.simulated_count}_{config.simulated_seed}_v{simulate.VERSION}"
        data_dir = data_dir / name
        records = data_dir / "records"
        if not records.is_dir():
            with contextlib.suppress(FileExistsError):  # written by another run in the meantime
                simulate.write_records(
                    records,
                    count=config.simulated_count,
                    seed=config.simulated_seed,
                    workers=config.workers,
                )
        found = None
    else:
        records = Path(config.records).expanduser()
        found = fingerprint(records)
        data_dir = data_dir / f"records_{found}"
    return prepare_dataset(
        records,
        data_dir,
        config=config.variant,
        workers=config.workers,
        patients=Path(config.patients).expanduser() if config.patients else None,
        known_fingerprint=found,
    )
