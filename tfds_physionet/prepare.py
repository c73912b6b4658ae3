"""Builds physionet2021 from a folder of records: `python -m tfds_physionet.prepare --help`."""

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tfds_physionet import build_plan as planning
from tfds_physionet.download import ADDRESS, download
from tfds_physionet.files import lock, made_folder
from tfds_physionet.folds import format_fold_report
from tfds_physionet.physionet2021.physionet2021_dataset_builder import Builder
from tfds_physionet.pool import Map, num_cores, worker_pool
from tfds_physionet.records_table import write_table

CONFIGS = tuple(config.name for config in Builder.BUILDER_CONFIGS)
_SOURCE = "source.json"  # what a build was made of, beside its data


@dataclass(frozen=True)
class PreparedDataset:
    """A finished build.

    Attributes:
        data_dir: What `tfds.load('physionet2021', data_dir=...)` takes.
        builder_dir: The build itself, with records.csv, skipped.csv and folds.json.
        num_records: How many it holds.
        num_skipped: How many could not be used.
        skipped_path: CSV of those: record, field, reason.
        fingerprint: Of the records.
    """

    data_dir: Path
    builder_dir: Path
    num_records: int
    num_skipped: int
    skipped_path: Path
    fingerprint: str


def fingerprint(records: Path) -> str:
    """Returns 16 hex digits that stand for the records below a folder, wherever it lies.

    They depend on the relative paths, the headers' contents and the signal files' sizes.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    records = Path(records)
    if not records.is_dir():
        raise FileNotFoundError(f"{records}: no such folder; give the folder with the records")
    files = sorted(
        os.path.relpath(os.path.join(where, name), records)
        for where, _, names in os.walk(records, followlinks=True)
        for name in names
        if name.endswith((".hea", ".mat", ".dat")) and not name.startswith(".")
    )

    def describe(some: list[str]) -> bytes:
        parts = []
        for file in some:
            path = records / file
            content = path.read_bytes() if file.endswith(".hea") else b"%d" % path.stat().st_size
            parts.append(hashlib.blake2b(file.encode() + b"\0" + content).digest())
        return b"".join(parts)

    batches = [files[start : start + 256] for start in range(0, len(files), 256)]
    digest = hashlib.blake2b(digest_size=8)
    with ThreadPoolExecutor(8) as threads:
        for part in threads.map(describe, batches):
            digest.update(part)
    return digest.hexdigest()


def prepare_dataset(
    records: Path,
    data_dir: Path,
    *,
    config: str = "500hz",
    workers: int = 0,
    patients: Path | None = None,
    published_folds: bool = False,
    known_fingerprint: str | None = None,
    progress: bool = True,
) -> PreparedDataset:
    """Builds physionet2021 in `data_dir`, or finds it built there from the same records.

    A lock keeps two processes apart: the second waits and finds what the first has built. The build
    grows in a hidden folder beside its place, which an error or interruption removes (and the next
    build, where the process was killed).

    Args:
        records: A folder with headers anywhere below it.
        data_dir: TFDS's folder of data sets.
        config: One of CONFIGS.
        workers: Processes; 0 for one a core. The result does not depend on it.
        patients: PTB-XL's ptbxl_database.csv; see `plan.make_plan`.
        published_folds: Whether PTB-XL's records keep their published folds.
        known_fingerprint: `fingerprint(records)`, where it is known (5 s for 88,000 records).
        progress: Whether to show progress on standard error.

    Raises:
        FileNotFoundError: There are no records.
        ValueError: An unknown config, too few usable records, or `data_dir` holds other records.
    """
    if config not in CONFIGS:
        raise ValueError(f"config {config!r} is none of {', '.join(CONFIGS)}")
    records, data_dir = Path(records), Path(data_dir)
    source = {
        "fingerprint": known_fingerprint or fingerprint(records),
        "patients": hashlib.blake2b(patients.read_bytes(), digest_size=8).hexdigest()
        if patients
        else None,
        "published_folds": published_folds,
    }
    target = data_dir / Builder.name / config / str(Builder.VERSION)
    with made_folder(data_dir), lock(data_dir / f".{Builder.name}-{config}.lock"):
        if not target.exists():
            building = data_dir / f".{Builder.name}-{config}.building"
            shutil.rmtree(building, ignore_errors=True)  # of a process that was killed
            try:
                counts = _build(
                    records,
                    building,
                    config=config,
                    workers=workers or num_cores(),
                    plan_options={"patients": patients, "published_folds": published_folds},
                    progress=progress,
                )
                built = building / target.relative_to(data_dir)
                (built / _SOURCE).write_text(json.dumps(source | counts, indent=2))
                # TFDS keeps the name of the default config there.
                common = Path(Builder.name, ".config")
                shutil.copytree(building / common, data_dir / common, dirs_exist_ok=True)
                target.parent.mkdir(parents=True, exist_ok=True)
                built.rename(target)
            finally:
                shutil.rmtree(building, ignore_errors=True)
    return _finished(target, data_dir, source)


def _finished(target: Path, data_dir: Path, source: dict[str, Any]) -> PreparedDataset:
    """Describes the build at `target`, which must be of the same source."""
    try:
        found = json.loads((target / _SOURCE).read_text())
    except FileNotFoundError:
        found = {}
    for key, value in source.items():
        if found.get(key) != value:
            raise ValueError(
                f"{target} was built from something else ({key} {found.get(key, 'unknown')}, not "
                f"{value}); remove it or choose another data_dir"
            )
    return PreparedDataset(
        data_dir=data_dir,
        builder_dir=target,
        num_records=found["records"],
        num_skipped=found["skipped"],
        skipped_path=target / "skipped.csv",
        fingerprint=source["fingerprint"],
    )


def _build(
    records: Path,
    building: Path,
    *,
    config: str,
    workers: int,
    plan_options: dict[str, Any],
    progress: bool,
) -> dict[str, int]:
    """Builds below `building`; returns how many records it took and skipped."""
    # A worker takes a second to start: it must have something to do.
    workers = min(workers, 1 + len(planning.find_records(records)) // 100)
    with worker_pool(workers) as map_records:
        plan = planning.make_plan(
            records, map_records=_shown(map_records, "reading", progress), **plan_options
        )
        builder = Builder(data_dir=building, config=config)
        builder.plan = plan
        builder.map_records = _shown(map_records, "writing", progress)
        with contextlib.redirect_stdout(None):  # TFDS's own messages name the temporary folder
            builder.download_and_prepare()
    folder = Path(builder.data_dir)
    planning.write_skipped(folder / "skipped.csv", plan.skipped, records)
    (folder / "folds.json").write_text(json.dumps(plan.report, indent=2))
    write_table(folder / "records.csv", plan.folds)
    return {"records": sum(map(len, plan.folds)), "skipped": len(plan.skipped)}


def _shown(map_records: Map, what: str, progress: bool) -> Map:
    """Shows how far a map is, at what rate, and how long it will take."""

    def shown_map(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        tasks = list(items)
        bar = tqdm(desc=what, total=len(tasks), unit="record", disable=not progress)
        with bar:
            for count, result in enumerate(map_records(function, tasks), start=1):
                bar.update()
                if count == len(tasks):
                    bar.close()  # the taker may not come back to learn that this was the last
                yield result

    return shown_map


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tfds_physionet.prepare",
        description="Builds the TFDS data set physionet2021 from PhysioNet/CinC Challenge 2021 "
        "records. Afterwards, after `import tfds_physionet`, tfds.load('physionet2021', "
        "data_dir=DIR) works.",
    )
    parser.add_argument("--records", type=Path, help="folder with .hea files anywhere below it")
    parser.add_argument(
        "--data_dir", type=Path, required=True, help="where to build (TFDS's data_dir)"
    )
    parser.add_argument(
        "--config",
        choices=[*CONFIGS, "all"],
        default="500hz",
        help="form of the signals (default: 500hz)",
    )
    parser.add_argument(
        "--workers", type=int, default=0, metavar="N", help="processes (default: one a core)"
    )
    parser.add_argument(
        "--patients",
        type=Path,
        metavar="CSV",
        help="PTB-XL's ptbxl_database.csv: keeps a patient's records in one fold",
    )
    parser.add_argument(
        "--published_folds",
        action="store_true",
        help="keep the folds of that file for PTB-XL's records",
    )
    parser.add_argument(
        "--download",
        action="store_true",
        help="fetch the records first (6 GB, resumable), into --records or DATA_DIR/downloads",
    )
    parser.add_argument(
        "--address", default=ADDRESS, help="where to download from (default: %(default)s)"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns 0, or 2 after an error (130 after an interruption)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.records is None and not options.download:
        parser.error("give --records=DIR, or --download to fetch the Challenge's records")
    # No notices of how TensorFlow was built: it computes nothing here.
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0"} | os.environ
    # SIGTERM ends the command the way Ctrl-C does: nothing half-built stays.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        records = options.records or options.data_dir / "downloads" / "challenge-2021-1.0.3"
        if options.download:
            download(records, address=options.address)
        for config in CONFIGS if options.config == "all" else [options.config]:
            prepared = prepare_dataset(
                records,
                options.data_dir,
                config=config,
                workers=options.workers,
                patients=options.patients,
                published_folds=options.published_folds,
            )
            print(f"{prepared.builder_dir}: {prepared.num_records} records", end="")
            skipped = f", {prepared.num_skipped} skipped (see {prepared.skipped_path})"
            print(skipped if prepared.num_skipped else "")
        print(format_fold_report(json.loads((prepared.builder_dir / "folds.json").read_text())))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was left half-built", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


if __name__ == "__main__":
    sys.exit(main())
