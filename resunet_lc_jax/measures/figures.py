"""Figures of reports as PNG files, drawn without pyplot: no display, no global state."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resunet_lc_jax.measures.intervals import FEWEST
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.files import replacing

_INK, _PALE, _FAINT = "#1f5a99", "#d08a3c", "#b5b5b5"
_FEW = f"*: fewer than {FEWEST} positives"
_TALLEST = 0.25  # of a panel, a bar that holds all records
_GRID = (4, 7)  # places for 26 classes, the first below the other


def write_figures(report: Mapping[str, Any], folder: str | Path, *, title: str) -> list[Path]:
    """Draws a report of `report.build_report`.

    Args:
      report: the report.
      folder: where to; the files are precision_recall.png, reliability.png, classes.png,
        confusion.png and risk_coverage.png.
      title: above each figure, such as 'resunet_lc, test'.

    Returns:
      The files.
    """
    drawings: dict[str, Callable[[Mapping[str, Any], str], Figure]] = {
        "precision_recall": precision_recall,
        "reliability": reliability,
        "classes": class_bars,
        "confusion": confusion,
        "risk_coverage": risk_coverage,
    }
    paths = []
    for name, draw in drawings.items():
        paths.append(Path(folder) / f"{name}.png")
        save(draw(report, title), paths[-1])
    return paths


def save(figure: Figure, path: str | Path) -> None:
    """Writes a figure as PNG beside `path` and renames."""
    with replacing(path) as beside:
        figure.savefig(beside, dpi=120)


def precision_recall(report: Mapping[str, Any], title: str) -> Figure:
    """Curves of each class with their area; grey: the share of positives, the curve of chance."""

    def draw(axes: Axes, name: str, entry: Mapping[str, Any]) -> None:
        curve = entry["precision_recall"]
        if curve["recall"]:
            axes.axhline(entry["prevalence"], color=_FAINT, linestyle="--")
            recall = [0.0, *curve["recall"]]
            axes.step(recall, [*curve["precision"][:1], *curve["precision"]], color=_ink(entry))
        _small_title(axes, name, entry, entry["auprc"])

    return _small_multiples(
        report,
        draw,
        f"{title}: precision over recall (area in the corner; n: positive records, {_FEW})",
        "recall",
        "precision",
    )


def reliability(report: Mapping[str, Any], title: str) -> Figure:
    """Share of positives over mean score in ten bins, with intervals, counts and the error."""

    def draw(axes: Axes, name: str, entry: Mapping[str, Any]) -> None:
        curve = entry["calibration"]
        if entry["positives"]:
            records = np.asarray(curve["records"])
            filled = records > 0
            score, share, low, high = (
                np.asarray(curve[key], np.float64)[filled]
                for key in ("mean_score", "share", "share_low", "share_high")
            )
            # How many records lie in each bin, along the bottom: most bins hold few.
            edges = np.arange(len(records)) / len(records)
            axes.bar(
                edges,
                _TALLEST * np.log1p(records) / np.log1p(records.sum()),
                1 / len(records),
                0,
                align="edge",
                color=_FAINT,
                alpha=0.5,
            )
            axes.plot([0, 1], [0, 1], color=_FAINT, linestyle="--")
            axes.vlines(score, low, high, color=_ink(entry), linewidth=1)
            axes.plot(score, share, "o-", color=_ink(entry), linewidth=1, markersize=3)
        _small_title(axes, name, entry, curve["error"] if entry["positives"] else np.nan)

    return _small_multiples(
        report,
        draw,
        f"{title}: share of positives over score with 95 % intervals; bars: records in each tenth, "
        f"logarithmic, a quarter of the height is {report['records']:,}\n"
        f"(calibration error in the corner; n: positive records, {_FEW})",
        "mean score",
        "share of positives",
    )


def risk_coverage(report: Mapping[str, Any], title: str) -> Figure:
    """Wrong decisions among the most certain records, over how many of them are kept."""
    curve = report["risk_coverage"]
    figure = Figure(figsize=(10, 4.5), layout="constrained")
    figure.suptitle(f"{title}: what is gained by leaving the least certain records to a human")
    panels = figure.subplots(1, 2)
    for axes, key, name in (
        (panels[0], "risk", "share of wrong decisions"),
        (panels[1], "records_right", "share of records right in all classes"),
    ):
        axes.plot(curve["coverage"], curve[key], "o-", color=_INK, markersize=3)
        axes.set(
            xlabel="share of records kept, the most certain first", ylabel=name, xlim=(0, 1.02)
        )
        axes.set_ylim(0, min(max(1.1 * max(curve[key]), 0.01), 1.02))
        axes.grid(alpha=0.3)
    return figure


def class_bars(report: Mapping[str, Any], title: str) -> Figure:
    """AUROC, AUPRC and F1 of each class with their 95 % intervals, the commonest class on top."""
    names = sorted(CLASS_NAMES, key=lambda name: report["classes"][name]["positives"])
    entries = [report["classes"][name] for name in names]
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    figure.suptitle(f"{title}: classes by number of positive records, 95 % intervals ({_FEW})")
    panels = figure.subplots(1, 3, sharey=True)
    panel_of = {"AUROC": "auroc", "AUPRC": "auprc", "F1": "f_measure"}
    for axes, (heading, key) in zip(panels, panel_of.items(), strict=True):
        values = np.array([entry[key] for entry in entries])
        bounds = np.array([entry["intervals"][key] for entry in entries])
        places = np.arange(len(names))
        known = ~np.isnan(values)
        colours = [_ink(entry) for entry in entries]
        bars = axes.barh(places, np.where(known, values, 0.0), color=colours, alpha=0.75)
        for bar, has in zip(bars, known, strict=True):
            bar.set_visible(bool(has))
        axes.hlines(places, bounds[:, 0], bounds[:, 1], color="black", linewidth=1.2)
        for place in places[~(values > 0)]:
            text = "0" if known[place] else "undefined"
            axes.text(0.01, place, text, va="center", color="grey", fontsize=8)
        axes.axvline(report[key], color="black", linestyle=":", linewidth=1)
        axes.set(title=f"{heading} (macro {report[key]:.3f}, dotted)", xlim=(0, 1))
        axes.grid(axis="x", alpha=0.3)
    labels = [f"{_starred(n, e)} ({e['positives']:,})" for n, e in zip(names, entries, strict=True)]
    panels[0].set_yticks(np.arange(len(names)), labels, fontsize=8)
    panels[0].set_ylim(-0.6, len(names) - 0.4)
    return figure


def confusion(report: Mapping[str, Any], title: str) -> Figure:
    """Which wrong decisions were made where a label was missed, in percent of the missed.

    Rows of a label that was missed fewer than five times are pale: 100 percent of one is little.
    """
    counts = np.asarray(report["missed"], np.float64)
    missed = np.diagonal(counts).copy()
    np.fill_diagonal(counts, 0)
    percent = 100 * np.divide(
        counts, missed[:, None], out=np.zeros_like(counts), where=missed[:, None] > 0
    )
    figure = Figure(figsize=(11.5, 9.5), layout="constrained")
    axes = figure.subplots()
    pale = missed < FEWEST
    strength = np.broadcast_to(np.where(pale, 0.3, 1.0)[:, None], percent.shape)
    image = axes.imshow(percent, cmap="Blues", vmin=0, vmax=100, alpha=strength)
    for row, column in np.argwhere(percent >= 3):
        shade = "white" if percent[row, column] > 60 and not pale[row] else "black"
        text = f"{percent[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=shade)
    for place in range(len(counts)):
        axes.add_patch(Rectangle((place - 0.5, place - 0.5), 1, 1, color="#e8e8e8"))
    places = np.arange(len(CLASS_NAMES))
    entries = report["classes"]
    rows = [
        f"{_starred(name, entries[name])}  {missed[k]:.0f} of {entries[name]['positives']:,}"
        for k, name in enumerate(CLASS_NAMES)
    ]
    axes.set_xticks(places, CLASS_NAMES, rotation=90, fontsize=8)
    axes.set_yticks(places, rows, fontsize=8)
    axes.set(
        xlabel="decided wrongly for",
        ylabel="label, missed in",
    )
    figure.suptitle(
        f"{title}: wrong decisions where a label was missed, % of the missed\n"
        f"(pale: missed fewer than {FEWEST} times; {_FEW})"
    )
    if missed.any():
        # The rows' strength is not the scale's.
        scale = ScalarMappable(image.norm, image.cmap)
        figure.colorbar(scale, ax=axes, shrink=0.6)
    else:
        axes.text(0.5, 0.7, "no label was missed", transform=axes.transAxes, color="grey")
    return figure


def _ink(entry: Mapping[str, Any]) -> str:
    return _PALE if entry["few_positives"] else _INK


def _starred(name: str, entry: Mapping[str, Any]) -> str:
    return f"{name}*" if entry["few_positives"] else name


def _small_multiples(
    report: Mapping[str, Any],
    draw: Callable[[Axes, str, Mapping[str, Any]], None],
    title: str,
    x: str,
    y: str,
) -> Figure:
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    figure.suptitle(title, fontsize=11)
    panels = figure.subplots(*_GRID, sharex=True, sharey=True)
    for axes in panels.flat[len(CLASS_NAMES) :]:
        axes.set_visible(False)
    for axes, (name, entry) in zip(panels.flat, report["classes"].items(), strict=False):
        draw(axes, name, entry)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    # The panels above the two empty places have no tick labels below them otherwise.
    for axes in panels[-2, len(CLASS_NAMES) % _GRID[1] :]:
        axes.tick_params(labelbottom=True)
    figure.supxlabel(x)
    figure.supylabel(y)
    return figure


def _small_title(axes: Axes, name: str, entry: Mapping[str, Any], value: float) -> None:
    title = f"{_starred(name, entry)}  n={entry['positives']:,}"
    axes.set_title(title, fontsize=8, loc="left", pad=3)
    if np.isnan(value):
        axes.text(0.5, 0.5, "undefined", ha="center", color="grey", fontsize=8)
    else:
        axes.set_title(f"{value:.3f}", fontsize=8, loc="right", pad=3, color="grey")
