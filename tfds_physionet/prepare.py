"""Builds physionet2021 from a folder of records: `python -m tfds_physionet.prepare --help`."""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from tfds_physionet.building.build import CONFIGS, prepare_dataset
from tfds_physionet.splits.folds import format_fold_report


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tfds_physionet.prepare",
        description="Builds the TFDS data set physionet2021 from PhysioNet/CinC Challenge 2021 "
        "records. Afterwards, after `import tfds_physionet`, tfds.load('physionet2021', "
        "data_dir=DIR) works.",
    )
    parser.add_argument("--records", type=Path, help="folder with records anywhere below it")
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
        "--strict",
        action="store_true",
        help="refuse records whose samples contradict their header's checksums or first values",
    )
    parser.add_argument(
        "--download",
        action="store_true",
        help="fetch the records first (6 GB, resumable), into --records or DATA_DIR/downloads",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="with --download: compare the files that are there with their checksums",
    )
    parser.add_argument("--address", help="where to download from instead of physionet.org")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns 0, or 2 after an error (130 after an interruption)."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.records is None and not options.download:
        parser.error("give --records=DIR, or --download to fetch the Challenge's records")
    if options.verify and not options.download:
        parser.error("--verify goes with --download")
    # No notices of how TensorFlow was built: it computes nothing here.
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0"} | os.environ
    # SIGTERM ends the command the way Ctrl-C does: nothing half-built stays.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        records = options.records or options.data_dir / "downloads" / "challenge-2021-1.0.3"
        if options.download:
            from tfds_physionet import download  # imports requests

            address = options.address or download.ADDRESS
            download.download(records, address=address, verify=options.verify)
        for config in CONFIGS if options.config == "all" else [options.config]:
            prepared = prepare_dataset(
                records,
                options.data_dir,
                config=config,
                workers=options.workers,
                patients=options.patients,
                published_folds=options.published_folds,
                strict=options.strict,
            )
            listed = {"skipped": prepared.num_skipped, "remarks": prepared.num_remarks}
            told = "".join(f", {count} {what}" for what, count in listed.items() if count)
            where = f" (see {prepared.skipped_path})" * bool(told)
            _say(f"{prepared.builder_dir}: {prepared.num_records} records{told}{where}")
        _say(format_fold_report(json.loads((prepared.builder_dir / "folds.json").read_text())))
    except (ValueError, OSError, RuntimeError) as error:
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was left half-built", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    return 0


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # the reader has seen enough (`| head`)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
