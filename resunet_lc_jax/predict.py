"""Scores a folder of records: one Challenge CSV a record, and two tables over all of them."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
from ml_collections import ConfigDict

from resunet_lc_jax.data.sources import VARIANTS
from resunet_lc_jax.devices import hosts
from resunet_lc_jax.measures.calibration import CALIBRATION, Temperatures
from resunet_lc_jax.measures.thresholds import Thresholds
from resunet_lc_jax.runs.about import about_run
from resunet_lc_jax.runs.kept_thresholds import Kept
from resunet_lc_jax.runs.kind import PREDICTION, expect
from resunet_lc_jax.runs.open_run import OpenRun, open_run
from resunet_lc_jax.runs.prediction_folder import Journal, Scored, begun
from resunet_lc_jax.runs.prediction_tables import Errors, ReadRecord, write_predictions
from resunet_lc_jax.runs.screen import progress, say
from tfds_physionet.errors import of_record, printable
from tfds_physionet.formats.facts import NO_FACTS, Facts
from tfds_physionet.pool import map_ahead, num_cores
from tfds_physionet.reading.finding import Found, FoundRecord, find_records
from tfds_physionet.reading.records import RecordError, read_record, signal_bytes
from tfds_physionet.reading.signals import PreparedSignal, prepare

Told = TypeVar("Told")
_AHEAD_BYTES = 200_000_000  # of signals that are read before the network takes them


def predict(
    config: ConfigDict,
    workdir: Path,
    source: Path,
    output: Path,
    *,
    strict: bool = False,
    facts: Facts = NO_FACTS,
) -> int:
    """Scores every record below a folder, or in a list, with a trained run.

    Writes OUTPUT/<record>.csv in the Challenge's format (in the input's sub-folders),
    OUTPUT/predictions.csv with one row a record (with calibrated scores, too, where the run has
    calibration.json), OUTPUT/errors.csv with the records that could not be read and why, and with
    remarks on those that were, and OUTPUT/prediction.json with what scored them. Whatever happens
    to a record, it never stops the others. What was killed goes on; what an earlier prediction left
    in the folder goes.

    Args:
      config: The run's config.
      workdir: The run's folder.
      source: See `find_records`.
      output: Where the predictions go.
      strict: Whether records that their header's checksums contradict are refused.
      facts: What is known of arrays that do not say it themselves.

    Returns:
      The exit status: 0, or 1 if no record could be read.
    """
    expect(output, PREDICTION)
    found = find_records(source, facts=facts)
    run = by_given_rule(open_run(workdir, config))
    errors = unreadable_folders(found)
    say(*run.notes)
    temperatures = Temperatures.from_json(workdir / CALIBRATION, step=run.step)
    about = about_run(run, None) | {"notes": run.notes, "strict": strict}
    about |= {"untrusted": run.untrusted}
    with begun(output, about) as journal:
        decided = (
            (record, scores, decide(run, record, scores))
            for record, scores in score_found(
                run, found, errors, "predicting", journal, strict=strict
            )
        )
        return write_predictions(
            decided, errors, found, output, temperatures=temperatures, untrusted=run.untrusted
        )


def by_given_rule(run: OpenRun) -> OpenRun:
    """Returns a run that decides at 0.5 if this command asks for it.

    Raises:
      ValueError: Thresholds by another rule are asked for, which needs validation records.
    """
    own, given = run.changed.get("eval.thresholds", ("", ""))
    if given not in ("", "fixed"):
        raise ValueError(
            f"config.eval.thresholds is {given!r}: prediction has no records to choose thresholds "
            f"on; leave it out for the run's own ({own!r}), or give 'fixed' for 0.5"
        )
    return replace(run, kept=Kept(Thresholds.fixed())) if given else run


def decide(run: OpenRun, record: ReadRecord, scores: np.ndarray) -> np.ndarray:
    """Decides at the run's thresholds for the leads that a record has: [26] of scores [26]."""
    return run.kept.of_leads(run.windowing.leads, record.leads_missing).decide(scores)


def unreadable_folders(found: Found) -> Errors:
    """Returns the folders that may not be read, as errors.csv lists them."""
    return [(printable(error.path.relative_to(found.root)), error) for error in found.unreadable]


def score_found(
    run: OpenRun,
    found: Found,
    errors: Errors,
    title: str,
    journal: Journal,
    *,
    strict: bool = False,
) -> Iterator[tuple[ReadRecord, np.ndarray]]:
    """Yields the scores [26] that a run gives each record that can be read.

    First those that were scored before a prediction was killed, then the others, in their order. Of
    several processes each scores its share, and the first yields what all have scored.

    Args:
      run: The run.
      found: The records.
      errors: Takes the errors of those that can't be read, each under its record's name.
      title: Of the progress bar.
      journal: Of the folder that they go to.
      strict: See `predict`.
    """
    key, drawn = f"{run.key} {strict}", run.windowing.rule == "random"

    def known(record: FoundRecord) -> Scored | None:
        # A window that is drawn goes by the record's place among all of them.
        return None if drawn else journal.get(key, record)

    def scored(records: Sequence[FoundRecord], unread: Errors) -> Iterator:
        ahead = _prepared_ahead(records, unread, run.config.data.variant, strict)
        for read, scores in progress(run.score_signals(ahead), title, len(records), unit="record"):
            told = Scored(read.leads_missing, read.leads_derived, read.remarks, scores)
            journal.add(key, read.found, told)
            yield read, scores

    hosts.agree("prediction", {"the number of records below --input": len(found.records)})
    left = [record for record in found.records if known(record) is None]
    if before := len(found.records) - len(left):
        say(f"{before:,} records were scored before; the others follow")
    if jax.process_count() > 1 and not drawn:
        deque(scored(left[jax.process_index() :: jax.process_count()], []), maxlen=0)
        journal.share()
        # What none could read, the first tries once more, and says why.
        left = [record for record in left if known(record) is None]
    if hosts.is_main():
        for record in found.records:
            if (noted := known(record)) is not None:
                yield ReadRecord(record, *noted[:3]), noted.scores
        yield from scored(left, errors)


def _prepared_ahead(
    records: Sequence[FoundRecord], errors: Errors, variant: str, strict: bool
) -> Iterator[tuple[ReadRecord, PreparedSignal]]:
    """Reads and prepares records in threads, ahead of the network by their size, in order."""
    wanted, threads = VARIANTS[variant], num_cores()

    def read(found: FoundRecord) -> tuple[ReadRecord, PreparedSignal]:
        record = read_record(found, strict=strict)
        signal = prepare(record, sampling_rate=wanted.sampling_rate, band_hz=wanted.band_hz)
        leads = signal.leads_missing, signal.leads_derived
        return ReadRecord(found, *leads, record.remarks), signal

    def size(found: FoundRecord) -> int:
        told = _guarded(signal_bytes, found)
        return 0 if isinstance(told, RecordError) else told  # reading it will say why

    with ThreadPoolExecutor(threads) as pool:
        results = map_ahead(
            pool,
            partial(_guarded, read),
            records,
            ahead=4 * threads,
            size=size,
            largest=_AHEAD_BYTES,
        )
        for found in records:
            result = next(results)
            if isinstance(result, RecordError):
                errors.append((found.name, result))
            else:
                yield result
            del result  # or it would be held while the next one is read


def _guarded(call: Callable[[FoundRecord], Told], found: FoundRecord) -> Told | RecordError:
    """The guard around a record: nothing that is in one stops the others."""
    try:
        return call(found)
    except Exception as error:
        return of_record(found.path, error)
