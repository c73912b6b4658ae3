"""Figures of reports as PNG files, drawn without pyplot: no display, no global state."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from resunet_lc_jax.measures.comparison import COLUMNS, ComparedModel
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.files import replacing

_INK, _FAINT = "#1f5a99", "#b5b5b5"
_GRID = (4, 7)  # places for 26 classes, the first below the other
# Colours and shapes: the models stay apart in print and for the colour-blind (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHAPES = "osD^vPX"


def mark(number: int) -> tuple[str, str]:
    """Colour and shape of one of up to 49 models: each pair once, both new for the next."""
    turn, place = divmod(number, len(_COLOURS))
    return _COLOURS[place], _SHAPES[(place + turn) % len(_SHAPES)]


def write_figures(report: Mapping[str, Any], folder: str | Path, *, title: str) -> list[Path]:
    """Draws a report of `report.build_report`.

    Args:
      report: the report.
      folder: where to; the files are precision_recall.png, reliability.png, classes.png and
        confusion.png.
      title: above each figure, such as 'resunet_lc, test'.

    Returns:
      The files.
    """
    drawings: dict[str, Callable[[Mapping[str, Any], str], Figure]] = {
        "precision_recall": precision_recall,
        "reliability": reliability,
        "classes": class_bars,
        "confusion": confusion,
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
        axes.axhline(entry["positives"] / report["records"], color=_FAINT, linestyle="--")
        recall, precision = [0.0, *curve["recall"]], [*curve["precision"][:1], *curve["precision"]]
        if curve["recall"]:
            axes.step(recall, precision, color=_INK)
        else:
            axes.text(0.5, 0.5, "no positives", ha="center", color="grey", fontsize=8)
        _small_title(axes, name, entry["auprc"])

    return _small_multiples(
        report, draw, f"{title}: precision over recall (area in the corner)", "recall", "precision"
    )


def reliability(report: Mapping[str, Any], title: str) -> Figure:
    """Share of positives over mean score in ten bins, with the calibration error."""

    def draw(axes: Axes, name: str, entry: Mapping[str, Any]) -> None:
        curve = entry["calibration"]
        records = np.asarray(curve["records"])
        axes.plot([0, 1], [0, 1], color=_FAINT, linestyle="--")
        filled = records > 0
        score, share = np.asarray(curve["mean_score"])[filled], np.asarray(curve["share"])[filled]
        axes.plot(score, share, color=_INK, linewidth=1)
        # The area of a dot grows with the records behind it, down to a visible minimum.
        axes.scatter(score, share, s=4 + 40 * records[filled] / records.sum(), color=_INK)
        _small_title(axes, name, curve["error"])

    return _small_multiples(
        report,
        draw,
        f"{title}: share of positives over score (calibration error in the corner)",
        "mean score",
        "share of positives",
    )


def class_bars(report: Mapping[str, Any], title: str) -> Figure:
    """AUROC, AUPRC and F1 of each class with their 95 % intervals, the commonest class on top."""
    names = sorted(CLASS_NAMES, key=lambda name: report["classes"][name]["positives"])
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    figure.suptitle(f"{title}: classes by number of positive records, 95 % intervals")
    panels = figure.subplots(1, 3, sharey=True)
    panel_of = {"AUROC": "auroc", "AUPRC": "auprc", "F1": "f_measure"}
    for axes, (heading, key) in zip(panels, panel_of.items(), strict=True):
        values = np.array([report["classes"][name][key] for name in names])
        bounds = np.array([report["classes"][name]["intervals"][key] for name in names])
        places = np.arange(len(names))
        axes.barh(places, np.nan_to_num(values), color=_INK, alpha=0.75)
        axes.hlines(places, bounds[:, 0], bounds[:, 1], color="black", linewidth=1.2)
        for place in places[np.isnan(values)]:
            axes.text(0.99, place, "undefined", va="center", ha="right", color="grey", fontsize=8)
        axes.axvline(report[key], color="black", linestyle=":", linewidth=1)
        axes.set(title=f"{heading} (macro {report[key]:.3f}, dotted)", xlim=(0, 1))
        axes.grid(axis="x", alpha=0.3)
    labels = [f"{name} ({report['classes'][name]['positives']:,})" for name in names]
    panels[0].set_yticks(np.arange(len(names)), labels, fontsize=8)
    panels[0].set_ylim(-0.6, len(names) - 0.4)
    return figure


def confusion(report: Mapping[str, Any], title: str) -> Figure:
    """Which decisions go with each label: rows of the Challenge metric's confusion, in percent."""
    counts = np.asarray(report["confusion"])
    totals = counts.sum(axis=1, keepdims=True)
    percent = 100 * np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    figure = Figure(figsize=(11, 9.5), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(percent, cmap="Blues", vmin=0)
    for place in range(len(counts)):
        frame = Rectangle((place - 0.5, place - 0.5), 1, 1, fill=False, edgecolor="grey")
        axes.add_patch(frame)
    for row, column in np.argwhere(percent >= 3):
        shade = "white" if percent[row, column] > 0.6 * percent.max() else "black"
        text = f"{percent[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=shade)
    places = np.arange(len(CLASS_NAMES))
    axes.set_xticks(places, CLASS_NAMES, rotation=90, fontsize=8)
    axes.set_yticks(places, CLASS_NAMES, fontsize=8)
    axes.set(
        xlabel="decided",
        ylabel="label",
        title=f"{title}: decisions per label, % of the row (the label itself framed)",
    )
    figure.colorbar(image, ax=axes, shrink=0.6)
    return figure


def class_marks(values: Mapping[str, list[float]], *, name: str, title: str) -> Figure:
    """One metric of every class for several models, one mark each, best class of the first left.

    Args:
      values: 26 numbers by model, NaN where undefined.
      name: of the metric.
      title: above the figure.
    """
    table = np.array(list(values.values()))
    order = np.argsort(-np.nan_to_num(table[0], nan=-1), kind="stable")
    figure = Figure(figsize=(12, 4.8), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(order))
    axes.vlines(
        places,
        np.fmin.reduce(table[:, order]),
        np.fmax.reduce(table[:, order]),
        color=_FAINT,
        zorder=1,
    )
    # Side by side within a class, so that equal values do not hide one another.
    shift = 0.5 / max(len(values), 4) * (np.arange(len(values)) - (len(values) - 1) / 2)
    for number, (model, row) in enumerate(zip(values, table, strict=True)):
        color, shape = mark(number)
        label = f"{model} (macro {np.nanmean(row) if np.isfinite(row).any() else np.nan:.3f})"
        axes.scatter(
            places + shift[number], row[order], color=color, marker=shape, label=label, s=30
        )
    for place in places[~np.isfinite(table[:, order]).any(axis=0)]:
        axes.text(place, 0.02, "undefined", rotation=90, ha="center", color="grey", fontsize=8)
    names = [CLASS_NAMES[k] for k in order]
    axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set(ylabel=name, xlim=(-0.7, len(order) - 0.3), ylim=(-0.03, 1.03), title=title)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=min(len(values), 4), frameon=False)
    return figure


def forest(lines: Sequence[ComparedModel], *, title: str) -> Figure:
    """Differences to the first model with their intervals, a panel a metric.

    Args:
      lines: of `comparison.compare_models`, two or more.
      title: above the figure.
    """
    others = lines[1:]
    figure = Figure(figsize=(13, 1.8 + 0.35 * len(others)), layout="constrained")
    figure.suptitle(
        f"{title}: 95 % intervals over patients; filled: p < .05 for all metrics at once"
    )
    panels = figure.subplots(1, len(COLUMNS), sharey=True)
    for axes, (key, name) in zip(panels, COLUMNS.items(), strict=True):
        axes.axvline(0, color=_FAINT, linestyle="--")
        for place, line in enumerate(reversed(others)):
            of = (line.differences or {})[key]
            colour, shape = mark(len(others) - place)
            axes.hlines(place, of.low, of.high, color=colour)
            face = colour if line.differs(key) else "white"
            axes.plot(of.value, place, shape, color=colour, markerfacecolor=face, markersize=6)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("lower is better" if key == "hamming_loss" else "", fontsize=8)
        axes.tick_params(axis="x", labelsize=7, labelrotation=45)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(others)), [line.name for line in reversed(others)], fontsize=8)
    panels[0].set_ylim(-0.6, len(others) - 0.4)
    return figure


def _small_multiples(
    report: Mapping[str, Any],
    draw: Callable[[Axes, str, Mapping[str, Any]], None],
    title: str,
    x: str,
    y: str,
) -> Figure:
    figure = Figure(figsize=(12, 7.5), layout="constrained")
    figure.suptitle(title)
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


def _small_title(axes: Axes, name: str, value: float) -> None:
    axes.set_title(name, fontsize=9, loc="left", pad=3)
    text = "-" if np.isnan(value) else f"{value:.3f}"
    axes.set_title(text, fontsize=9, loc="right", pad=3, color="grey")
