"""Figures of a comparison: classes of several models, and their differences to the first."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from resunet_lc_jax.measures.comparison import COLUMNS, ComparedModel
from resunet_lc_jax.measures.intervals import FEWEST
from resunet_lc_jax.measures.metrics import macro
from tfds_physionet.diagnoses import CLASS_NAMES

_FAINT = "#b5b5b5"
_LEGEND_LETTERS = 150  # in a line
# Colours and shapes: the models stay apart in print and for the colour-blind (Okabe and Ito).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_SHAPES = "osD^vPX"


def mark(number: int) -> tuple[str, str]:
    """Colour and shape of one of up to 49 models: each pair once, both new for the next."""
    turn, place = divmod(number, len(_COLOURS))
    return _COLOURS[place], _SHAPES[(place + turn) % len(_SHAPES)]


def class_marks(
    values: Mapping[str, list[float]],
    *,
    few: np.ndarray,
    positives: np.ndarray,
    name: str,
    title: str,
) -> Figure:
    """One metric of every class for several models, one mark each, best class of the first left.

    Args:
      values: 26 numbers by model, NaN where undefined.
      few: [26] bool, classes that are too rare to have an interval.
      positives: [26] how many records have each class.
      name: of the metric.
      title: above the figure.
    """
    table = np.array(list(values.values()))
    order = np.argsort(-np.nan_to_num(table[0], nan=-1), kind="stable")
    labels = [f"{m} (macro {float(macro(row)):.3f})" for m, row in zip(values, table, strict=True)]
    columns = max(min(len(labels), _LEGEND_LETTERS // (max(map(len, labels)) + 6)), 1)
    rows = -(-len(labels) // columns)
    figure = Figure(figsize=(13, 4.8 + 0.2 * rows), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(order))
    for place in places[1::2]:
        axes.axvspan(place - 0.5, place + 0.5, color="#f0f0f0", zorder=0)
    # Side by side within a class, so that equal values do not hide one another.
    step = min(0.14, 0.8 / len(labels))
    for number, (label, row) in enumerate(zip(labels, table, strict=True)):
        color, shape = mark(number)
        x = places + step * (number - (len(labels) - 1) / 2)
        size = 30 if len(labels) < 6 else 18
        axes.scatter(x, row[order], color=color, marker=shape, label=label, s=size)
    for place in places[~np.isfinite(table[:, order]).any(axis=0)]:
        axes.text(place, 0.02, "undefined", rotation=90, ha="center", color="grey", fontsize=8)
    names = [f"{CLASS_NAMES[k]}{'*' * bool(few[k])} ({positives[k]:,})" for k in order]
    axes.set_xticks(places, names, rotation=60, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set(ylabel=name, xlim=(-0.7, len(order) - 0.3), ylim=(-0.03, 1.03))
    axes.set_title(f"{title} (positive records in brackets, *: fewer than {FEWEST})", fontsize=11)
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=9)
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
        f"{title}: 95 % intervals over patients (over records where these are unknown); "
        "filled: p < .05 for all metrics at once"
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
