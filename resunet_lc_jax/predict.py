"""Scores a folder of records: one Challenge CSV a record, and two tables over all of them."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from resunet_lc_jax.data.sources import variant
from resunet_lc_jax.devices import hosts
from resunet_lc_jax.measures.challenge_csv import write_challenge_csv
from resunet_lc_jax.runs.open_run import OpenRun, open_run
from resunet_lc_jax.runs.screen import progress, say
from tfds_physionet.diagnoses import CLASS_NAMES, DIAGNOSES
from tfds_physionet.files import replacing
from tfds_physionet.pool import map_ahead, num_cores
from tfds_physionet.records import RecordError, find_records, read_record
from tfds_physionet.signals import PreparedSignal, prepare

CLASS_COLUMNS = tuple("|".join(diagnosis.codes) for diagnosis in DIAGNOSES)


def predict(config: ConfigDict, workdir: Path, folder: Path, output: Path) -> int:
    """Scores every record below a folder with a trained run.

    Writes OUTPUT/<record>.csv in the Challenge's format (in the input's sub-folders),
    OUTPUT/predictions.csv with one row a record, and OUTPUT/errors.csv with the records that
    could not be read and why. A bad record never stops the others.

    Args:
      config: The run's config.
      workdir: The run's folder.
      folder: Where the .hea files are, at any depth.
      output: Where the predictions go.

    Returns:
      The exit status: 0, or 1 if no record could be read.
    """
    headers = find_records(folder, unique=False)
    run = open_run(workdir, config)
    errors: list[RecordError] = []
    decided = (
        (header, scores, run.thresholds.decide(scores))
        for header, scores in score_headers(run, headers, errors, "predicting")
    )
    return write_predictions(decided, errors, folder, output)


def score_headers(
    run: OpenRun, headers: Sequence[Path], errors: list[RecordError], title: str
) -> Iterator[tuple[Path, np.ndarray]]:
    """Yields the scores [26] that a run gives each record that can be read, in their order.

    Args:
      run: The run.
      headers: The records' .hea files.
      errors: Takes the errors of those that can't be read.
      title: Of the progress bar.
    """
    signals = _prepared_ahead(headers, errors, run.config.data.variant)
    yield from progress(run.score_signals(signals), title, len(headers), unit="record")


def write_predictions(
    decided: Iterable[tuple[Path, np.ndarray, np.ndarray]],
    errors: Sequence[RecordError],
    folder: Path,
    output: Path,
) -> int:
    """Writes the files of `predict`; of several processes the first does it, the others wait.

    Args:
      decided: Header, scores [26] and decisions [26] of each record.
      errors: Of those that could not be read; complete once `decided` is used up.
      folder: Where the records are.
      output: Where the files go.

    Returns:
      The exit status: 0, or 1 if there is no record.
    """
    if not hosts.is_main():
        hosts.wait("predicted")
        return 0
    output.mkdir(parents=True, exist_ok=True)
    done = 0
    with replacing(output / "predictions.csv") as beside, beside.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["record", "diagnoses", *CLASS_NAMES])
        for header, scores, decisions in decided:
            name = header.relative_to(folder).with_suffix("")
            write_challenge_csv(
                output / name.with_suffix(".csv"), name.name, CLASS_COLUMNS, decisions, scores
            )
            found = "|".join(np.array(CLASS_NAMES)[decisions == 1])
            rows.writerow([name.as_posix(), found, *(f"{score:.9g}" for score in scores)])
            done += 1
    _write_errors(output / "errors.csv", errors, folder)
    say(
        f"{done:,} records scored, {len(errors):,} could not be read"
        + (f" (see {output / 'errors.csv'})" if errors else "")
        + f"; predictions in {output}"
    )
    hosts.wait("predicted")
    return 0 if done else 1


def _prepared_ahead(
    headers: Sequence[Path], errors: list[RecordError], variant_name: str
) -> Iterator[tuple[Path, PreparedSignal]]:
    """Reads and prepares records in threads, a few ahead of the network, in order."""
    wanted, threads = variant(variant_name), num_cores()
    read = partial(_prepared, sampling_rate=wanted.sampling_rate, band_hz=wanted.band_hz)
    with ThreadPoolExecutor(threads) as pool:
        prepared = map_ahead(pool, read, headers, ahead=4 * threads)
        for header, result in zip(headers, prepared, strict=True):
            if isinstance(result, RecordError):
                errors.append(result)
            else:
                yield header, result


def _prepared(
    header: Path, *, sampling_rate: float, band_hz: tuple[float, float] | None
) -> PreparedSignal | RecordError:
    try:
        return prepare(read_record(header), sampling_rate=sampling_rate, band_hz=band_hz)
    except RecordError as error:
        return error


def _write_errors(path: Path, errors: Sequence[RecordError], folder: Path) -> None:
    with replacing(path) as beside, beside.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["record", "field", "reason"])
        for error in errors:
            name = Path(error.path).relative_to(folder).with_suffix("")
            rows.writerow([name.as_posix(), error.field, error.reason])
