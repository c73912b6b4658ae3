"""Runs side by side on the same records: the table and the two figures of a results section."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from resunet_lc_jax.measures.figures import class_marks, save
from resunet_lc_jax.measures.intervals import Estimate
from resunet_lc_jax.measures.measured import difference, measure
from resunet_lc_jax.measures.predictions import Predictions, check_same_records, load_predictions
from resunet_lc_jax.runs.kind import describe
from tfds_physionet.files import replacing

COLUMNS = {
    "f_measure": "F-measure",
    "auprc": "AUPRC",
    "hamming_loss": "Hamming loss",
    "specificity": "Specificity",
    "auroc": "AUROC",
    "challenge_metric": "Challenge metric",
}


@dataclass(frozen=True, eq=False)
class ComparedRun:
    """One run's line of the table.

    Attributes:
      model: the network's name, with the run's folder where two runs have the same.
      workdir: the run.
      scores: by metric of `COLUMNS`.
      differences: to the first run, paired by replicate; None for the first.
      measured: its `metrics.score`.
    """

    model: str
    workdir: Path
    scores: dict[str, Estimate]
    differences: dict[str, Estimate] | None
    measured: dict


def compare(
    runs: Sequence[str | Path],
    output: str | Path,
    *,
    split: str = "test",
    replicates: int = 1000,
) -> str:
    """Compares evaluated runs.

    Writes comparison.md, comparison.csv, comparison.tex, f_measure_classes.png and
    auprc_classes.png.

    Args:
      runs: their folders, each with config.json and evaluation/<split>.npz.
      output: the folder to write to.
      split: which evaluation.
      replicates: of the bootstrap over patients.

    Returns:
      The table as Markdown.

    Raises:
      FileNotFoundError: a folder holds no run, or no evaluation of the split.
      ValueError: the runs' splits, records, patients or labels differ; the message says in what.
    """
    folders = [Path(run) for run in runs]
    if not folders:
        raise ValueError("no runs to compare; give their folders")
    made_by = [describe(folder) for folder in folders]
    predictions = [_sorted_predictions(folder, split) for folder in folders]
    for folder, (_, folds), other in zip(folders[1:], made_by[1:], predictions[1:], strict=True):
        key = f"{split}_folds"
        here, there = made_by[0][1].get(key), folds.get(key)
        if here != there:
            raise ValueError(f"splits differ: {key} is {here} in {folders[0]}, {there} in {folder}")
        check_same_records(predictions[0], other, str(folders[0]), str(folder))
    names = _model_names(folders, [name for name, _ in made_by])
    lines = _measure(folders, names, predictions, replicates)

    output = Path(output)
    table = format_markdown(lines, split=split, records=len(predictions[0].record_id))
    for name, text in (
        ("comparison.md", table),
        ("comparison.csv", format_csv(lines)),
        ("comparison.tex", format_latex(lines)),
    ):
        with replacing(output / name) as beside:
            beside.write_text(text)
    for key in ("f_measure", "auprc"):
        values = {line.model: line.measured[f"{key}_classes"] for line in lines}
        title = f"{COLUMNS[key]} of each class, {split}"
        save(class_marks(values, name=COLUMNS[key], title=title), output / f"{key}_classes.png")
    return table


def _sorted_predictions(folder: Path, split: str) -> Predictions:
    path = folder / "evaluation" / f"{split}.npz"
    if not path.is_file():
        others = ", ".join(sorted(p.stem for p in path.parent.glob("*.npz"))) or "no split"
        raise FileNotFoundError(
            f"{path} is missing: the run was evaluated on {others}; "
            f"evaluate it with --mode=evaluate --split={split}"
        )
    predictions = load_predictions(path)
    return predictions.take(np.argsort(predictions.record_id, kind="stable"))


def _model_names(folders: Sequence[Path], models: list[str]) -> list[str]:
    names = models
    for called in (lambda folder: folder.name, str):
        if len(set(names)) == len(names):
            break
        names = [
            f"{model} ({called(folder)})" if models.count(model) > 1 else model
            for model, folder in zip(models, folders, strict=True)
        ]
    return names


def _measure(
    folders: Sequence[Path],
    names: Sequence[str],
    predictions: Sequence[Predictions],
    replicates: int,
) -> list[ComparedRun]:
    lines: list[ComparedRun] = []
    everything = [
        measure(run.labels, run.scores, run.decisions, run.patient_id, replicates=replicates)
        for run in predictions
    ]
    for folder, name, run in zip(folders, names, everything, strict=True):
        lines.append(
            ComparedRun(
                name,
                folder,
                {key: run.macro[key] for key in COLUMNS},
                {key: difference(everything[0], run, key) for key in COLUMNS} if lines else None,
                run.scores,
            )
        )
    return lines


def _rows(lines: Sequence[ComparedRun], indent: str) -> list[list[str]]:
    """The table's cells: for each run its scores, then its differences to the first."""
    rows = []
    for line in lines:
        cells = [f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})" for e in line.scores.values()]
        rows.append([line.model, *cells])
        if line.differences is not None:
            cells = [
                f"{e.value:+.3f} ({e.low:+.3f} to {e.high:+.3f})" + "*" * (e.low * e.high > 0)
                for e in line.differences.values()
            ]
            rows.append([f"{indent}difference", *cells])
    return rows


def format_markdown(lines: Sequence[ComparedRun], *, split: str, records: int) -> str:
    """The table in Markdown, with a note on how to read it."""
    rows = [["model", *COLUMNS.values()], ["---", *("---:" for _ in COLUMNS)]]
    rows += _rows(lines, "↳ ")
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n{records:,} records, {split}. {_note(lines)}\n"


def format_latex(lines: Sequence[ComparedRun]) -> str:
    """The table in LaTeX; needs the package booktabs."""
    body = [
        f"{' & '.join([_escape(name), *(cell.replace('-', '$-$') for cell in cells)])} \\\\"
        for name, *cells in _rows(lines, r"\quad ")
    ]
    return "\n".join(
        [
            f"\\begin{{tabular}}{{l{'r' * len(COLUMNS)}}}",
            r"\toprule",
            f"Model & {' & '.join(COLUMNS.values())} \\\\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            f"% {_note(lines)}",
            "",
        ]
    )


def _escape(text: str) -> str:
    return text.replace("_", r"\_").replace("&", r"\&").replace("%", r"\%").replace("#", r"\#")


def _note(lines: Sequence[ComparedRun]) -> str:
    note = "In brackets: 95 % bootstrap interval over patients."
    if len(lines) > 1:
        note += f" Differences to {lines[0].model}, paired by replicate; *: 0 lies outside."
    return note


def format_csv(lines: Sequence[ComparedRun]) -> str:
    """One row per run and metric, to full precision."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["model", "run", "metric", "value", "low", "high"]
        + ["difference", "difference_low", "difference_high"]
    )
    for line in lines:
        for key in COLUMNS:
            row = [line.model, line.workdir, key]
            row += [line.scores[key].value, line.scores[key].low, line.scores[key].high]
            if line.differences is not None:
                difference = line.differences[key]
                row += [difference.value, difference.low, difference.high]
            rows.writerow(row + [""] * (9 - len(row)))
    return text.getvalue()
