"""Builds physionet2021 from a folder of records, or finds it built.

A build grows in a hidden folder beside its place: an error or interruption removes it, and where
the process was killed, the next one goes on with the shards that are whole.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tfds_physionet.building import build_plan, places, source_files, survey
from tfds_physionet.building.places import Wanted
from tfds_physionet.building.records_table import write_table
from tfds_physionet.building.shards import check_files
from tfds_physionet.errors import RecordError
from tfds_physionet.files import lock, made_folder
from tfds_physionet.physionet2021.physionet2021_dataset_builder import Builder
from tfds_physionet.pool import Map, num_cores, worker_pool
from tfds_physionet.splits.folds import patients_note, report_notes

CONFIGS = tuple(config.name for config in Builder.BUILDER_CONFIGS)
_NO_ROOM = [os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)]


@dataclasses.dataclass(frozen=True)
class PreparedDataset:
    """A finished build.

    Attributes:
        data_dir: What `tfds.load('physionet2021', data_dir=...)` takes.
        builder_dir: The build itself, with records.csv, skipped.csv and folds.json.
        num_records: How many it holds.
        num_skipped: How many could not be used.
        num_remarks: How many remarks there are on those that are used.
        skipped_path: CSV of both: record, field, reason.
        fingerprint: Of the records.
        notes: What a user should know of the records: what is unknown or was not understood.
        patients_unknown: The one of them that says whose patients are unknown; None: nobody's.
    """

    data_dir: Path
    builder_dir: Path
    num_records: int
    num_skipped: int
    num_remarks: int
    skipped_path: Path
    fingerprint: str
    notes: tuple[str, ...]
    patients_unknown: str | None


def prepare_dataset(
    records: Path,
    data_dir: Path,
    *,
    config: str = "500hz",
    name: str | None = None,
    link: bool = True,
    workers: int = 0,
    patients: Path | None = None,
    published_folds: bool = False,
    strict: bool = False,
    progress: bool = True,
) -> PreparedDataset:
    """Builds physionet2021 in `data_dir`, or finds it built there from the same records.

    What is finished is found in a folder that can't be written to. A lock keeps two processes
    apart: the second waits and finds what the first has built.

    Args:
        records: A folder with headers anywhere below it.
        data_dir: TFDS's folder of data sets.
        config: One of CONFIGS.
        name: Of the build's folder in `data_dir`; by default it tells the records' fingerprint.
        link: Whether `data_dir`/physionet2021 leads to this build from now on, whatever it led to.
        workers: Processes; 0 for one a core. The result does not depend on it.
        patients: PTB-XL's ptbxl_database.csv; see `build_plan.make_plan`.
        published_folds: Whether PTB-XL's records keep their published folds.
        strict: Whether records whose samples contradict their header's checksums are refused.
        progress: Whether to show progress on standard error.

    Raises:
        FileNotFoundError: There are no records.
        OSError: The disk is full, or `data_dir` can't be written to.
        ValueError: An unknown config, too few usable records, a damaged build, or one of other
            records where the link should be.
    """
    if config not in CONFIGS:
        raise ValueError(f"config {config!r} is none of {', '.join(CONFIGS)}")
    records, data_dir = Path(records), Path(data_dir)
    files = source_files.examine(records)
    wanted = Wanted(records, files, config, patients, published_folds, strict)
    first = name or f"records_{files.fingerprint}"
    home, there = places.find_home(wanted, data_dir, first, quiet=not progress)
    if link:
        places.check_link(data_dir, home)
    if there:
        check_files(wanted.target(home))
    else:
        with made_folder(data_dir), lock(data_dir / f".{first}-{config}.lock"):
            home, there = places.find_home(wanted, data_dir, first, quiet=True)
            if not there:  # nor has another process built it meanwhile
                with made_folder(home):
                    _build(wanted, home, workers=workers or num_cores(), progress=progress)
    if link or name is None:
        places.link(data_dir, home, anew=link)
    return _describe(wanted, home)


def _describe(wanted: Wanted, home: Path) -> PreparedDataset:
    target = wanted.target(home)
    counts = json.loads((target / places.SOURCE).read_text())
    folds = json.loads((target / "folds.json").read_text())
    return PreparedDataset(
        data_dir=home,
        builder_dir=target,
        num_records=counts["records"],
        num_skipped=counts["skipped"],
        num_remarks=counts.get("remarks", 0),  # earlier versions made none
        skipped_path=target / "skipped.csv",
        fingerprint=counts["fingerprint"],
        notes=tuple(report_notes(folds)),
        patients_unknown=patients_note(folds),
    )


def _build(wanted: Wanted, home: Path, *, workers: int, progress: bool) -> None:
    building = home / f".{Builder.name}-{wanted.config}.building"
    try:
        built = _fill(wanted, building, workers, progress)
        # TFDS keeps the name of the default config there.
        common = Path(Builder.name, ".config")
        shutil.copytree(building / common, home / common, dirs_exist_ok=True)
        target = wanted.target(home)
        target.parent.mkdir(parents=True, exist_ok=True)
        built.rename(target)
    except OSError as error:
        # TensorFlow gives no number.
        why = next((text for text in _NO_ROOM if text in str(error)), "")
        if not why:
            raise
        raise OSError(
            f"{home}: there is no room for the prepared records ({why}); free some, or choose "
            "another data_dir"
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _fill(wanted: Wanted, building: Path, workers: int, progress: bool) -> Path:
    """Makes a whole build in `building`; returns its folder."""
    # A worker takes a second to start: it must have something to do.
    workers = min(workers, 1 + len(wanted.files.changed) // 100)
    failed: list[RecordError] = []
    with worker_pool(workers) as map_records, contextlib.ExitStack() as bars:
        surveyed = survey.survey(
            wanted.records,
            strict=wanted.strict,
            map_records=_shown(map_records, "reading", bars, progress),
        )
        # A record that can't be written has no part in the folds either: they are made anew.
        while True:
            plan = build_plan.make_plan(
                surveyed,
                patients=wanted.patients,
                published_folds=wanted.published_folds,
                failed=failed,
            )
            builder = _builder(wanted, building, plan)
            builder.map_records = _shown(map_records, "writing", bars, progress)
            builder.failed = []
            with contextlib.redirect_stdout(None):  # TFDS's messages name the temporary folder
                builder.download_and_prepare()
            if not builder.failed:
                break
            failed += builder.failed
    folder = Path(builder.data_dir)
    build_plan.write_listed(folder / "skipped.csv", [*plan.skipped, *plan.remarks])
    (folder / "folds.json").write_text(json.dumps(plan.report, indent=2))
    write_table(folder / "records.csv", plan.folds)
    source_files.note_times(folder, wanted.files)
    counts = {"records": sum(map(len, plan.folds)), "skipped": len(plan.skipped)}
    counts["remarks"] = len(plan.remarks)
    (folder / places.SOURCE).write_text(json.dumps(wanted.source | counts, indent=2))
    return folder


def _builder(wanted: Wanted, building: Path, plan: build_plan.Plan) -> Builder:
    """Returns a builder that goes on with the shards that a killed one has left of this plan."""
    planned = [[dataclasses.astuple(record)[1:] for record in fold] for fold in plan.folds]
    text = json.dumps([wanted.source, wanted.config, str(Builder.VERSION), planned])
    digest = hashlib.blake2b(text.encode()).hexdigest()
    mark, finished = building / "plan", building / "finished"
    before = mark.read_text() if mark.is_file() else ""
    if before == digest:
        for shard in (building / Builder.name).rglob("*.tfrecord-*-of-?????"):
            os.replace(shard, finished / shard.name)
        shutil.rmtree(building / Builder.name, ignore_errors=True)
    else:
        shutil.rmtree(building, ignore_errors=True)
        finished.mkdir(parents=True)
        mark.write_text(digest)
    builder = Builder(data_dir=building, config=wanted.config)
    builder.plan, builder.finished = plan, finished
    return builder


def _shown(map_records: Map, what: str, bars: contextlib.ExitStack, progress: bool) -> Map:
    """Shows how far a map is, at what rate, and how long it will take."""

    def shown_map(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        tasks = list(items)
        bar = tqdm(desc=what, total=len(tasks), unit="record", disable=not progress)
        bars.callback(bar.close)  # also where the taker comes to grief
        for count, result in enumerate(map_records(function, tasks), start=1):
            bar.update()
            if count == len(tasks):
                bar.close()  # the taker may not come back to learn that this was the last
            yield result

    return shown_map
