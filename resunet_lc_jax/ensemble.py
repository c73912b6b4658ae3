"""Several runs as one: the mean of their scores, or the majority of their decisions.

Each run gets the inputs that its own config asks for (leads, sampling rate, length).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from resunet_lc_jax.data.sources import Records, Source
from resunet_lc_jax.devices import hosts
from resunet_lc_jax.evaluate import keep_temperatures, keep_thresholds, publish
from resunet_lc_jax.measures.calibration import CALIBRATION, Temperatures
from resunet_lc_jax.measures.predictions import Predictions, check_same_records
from resunet_lc_jax.measures.thresholds import Thresholds, choose
from resunet_lc_jax.predict import by_given_rule, score_found, unreadable_folders
from resunet_lc_jax.runs import kept_thresholds, settings
from resunet_lc_jax.runs.about import about_run, about_together
from resunet_lc_jax.runs.changes import named
from resunet_lc_jax.runs.kept_thresholds import Checkpoint, Kept
from resunet_lc_jax.runs.kind import (
    ENSEMBLE,
    FOLDS,
    MARK,
    PREDICTION,
    expect,
    member_runs,
    read_mark,
)
from resunet_lc_jax.runs.open_run import OpenRun, open_run
from resunet_lc_jax.runs.overlaps import Overlap
from resunet_lc_jax.runs.prediction_folder import begun
from resunet_lc_jax.runs.prediction_tables import Errors, ReadRecord, write_predictions
from resunet_lc_jax.runs.screen import say
from tfds_physionet.errors import RecordError
from tfds_physionet.files import write_json
from tfds_physionet.formats.facts import NO_FACTS, Facts
from tfds_physionet.reading.finding import find_records

VOTES = ("mean", "majority")


@dataclass(frozen=True)
class Ensemble:
    """Runs that decide together.

    Attributes:
      runs: Their folders, at least two.
      vote: 'mean': the mean score decides, at thresholds of its own; 'majority': what more than
        half of the runs decide at theirs. The score is the mean in both.
    """

    runs: tuple[Path, ...]
    vote: str = "mean"

    def __post_init__(self) -> None:
        """Raises ValueError for an unknown vote and for fewer than two different runs."""
        if self.vote not in VOTES:
            raise ValueError(f"--vote is {self.vote!r}; choose one of {', '.join(VOTES)}")
        if len(set(self.runs)) != len(self.runs) or len(self.runs) < 2:
            listed = ",".join(map(str, self.runs))
            raise ValueError(f"--runs={listed}: an ensemble is of two different runs or more")


def find_ensemble(workdir: Path) -> Ensemble | None:
    """Returns the ensemble whose evaluation a folder holds, or None.

    Raises:
      ValueError: Its ensemble.json is damaged.
    """
    mark = read_mark(workdir)
    try:
        return Ensemble(tuple(member_runs(workdir)), mark["vote"]) if mark else None
    except (KeyError, TypeError) as error:
        raise ValueError(f"{workdir / MARK} is damaged: {error!r}") from error


def evaluate_ensemble(
    ensemble: Ensemble, configs: Mapping[Path, ConfigDict], workdir: Path, *, split: str
) -> dict[str, Any]:
    """Evaluates runs together, as `evaluate.evaluate` does one.

    The folder then serves `compare` and `predict_ensemble` as a run's does; ensemble.json in it
    says what it is. The mean score's thresholds are chosen on the validation records, like a run's.

    Args:
      ensemble: The runs.
      configs: Of each run.
      workdir: Where to write to; it must not hold a run, or another ensemble.
      split: As in `evaluate.evaluate`.

    Returns:
      The report.

    Raises:
      ValueError: The runs were made for different records, or the folder is taken.
    """
    first = configs[ensemble.runs[0]]
    _check_folder(ensemble, workdir)
    splits = [split, "validation"] if ensemble.vote == "mean" else [split]
    (parts, *validation), notes, members, checkpoints, overlaps = _score(ensemble, configs, splits)
    together, rule = combine(parts, ensemble.vote), "of the runs, by vote"
    changed = members[0]["changed"]
    for scored in validation:
        mean = combine(scored, "mean")
        if changed:  # what the ensemble itself decides with stays
            chosen = choose(first.eval.thresholds, mean.labels, mean.scores)
        else:
            keep_temperatures(workdir, mean, step=None)
            chosen = keep_thresholds(workdir, first.eval.thresholds, mean, *checkpoints)
        together, rule = together.decided(chosen), chosen.method
    models = ", ".join(dict.fromkeys(config.model.name for config in configs.values()))
    name = f"{ensemble.vote} of {len(ensemble.runs)} ({models})"
    runs = [os.path.relpath(run, workdir.resolve()) for run in ensemble.runs]
    folds = {key: list(first.data[key]) for key in FOLDS}
    if hosts.is_main():
        mark = {"name": name, "vote": ensemble.vote, "runs": runs, "data": folds}
        write_json(workdir / MARK, mark)
    return publish(
        together,
        first,
        workdir,
        split=named(split, changed),
        title=name,
        notes=notes,
        about=about_together(members, workdir, network=name, thresholds=rule),
        overlaps=overlaps,
        temperatures=Temperatures.from_json(workdir / CALIBRATION, step=None),
    )


def _check_folder(ensemble: Ensemble, workdir: Path) -> None:
    expect(workdir, ENSEMBLE)
    if (found := find_ensemble(workdir)) is not None and found != ensemble:
        raise ValueError(f"{workdir} holds another ensemble; give another --workdir")


_Scored = tuple[
    list[list[Predictions]], list[str], list[dict[str, Any]], list[Checkpoint], list[Overlap]
]


def _score(
    ensemble: Ensemble, configs: Mapping[Path, ConfigDict], splits: Sequence[str]
) -> _Scored:
    """By split, each run's predictions, decided at its own thresholds; notes; what each run is.

    Last, what of the first split's records had a part in making it.
    """
    parts: list[list[Predictions]] = [[] for _ in splits]
    notes: dict[str, None] = {}
    members: list[dict[str, Any]] = []
    checkpoints: list[Checkpoint] = []
    overlaps: list[Overlap] = []
    opened: dict[Source, Records | None] = {}
    for path in ensemble.runs:
        source = settings.source(configs[path])
        run = open_run(path, configs[path], *splits, records=opened.get(source))
        opened[source] = run.records
        checkpoints.append(run.checkpoint)
        notes |= dict.fromkeys(_of_member(run, ensemble.vote))
        members.append(about_run(run, splits[0]))
        tuned = ensemble.vote == "mean"
        overlaps += run.tuned_overlaps(splits[0]) if tuned else [run.overlaps[splits[0]]]
        for of_split, split in zip(parts, splits, strict=True):
            of_split.append(run.score(split))
            check_same_records(of_split[0], of_split[-1], str(ensemble.runs[0]), str(path))
    return parts, list(notes), members, checkpoints, overlaps


def _of_member(run: OpenRun, vote: str) -> list[str]:
    """A run's notes; its own thresholds decide in a majority alone."""
    remark, named = run.kept.remark, f"{run.workdir.name}: {run.kept.remark}"
    kept = [named if note == remark else note for note in run.notes]
    return kept if vote == "majority" else [note for note in kept if note != named]


def combine(parts: Sequence[Predictions], vote: str) -> Predictions:
    """Returns the mean scores of several runs on the same records, and what they decide together.

    Args:
      parts: One run's predictions each, of the same records in the same order.
      vote: 'majority': the decisions of more than half of the runs; 'mean': those of the mean score
        at the mean of the runs' thresholds.
    """
    at = _mean_thresholds([part.thresholds for part in parts])
    scores, decisions = _vote(
        np.stack([part.scores for part in parts]),
        np.stack([part.decisions for part in parts]),
        vote,
        at,
    )
    return replace(parts[0], scores=scores, decisions=decisions, thresholds=at.values)


def _mean_thresholds(values: Sequence[np.ndarray]) -> Thresholds:
    return Thresholds(np.mean(values, axis=0), "mean of the runs")


def _vote(
    scores: np.ndarray, decisions: np.ndarray, vote: str, thresholds: Thresholds
) -> tuple[np.ndarray, np.ndarray]:
    """From [runs, ..., 26] scores and decisions to [..., 26] of each."""
    mean = np.asarray(np.mean(scores, axis=0, dtype=np.float64), np.float32)
    if vote == "mean":
        return mean, thresholds.decide(mean)
    agreeing = np.sum(decisions, axis=0, dtype=np.int64)
    return mean, np.asarray(2 * agreeing > len(decisions), np.uint8)


def predict_ensemble(
    ensemble: Ensemble,
    configs: Mapping[Path, ConfigDict],
    workdir: Path,
    source: Path,
    output: Path,
    *,
    strict: bool = False,
    facts: Facts = NO_FACTS,
) -> int:
    """Scores every record below a folder with runs together, as `predict.predict` does with one.

    Args:
      ensemble: The runs.
      configs: Of each run.
      workdir: The ensemble's folder; without thresholds in it (it was not evaluated) the mean score
        decides at the mean of the runs' thresholds.
      source: See `find_records`.
      output: Where the predictions go.
      strict: See `predict.predict`.
      facts: See `predict.predict`.

    Returns:
      The exit status: 0, or 1 if no record could be read.
    """
    _check_folder(ensemble, workdir)
    expect(output, PREDICTION)
    found = find_records(source, facts=facts)
    runs = [by_given_rule(open_run(path, configs[path])) for path in ensemble.runs]
    own = [run.thresholds for run in runs]
    kept = kept_thresholds.load(
        workdir,
        *(run.checkpoint for run in runs),
        otherwise=_mean_thresholds([at.values for at in own]),
    )
    if "eval.thresholds" in runs[0].changed:
        kept = Kept(runs[0].thresholds)
    notes = [note for run in runs for note in _of_member(run, ensemble.vote)]
    notes += [kept.remark] if kept.remark and ensemble.vote == "mean" else []
    say(*notes)
    name = f"{ensemble.vote} of {len(runs)}"
    rule = kept.thresholds.method if ensemble.vote == "mean" else "of the runs, by vote"
    members = [about_run(run, None) for run in runs]
    about = about_together(members, workdir, network=name, thresholds=rule)
    untrusted = {name: why for run in runs for name, why in run.untrusted.items()}
    about |= {"notes": notes, "strict": strict, "untrusted": untrusted}
    with begun(output, about) as journal:
        scores: list[dict[str, np.ndarray]] = []
        records: dict[str, ReadRecord] = {}
        errors: dict[str, RecordError] = {}
        for number, run in enumerate(runs, start=1):
            unread: Errors = []
            title = f"predicting, run {number} of {len(runs)}"
            scored = list(score_found(run, found, unread, title, journal, strict=strict))
            records |= {record.found.name: record for record, _ in scored}
            scores.append({record.found.name: values for record, values in scored})
            errors |= dict(unread)
        decided = []
        for name, record in records.items():
            if not all(name in of_run for of_run in scores):
                continue
            each = np.stack([of_run[name] for of_run in scores])
            decisions = np.stack([at.decide(s) for at, s in zip(own, each, strict=True)])
            decided.append((record, *_vote(each, decisions, ensemble.vote, kept.thresholds)))
        unread = unreadable_folders(found) + list(errors.items())
        temperatures = Temperatures.from_json(workdir / CALIBRATION, step=None)
        return write_predictions(
            decided, unread, found, output, temperatures=temperatures, untrusted=untrusted
        )
