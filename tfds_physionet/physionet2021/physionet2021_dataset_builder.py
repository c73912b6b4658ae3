"""The TFDS builder of physionet2021: Challenge 2021 records, prepared, in ten folds."""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from tfds_physionet.building.examples import ordered
from tfds_physionet.building.shards import records_in
from tfds_physionet.diagnoses import NUM_CLASSES
from tfds_physionet.errors import of_record

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

    `tfds_physionet.building.build` sets the other attributes: to build on all cores, to go on where
    a build was killed, and to go on past records that can't be written.

    Attributes:
        plan: A `tfds_physionet.building.build_plan.Plan` made beforehand, or None.
        map_records: How to map over the records.
        finished: A folder with shards that are whole already; they are moved from there.
        failed: Takes the errors of the records that can't be written; without it the first ends
            the build.
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
    finished: Path | None = None
    failed: list | None = None

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
        from tfds_physionet.building import build_plan as planning
        from tfds_physionet.building.survey import survey

        plan = self.plan
        if plan is None:
            folder = Path(dl_manager.manual_dir)
            plan = planning.make_plan(survey(folder, map_records=self.map_records))
        shards: dict[str, list[Callable[[], Iterator]]] = {}
        waiting = []
        for number, fold in enumerate(plan.folds, start=1):
            split = f"fold_{number}"
            count = -(-len(fold) // _RECORDS_PER_SHARD)
            template = self._get_filename_template(split_name=split)
            shards[split] = []
            for shard, rows in enumerate(np.array_split(np.arange(len(fold)), count)):
                name = template.sharded_filepath(shard_index=shard, num_shards=count).name
                if self.finished and _holds(self.finished / name, len(rows)):
                    # Counted, and not looked at: the file is there.
                    shards[split].append(functools.partial(iter, [("", None)] * len(rows)))
                else:
                    waiting += [fold[row] for row in rows]
                    shards[split].append(functools.partial(self._examples, len(rows)))
        config = self.builder_config
        tasks = [(record, config.sampling_rate, config.band_hz) for record in waiting]
        # TFDS writes the shards in this order, so that one stream serves them all and the workers
        # are never idle between two.
        self._stream = zip(waiting, self.map_records(planning.make_example, tasks), strict=True)
        return shards

    def _examples(self, count: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields the next of the stream, but for the records that can't be written."""
        for record, example in itertools.islice(self._stream, count):
            if not isinstance(example, Exception):
                yield example["record_id"], example
            elif self.failed is None:
                raise example
            else:
                self.failed.append(of_record(record.path, example))

    def _example_writer(self) -> tfds.core.ExampleWriter:
        """Writes shards whole or not at all, and takes those that are there."""
        return _ShardWriter(self.info.file_format, self.finished)


def _holds(path: Path, count: int) -> bool:
    """Returns whether a file is there with so many records: one lacks those that failed."""
    return path.is_file() and sum(1 for _ in records_in(path)) == count


class _ShardWriter(tfds.core.ExampleWriter):
    def __init__(self, file_format: Any, finished: Path | None) -> None:
        super().__init__(file_format)
        self._finished = finished

    def write(self, path: Any, examples: Iterable) -> None:
        import tensorflow as tf

        whole = Path(path)
        if self._finished and (self._finished / whole.name).is_file():
            (self._finished / whole.name).replace(whole)
            return
        beside = whole.with_name(f"{whole.name}.part")
        try:
            super().write(str(beside), ((key, ordered(example)) for key, example in examples))
            beside.replace(whole)
        except tf.errors.OpError as error:
            raise OSError(f"{whole.name} can't be written ({error.message})") from error
