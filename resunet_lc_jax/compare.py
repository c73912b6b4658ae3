"""Runs and other programs' scores side by side on the same records: a results section."""

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resunet_lc_jax.measures import thresholds
from resunet_lc_jax.measures.comparison import COLUMNS, compare_models
from resunet_lc_jax.measures.comparison_figures import class_marks, forest
from resunet_lc_jax.measures.comparison_tables import format_csv, format_latex, format_markdown
from resunet_lc_jax.measures.figures import save
from resunet_lc_jax.measures.predictions import Predictions, check_same_records, load_predictions
from resunet_lc_jax.measures.score_tables import (
    SUFFIXES,
    ScoreTable,
    aligned,
    common_records,
    read_score_table,
)
from resunet_lc_jax.measures.thresholds import Thresholds
from resunet_lc_jax.runs.kind import describe, read_mark
from resunet_lc_jax.runs.overlaps import notes_on, overlaps_of, titled
from resunet_lc_jax.runs.trust import format_untrusted
from tfds_physionet.files import replacing
from tfds_physionet.wording import path_ends, shortlist

_REPLICATES = 1000
_AT_HALF = "at 0.5"
_AT_RULE = "at thresholds by {} on validation records"


@dataclass(frozen=True)
class Entrant:
    """One run, or one file or folder of scores.

    Attributes:
      path: of it.
      validation: scores of the validation records, to choose thresholds on; None if not given.
      model: what made them, of a run or an ensemble; '' of scores.
      folds: see `kind.describe`; None of scores.
    """

    path: Path
    validation: Path | None
    model: str = ""
    folds: dict | None = None


@dataclass(frozen=True, eq=False)
class _Scored:
    """An entrant's predictions, and how its decisions were made."""

    predictions: Predictions
    decided: str


def compare(
    runs: Sequence[str | Path],
    output: str | Path,
    *,
    split: str = "test",
    replicates: int | None = None,
    seen_records: bool = False,
) -> str:
    """Compares evaluated runs, and scores that other programs wrote, on the same records.

    Writes comparison.md, comparison.csv, comparison.tex, f_measure_classes.png,
    auprc_classes.png and, of several models, differences.png.

    Args:
      runs: models, the first the baseline. Each is a run's folder (config.json and
        evaluation/<split>.npz), a table of scores or a folder of Challenge CSV files (see
        `score_tables`), or several of them as 'NAME:ONE+TWO+...', such as one network's seeds.
        'TABLE@OTHER' gives scores of the validation records in OTHER.
      output: the folder to write to.
      split: which evaluation.
      replicates: of the bootstrap over patients; None for that of the runs' reports.
      seen_records: whether runs are compared on records that had a part in making one of them; the
        table and the figures then say so.

    Returns:
      The table as Markdown.

    Raises:
      FileNotFoundError: a folder holds no run, or no evaluation of the split.
      ValueError: one run stands twice, no entrant is a run, splits, records, patients or labels
        differ (the message says in what), or records had a part in making a run.
    """
    if not runs:
        raise ValueError("no runs to compare; give their folders")
    parsed = [_parse(str(run)) for run in runs]
    groups = [(name, [_entrant(text) for text in parts]) for name, parts in parsed]
    entrants = [entrant for _, members in groups for entrant in members]
    for path, times in Counter(entrant.path.resolve() for entrant in entrants).items():
        if times > 1:
            raise ValueError(f"{path} stands {times} times among the runs; give it once")
    scored, notes = _score(entrants, split)
    both = zip(entrants, scored, strict=True)
    runs_records = {e.path: s.predictions.record_id for e, s in both if e.folds is not None}
    told = overlaps_of(runs_records, split, allowed=seen_records)
    shown, called = titled(split, told), path_ends([entrant.path for entrant in entrants])
    names = _names(groups, called)
    members, models, sources = iter(scored), {}, {}
    for name, (_, of) in zip(names, groups, strict=True):
        models[name] = [next(members) for _ in of]
        sources[name] = "+".join(called[one.path] for one in of)
        reports = [_report(one.path, split) for one in of]
        if doubtful := {k for one in reports for k in one.get("about", {}).get("untrusted", ())}:
            notes.append(f"Of {name} {format_untrusted(sorted(doubtful))}.")
    if replicates is None:
        replicates, said = _replicates(entrants, split)
        notes += said
    notes += _remarks(models) + [f"Note: {note}." for note in notes_on(told)]
    for path, short in called.items():
        notes = [note.replace(str(path), short) for note in notes]
    lines = compare_models(
        {name: [one.predictions for one in of] for name, of in models.items()},
        sources,
        replicates=replicates,
    )
    output = Path(output)
    positives = scored[0].predictions.labels.sum(axis=0, dtype=int)
    count = len(scored[0].predictions.record_id)
    table = format_markdown(lines, split=shown, records=count, notes=notes)
    for name, text in (
        ("comparison.md", table),
        ("comparison.csv", format_csv(lines)),
        ("comparison.tex", format_latex(lines, notes=notes)),
    ):
        with replacing(output / name) as beside:
            beside.write_text(text)
    for key in ("f_measure", "auprc"):
        values = {line.name: line.measured[f"{key}_classes"] for line in lines}
        title = f"{COLUMNS[key]} of each class, {shown}"
        drawn = class_marks(
            values, few=lines[0].few, positives=positives, name=COLUMNS[key], title=title
        )
        save(drawn, output / f"{key}_classes.png")
    if len(lines) > 1:
        save(forest(lines, title=f"Differences to {names[0]}, {shown}"), output / "differences.png")
    return table


def _parse(text: str) -> tuple[str, list[str]]:
    """'NAME:ONE+TWO' -> (NAME, [ONE, TWO]); the name is '' where none is given."""
    if Path(text).expanduser().exists():
        return "", [text]
    name, colon, rest = text.partition(":")
    if not colon or "/" in name:
        name, rest = "", text
    parts = [rest] if Path(rest).expanduser().exists() else rest.split("+")
    if not all(parts):
        raise ValueError(f"--runs holds {text!r}; give NAME:ONE+TWO, each a run or a table")
    return name, parts


def _entrant(text: str) -> Entrant:
    validation = None
    if not Path(text).expanduser().exists() and "@" in text:
        text, _, other = text.rpartition("@")
        validation = Path(other).expanduser()
    path = Path(text).expanduser()
    is_run = (path / "config.json").is_file() or read_mark(path) is not None
    if not is_run and (path.suffix.lower() in SUFFIXES or next(path.rglob("*.csv"), None)):
        return Entrant(path, validation)
    return Entrant(path, None, *describe(path))


def _score(entrants: Sequence[Entrant], split: str) -> tuple[list[_Scored], list[str]]:
    """The predictions of all entrants on the records that all of them have; and notes."""
    own = {one.path: _of_run(one, split) for one in entrants if one.folds is not None}
    if not own:
        raise ValueError(
            "none of these is an evaluated run, and the labels are in its evaluation; give one"
        )
    first = next(iter(own))
    _check_runs([one for one in entrants if one.folds is not None], own, split)
    tables = {one.path: read_score_table(one.path) for one in entrants if one.folds is None}
    kept, notes = common_records(list(tables.values()), own[first].predictions.record_id)
    whole = {path: _Scored(of.predictions.take(kept), of.decided) for path, of in own.items()}
    for one in entrants:
        if one.path in tables:
            base = whole[first].predictions
            whole[one.path] = _of_table(tables[one.path], base, one.validation, first)
    return [whole[one.path] for one in entrants], notes


def _of_table(table: ScoreTable, base: Predictions, validation: Path | None, run: Path) -> _Scored:
    """A table's scores of the records of `base`, decided as it says or by the run's rule."""
    scored = aligned(table, base)
    if table.decisions is not None:
        return _Scored(scored, "as the file has them")
    if validation is None:
        return _Scored(scored, _AT_HALF)
    other = read_score_table(validation)
    labelled = _load(run, "validation")
    labelled = labelled.take(np.isin(labelled.record_id, other.record_id))
    if not len(labelled.record_id):
        raise ValueError(f"{validation}: none of its records is a validation record of {run}")
    rule = _rule(run, "validation")
    rule = rule if rule in thresholds.METHODS and rule != "fixed" else "f1"
    chosen = thresholds.choose(rule, labelled.labels, aligned(other, labelled).scores)
    return _Scored(scored.decided(chosen), _AT_RULE.format(rule))


def _rule(run: Path, split: str) -> str:
    """By which rule a run's thresholds were chosen, by its report; 'fixed' if it has none."""
    if rule := _report(run, split).get("about", {}).get("thresholds"):
        return rule
    file = run / "thresholds.json"
    return Thresholds.from_json(file).method if file.is_file() else "fixed"


def _report(run: Path, split: str) -> dict:
    """A run's report; {} if it has none."""
    report = run / "evaluation" / f"{split}.json"
    return json.loads(report.read_text()) if report.is_file() else {}


def _of_run(run: Entrant, split: str) -> _Scored:
    predictions, rule = _load(run.path, split), _rule(run.path, split)
    fixed = rule == "fixed" or (predictions.thresholds == thresholds.DEFAULT).all()
    return _Scored(predictions, _AT_HALF if fixed else _AT_RULE.format(rule))


def _load(folder: Path, split: str) -> Predictions:
    """A run's predictions, sorted by record."""
    path = folder / "evaluation" / f"{split}.npz"
    if not path.is_file():
        others = ", ".join(sorted(p.stem for p in path.parent.glob("*.npz"))) or "no split"
        raise FileNotFoundError(
            f"{path} is missing: the run was evaluated on {others}; "
            f"evaluate it with --mode=evaluate --split={split}"
        )
    predictions = load_predictions(path)
    names = Counter(np.asarray(predictions.record_id).tolist())
    if twice := [name for name, times in names.items() if times > 1]:
        raise ValueError(f"{path}: {len(twice)} records stand twice: {shortlist(twice)}")
    return predictions.take(np.argsort(predictions.record_id, kind="stable"))


def _check_runs(runs: Sequence[Entrant], scored: dict[Path, _Scored], split: str) -> None:
    for other in runs[1:]:
        key = f"{split}_folds"
        here, there = ((one.folds or {}).get(key) for one in (runs[0], other))
        if here != there:
            raise ValueError(
                f"splits differ: {key} is {here} in {runs[0].path}, {there} in {other.path}"
            )
        one, two = scored[runs[0].path].predictions, scored[other.path].predictions
        check_same_records(one, two, str(runs[0].path), str(other.path))


def _names(
    groups: Sequence[tuple[str, Sequence[Entrant]]], called: Mapping[Path, str]
) -> list[str]:
    """The given names, else the models'; their folders are added where two are the same."""
    plain = [name or _model(of) for name, of in groups]
    return [
        f"{model} ({'+'.join(called[one.path] for one in of)})" if plain.count(model) > 1 else model
        for model, (_, of) in zip(plain, groups, strict=True)
    ]


def _model(members: Sequence[Entrant]) -> str:
    found = [one.path.stem if one.folds is None else one.model for one in members]
    return " + ".join(dict.fromkeys(found))


def _replicates(entrants: Sequence[Entrant], split: str) -> tuple[int, list[str]]:
    """The number of replicates of the runs' reports; the largest, and a note, where they differ."""
    reports = filter(None, (_report(e.path, split) for e in entrants if e.folds is not None))
    given = {report.get("replicates", _REPLICATES) for report in reports}
    most = max(given, default=_REPLICATES)
    if len(given) < 2:
        return most, []
    return most, [f"{most:,} replicates; some runs' own reports have fewer."]


def _remarks(models: dict[str, list[_Scored]]) -> list[str]:
    """How decisions were made, and which scores are the same."""
    ways: dict[str, list[str]] = {}
    for name, members in models.items():
        for way in dict.fromkeys(one.decided for one in members):
            ways.setdefault(way, []).append(name)
    notes = ["Decisions " + "; ".join(f"{w}: {', '.join(n)}" for w, n in ways.items()) + "."]
    if len(ways) > 1:
        notes.append(
            "Decisions were not made in one way: tuned and untuned thresholds differ in F-measure, "
            "Hamming loss, specificity and Challenge metric even where the scores are as good."
        )
    each = [(name, one.predictions.scores) for name, of in models.items() for one in of]
    for (other, two), (name, one) in itertools.combinations(each, 2):
        if np.array_equal(one, two):
            notes.append(f"Scores of {other} and {name} are the very same.")
    return notes
