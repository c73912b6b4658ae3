"""Scores a folder of records: one Challenge CSV a record, and two tables over all of them."""

import csv
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from resunet_lc_jax.data import stream
from resunet_lc_jax.data.windows import score_records
from resunet_lc_jax.devices import hosts
from resunet_lc_jax.evaluate import ScoreBatch, score_run
from resunet_lc_jax.measures.challenge_csv import write_challenge_csv
from resunet_lc_jax.runs.workdir import Run, configure_jax, load_run
from tfds_physionet.diagnoses import CLASS_NAMES, DIAGNOSES
from tfds_physionet.files import replacing
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
    configure_jax(config)
    run = load_run(workdir, config)
    errors: list[RecordError] = []
    decided = (
        (header, scores, run.thresholds.decide(scores))
        for header, scores in score_headers(run, score_run(run), headers, errors)
    )
    shown = tqdm(decided, "predicting", len(headers), unit="record", disable=not hosts.is_main())
    return write_predictions(shown, errors, folder, output)


def score_headers(
    run: Run, score_batch: ScoreBatch, headers: Sequence[Path], errors: list[RecordError]
) -> Iterator[tuple[Path, np.ndarray]]:
    """Returns the scores [26] that a run gives each record that can be read, in their order.

    Args:
      run: The run.
      score_batch: Its network, from `evaluate.score_run`.
      headers: The records' .hea files.
      errors: Takes the errors of those that can't be read.
    """
    config = run.config
    return score_records(
        _prepared_ahead(headers, errors, variant=config.data.variant),
        score_batch,
        batch_size=config.eval.batch_size,
        length=config.data.length,
        rows=stream.lead_rows(config.data.leads),
        windows=config.eval.windows,
        pad=config.data.pad,
        seed=config.seed,
    )


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
    print(
        f"{done:,} records scored, {len(errors):,} could not be read"
        + (f" (see {output / 'errors.csv'})" if errors else "")
        + f"; predictions in {output}"
    )
    hosts.wait("predicted")
    return 0 if done else 1


def _prepared_ahead(
    headers: Iterable[Path], errors: list[RecordError], *, variant: str
) -> Iterator[tuple[Path, PreparedSignal]]:
    """Reads and prepares records in threads, a few ahead of the network, in order."""
    wanted = stream.variant(variant)

    def read(header: Path) -> PreparedSignal | RecordError:
        try:
            return prepare(
                read_record(header), sampling_rate=wanted.sampling_rate, band_hz=wanted.band_hz
            )
        except RecordError as error:
            return error

    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        remaining = iter(headers)
        ahead = deque((h, pool.submit(read, h)) for h in islice(remaining, 4 * threads))
        while ahead:
            header, future = ahead.popleft()
            result = future.result()
            ahead.extend((h, pool.submit(read, h)) for h in islice(remaining, 1))
            if isinstance(result, RecordError):
                errors.append(result)
            else:
                yield header, result


def _write_errors(path: Path, errors: Sequence[RecordError], folder: Path) -> None:
    with replacing(path) as beside, beside.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["record", "field", "reason"])
        for error in errors:
            name = Path(error.path).relative_to(folder).with_suffix("")
            rows.writerow([name.as_posix(), error.field, error.reason])
