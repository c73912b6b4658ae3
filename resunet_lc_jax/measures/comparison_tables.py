"""A comparison as Markdown, LaTeX and CSV."""

import csv
import io
from collections.abc import Sequence

from resunet_lc_jax.measures.comparison import COLUMNS, ComparedModel


def _rows(lines: Sequence[ComparedModel], indent: str) -> list[list[str]]:
    """The table's cells: for each model its scores, their spread, its differences to the first."""
    rows = []
    for line in lines:
        cells = [f"{e.value:.3f} ({e.low:.3f} to {e.high:.3f})" for e in line.scores.values()]
        rows.append([line.name, *cells])
        if line.deviations is not None:
            spread = [f"{line.deviations[key]:.3f}" for key in COLUMNS]
            rows.append([f"{indent}s.d. of {line.members} runs", *spread])
        if line.differences is not None:
            cells = [
                f"{e.value:+.3f} ({e.low:+.3f} to {e.high:+.3f})" + "*" * line.differs(key)
                for key, e in line.differences.items()
            ]
            rows.append([f"{indent}difference", *cells])
    return rows


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first are of numbers."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def format_markdown(
    lines: Sequence[ComparedModel], *, split: str, records: int, notes: Sequence[str]
) -> str:
    """The table in Markdown, with notes on how to read it."""
    table = markdown(["model", *COLUMNS.values()], _rows(lines, "↳ "))
    text = "".join(f"\n\n{note}" for note in notes)
    return f"{table}\n\n{records:,} records, {split}. {caption(lines)}{text}\n"


def format_latex(lines: Sequence[ComparedModel], *, notes: Sequence[str]) -> str:
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
            *(f"% {note}".replace("&", "and") for note in (caption(lines), *notes)),
            "",
        ]
    )


def _escape(text: str) -> str:
    return text.replace("_", r"\_").replace("&", r"\&").replace("%", r"\%").replace("#", r"\#")


def caption(lines: Sequence[ComparedModel]) -> str:
    """How to read the table."""
    text = (
        "In brackets: 95 % bootstrap interval over patients (over records where these are unknown)."
    )
    if any(line.members > 1 for line in lines):
        text += (
            " Several runs of a model: their mean, the interval of this mean, and the standard"
            " deviation over the runs."
        )
    if len(lines) > 1:
        text += (
            f" Differences to {lines[0].name}, paired by replicate; *: p < .05 for all"
            f" {len(COLUMNS)} metrics at once (Holm)."
        )
    return text


def format_csv(lines: Sequence[ComparedModel]) -> str:
    """One row per model and metric, to full precision."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        ["model", "run", "metric", "value", "low", "high"]
        + ["difference", "difference_low", "difference_high"]
        + ["p_value", "p_value_holm", "runs", "standard_deviation"]
    )
    for line in lines:
        for key in COLUMNS:
            of = line.scores[key]
            row = [line.name, line.source, key, of.value, of.low, of.high]
            if line.differences is None or line.adjusted is None:
                row += [""] * 5
            else:
                of = line.differences[key]
                row += [of.value, of.low, of.high, of.p_value, line.adjusted[key]]
            spread = "" if line.deviations is None else line.deviations[key]
            rows.writerow([*row, line.members, spread])
    return text.getvalue()
