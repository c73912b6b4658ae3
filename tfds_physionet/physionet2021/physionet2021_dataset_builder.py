"""The TFDS builder of physionet2021: Challenge 2021 records, prepared, in ten folds."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_physionet.diagnoses import NUM_CLASSES

# The plan reads signals and so needs SciPy: imported where it is used, to keep the package's
# import short.
_RECORDS_PER_SHARD = 512  # about 64 MB; TFDS holds one shard in memory while it writes it


@dataclasses.dataclass(eq=False)
class Physionet2021Config(tfds.core.BuilderConfig):
    """A form of the signals: sampling rate in Hz, and the band of the filter in Hz, if any."""

    sampling_rate: float = 500.0
    band_hz: tuple[float, float] | None = None


class Builder(tfds.core.ShardBasedBuilder):
    """Builds physionet2021 from a folder of records (TFDS's manual_dir).

    `tfds_physionet.prepare` sets the last two attributes to build on all cores.

    Attributes:
        plan: A `tfds_physionet.plan.Plan` made beforehand, or None.
        map_records: How to map over the records.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Challenge 2021, version 1.0.3."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "manual_dir is the folder with the Challenge's records (.hea and .mat anywhere below it). "
        "`python -m tfds_physionet.prepare --download` fetches them and builds on all cores."
    )
    BUILDER_CONFIGS = [
        Physionet2021Config(name="500hz", description="500 Hz, unfiltered"),
        Physionet2021Config(name="400hz", description="400 Hz, unfiltered", sampling_rate=400.0),
        Physionet2021Config(name="100hz", description="100 Hz, unfiltered", sampling_rate=100.0),
        Physionet2021Config(
            name="500hz_1-47hz",
            description="500 Hz, band-passed from 1 to 47 Hz without phase shift",
            band_hz=(1.0, 47.0),
        ),
    ]
    DEFAULT_BUILDER_CONFIG_NAME = "500hz"

    plan: Any = None
    map_records: Callable = staticmethod(map)

    def _info(self) -> tfds.core.DatasetInfo:
        """Describes the features; README.md tells what each is."""
        leads = {"shape": (12,), "dtype": np.float32}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "record_id": tfds.features.Text(),
                    "database": tfds.features.Text(),
                    "signal": tfds.features.Tensor(
                        shape=(12, None), dtype=np.int16, encoding=tfds.features.Encoding.BYTES
                    ),
                    "lead_mean": tfds.features.Tensor(**leads),
                    "lead_std": tfds.features.Tensor(**leads),
                    "lead_present": tfds.features.Tensor(shape=(12,), dtype=np.uint8),
                    "labels": tfds.features.Tensor(shape=(NUM_CLASSES,), dtype=np.uint8),
                    "codes": tfds.features.Text(),
                    "age": np.float32,
                    "sex": tfds.features.Text(),
                    "original_sampling_rate": np.float32,
                    "patient_id": tfds.features.Text(),
                    "signal_hash": tfds.features.Text(),
                }
            ),
            supervised_keys=("signal", "labels"),
            homepage="https://physionet.org/content/challenge-2021/1.0.3/",
        )

    def _shard_iterators_per_split(
        self, dl_manager: tfds.download.DownloadManager
    ) -> Mapping[str, Sequence[Callable[[], Iterator]]]:
        """Returns for each fold what yields the examples of its shards, one after another."""
        from tfds_physionet import build_plan as planning

        plan = self.plan or planning.make_plan(dl_manager.manual_dir, map_records=self.map_records)
        config = self.builder_config
        tasks = [
            (record, config.sampling_rate, config.band_hz)
            for record in itertools.chain.from_iterable(plan.folds)
        ]
        # TFDS writes the shards in this order, so that one stream serves them all and the workers
        # are never idle between two.
        stream = self._examples(iter(self.map_records(planning.make_example, tasks)))
        shards = {}
        for number, fold in enumerate(plan.folds, start=1):
            count = -(-len(fold) // _RECORDS_PER_SHARD)
            sizes = [len(part) for part in np.array_split(np.arange(len(fold)), count)]
            shards[f"fold_{number}"] = [
                functools.partial(itertools.islice, stream, size) for size in sizes
            ]
        return shards

    def _examples(self, stream: Iterator) -> Iterator[tuple[str, dict[str, Any]]]:
        for example in stream:
            if isinstance(example, ValueError):
                raise example  # it was fine when the plan was made
            yield example["record_id"], example
