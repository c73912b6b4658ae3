"""Scores a folder of records: one Challenge CSV a record, and two tables over all of them."""

import csv
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from ml_collections import ConfigDict

from resunet_lc_jax.data.sources import VARIANTS
from resunet_lc_jax.devices import hosts
from resunet_lc_jax.measures.calibration import CALIBRATION, Temperatures
from resunet_lc_jax.measures.challenge_csv import output_names, write_challenge_csv
from resunet_lc_jax.measures.thresholds import Thresholds
from resunet_lc_jax.runs.about import about_run
from resunet_lc_jax.runs.kept_thresholds import Kept
from resunet_lc_jax.runs.kind import PREDICTION, expect
from resunet_lc_jax.runs.open_run import OpenRun, open_run
from resunet_lc_jax.runs.prediction_folder import Journal, Scored, begun
from resunet_lc_jax.runs.screen import progress, say
from tfds_physionet.diagnoses import CLASS_NAMES, DIAGNOSES
from tfds_physionet.errors import of_record, printable
from tfds_physionet.files import replacing
from tfds_physionet.formats.facts import NO_FACTS, Facts
from tfds_physionet.pool import map_ahead, num_cores
from tfds_physionet.reading.finding import Found, FoundRecord, find_records
from tfds_physionet.reading.records import RecordError, read_record, signal_bytes
from tfds_physionet.reading.signals import PreparedSignal, prepare

CLASS_COLUMNS = tuple("|".join(diagnosis.codes) for diagnosis in DIAGNOSES)
Told = TypeVar("Told")
_AHEAD_BYTES = 200_000_000  # of signals that are read before the network takes them


class ReadRecord(NamedTuple):
    """A record that could be read.

    Attributes:
      found: Its header, and its path below the input without the header's suffix.
      leads_missing: Names of the standard leads that it neither has nor gives by others.
      leads_derived: Names of those that were derived from others.
      remarks: What a user should know of it though it is scored.
    """

    found: FoundRecord
    leads_missing: tuple[str, ...]
    leads_derived: tuple[str, ...]
    remarks: tuple[str, ...]


Errors = list[tuple[str, RecordError]]
"""Names of records, as paths below the input, and why each could not be scored."""

Decided = tuple[ReadRecord, np.ndarray, np.ndarray]
"""A record, its scores [26] and its decisions [26]."""


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
    with begun(output, about) as journal:
        decided = (
            (record, scores, decide(run, record, scores))
            for record, scores in score_found(
                run, found, errors, "predicting", journal, strict=strict
            )
        )
        return write_predictions(decided, errors, found, output, temperatures=temperatures)


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


def write_predictions(
    decided: Iterable[Decided],
    errors: Errors,
    found: Found,
    output: Path,
    *,
    temperatures: Temperatures | None = None,
) -> int:
    """Writes the files of `predict`: the records' own as they come, the tables in their order.

    Args:
      decided: Each record's scores and decisions.
      errors: Of those that could not be read; complete once `decided` is used up.
      found: The records.
      output: Where the files go.
      temperatures: Give predictions.csv a column <class>_calibrated for each class; all else, and
        the Challenge's files, hold the scores as they are.

    Returns:
      The exit status: 0, or 1 if there is no record.
    """
    remarks: list[tuple[str, str]] = []
    lines: dict[str, Decided] = {}
    if not hosts.is_main():
        deque(decided, maxlen=0)  # this process's share
        return hosts.of_main("predicted", None)
    names = output_names(record.name for record in found.records)
    for record, scores, decisions in decided:
        name = record.found.name
        try:
            path, last = output / names[name], name.rpartition("/")[2]
            write_challenge_csv(path, last, CLASS_COLUMNS, decisions, scores, durable=False)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            reason = f"can't be written ({reason})"
            errors.append((name, RecordError(record.found.path, "output", reason)))
            continue
        lines[name] = record, scores, decisions
        remarks += [(name, remark) for remark in record.remarks]
    places = {record.name: place for place, record in enumerate(found.records)}
    for entries in (errors, remarks):
        entries.sort(key=lambda entry: places.get(entry[0], -1))
    os.sync()  # what the tables list is on the disk before they are
    with (
        replacing(output / "predictions.csv") as beside,
        beside.open("w", newline="", encoding="utf-8") as file,
    ):
        rows = csv.writer(file)
        columns = [*CLASS_NAMES, *(f"{name}_calibrated" for name in CLASS_NAMES if temperatures)]
        rows.writerow(["record", "diagnoses", "leads_missing", "leads_derived", *columns])
        for name in sorted(lines, key=places.__getitem__):
            record, scores, decisions = lines[name]
            diagnoses = "|".join(np.array(CLASS_NAMES)[decisions == 1])
            leads = "|".join(record.leads_missing), "|".join(record.leads_derived)
            shown = [*scores, *(temperatures.apply(scores) if temperatures else ())]
            rows.writerow([name, diagnoses, *leads, *(f"{score:.9g}" for score in shown)])
    with (
        replacing(output / "errors.csv") as beside,
        beside.open("w", newline="", encoding="utf-8") as file,
    ):
        rows = csv.writer(file)
        rows.writerow(["record", "field", "reason"])
        rows.writerows([name, error.field, error.reason] for name, error in errors)
        rows.writerows([name, "remark", remark] for name, remark in remarks)
    incomplete = sum(bool(record.leads_missing) for record, _, _ in lines.values())
    say(
        f"{len(lines):,} records scored, {len(errors):,} could not be read"
        + (f", {incomplete:,} lacked leads" if incomplete else "")
        + (f", {len(remarks):,} remarks" if remarks else "")
        + (f" (see {output / 'errors.csv'})" if errors or remarks else "")
        + f"; predictions in {output}"
    )
    return hosts.of_main("predicted", 0 if lines else 1)


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
