"""The records that a config asks for, prepared once and found again."""

from pathlib import Path

from ml_collections import ConfigDict

from tfds_physionet import simulate
from tfds_physionet.prepare import PreparedDataset, fingerprint, prepare_dataset


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
            simulate.write_records(
                records,
                count=config.simulated_count,
                seed=config.simulated_seed,
                workers=config.workers,
            )
    else:
        records = Path(config.records).expanduser()
        data_dir = data_dir / f"records_{fingerprint(records)}"
    return prepare_dataset(
        records,
        data_dir,
        config=config.variant,
        workers=config.workers,
        patients=Path(config.patients).expanduser() if config.patients else None,
    )
