"""The figures are drawn, hold something, and need no display."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread
from matplotlib.text import Text

from resunet_lc_jax.measures.figures import (
    class_bars,
    confusion,
    precision_recall,
    reliability,
    write_figures,
)
from resunet_lc_jax.measures.predictions import Predictions
from resunet_lc_jax.measures.report import build_report
from tfds_physionet.diagnoses import CLASS_NAMES


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)
    labels = rng.random((80, 26)) < 0.2
    labels[:, 4] = False  # undefined scores must not break a figure
    scores = 0.5 * rng.random(labels.shape) + 0.5 * labels * rng.random(labels.shape)
    names = np.arange(80).astype(str)
    thresholds = np.full(26, 0.4)
    return build_report(
        Predictions(names, names, names, labels, scores, scores >= thresholds, thresholds),
        replicates=20,
    )


def test_every_figure_of_a_report_is_written_as_a_png_that_is_not_blank(report, tmp_path):
    paths = write_figures(report, tmp_path / "figures", title="resunet_lc, test")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == [
        "classes.png",
        "confusion.png",
        "precision_recall.png",
        "reliability.png",
        "risk_coverage.png",
    ]
    for path in paths:
        image = imread(path)
        assert image.shape[1] >= 1200 and image.std() > 0.02


def test_curves_and_bars_show_the_values_of_the_report(report):
    panels = precision_recall(report, "").axes
    line = panels[CLASS_NAMES.index("NSR")].lines[-1]
    curve = report["classes"]["NSR"]["precision_recall"]
    np.testing.assert_array_equal(line.get_xdata()[1:], curve["recall"])
    np.testing.assert_array_equal(line.get_ydata()[1:], curve["precision"])
    bars = class_bars(report, "").axes[0]
    width = {
        label.get_text().split()[0]: bar.get_width()
        for label, bar in zip(bars.get_yticklabels(), bars.patches, strict=True)
    }
    assert width["NSR"] == report["classes"]["NSR"]["auroc"]


def test_nothing_is_drawn_for_an_undefined_class(report):
    place = CLASS_NAMES.index(CLASS_NAMES[4])
    for draw in (precision_recall, reliability):
        axes = draw(report, "").axes[place]
        assert not axes.lines and not axes.collections and not axes.patches
        assert [text.get_text() for text in axes.texts] == ["undefined"]
    bars = class_bars(report, "").axes[0]
    names = [label.get_text().split()[0] for label in bars.get_yticklabels()]
    assert not bars.patches[names.index(f"{CLASS_NAMES[4]}*")].get_visible()


@pytest.mark.parametrize("draw", [precision_recall, reliability])
def test_no_text_of_a_panel_overlaps_another_where_there_are_many_positives(report, draw):
    many = {name: entry | {"positives": 28_971} for name, entry in report["classes"].items()}
    figure = draw({**report, "classes": many, "records": 88_253}, "resunet_lc, step 123,456, test")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = [
        text.get_window_extent(renderer)
        for text in figure.findobj(Text)
        if text.get_text() and text.get_visible() and text.get_rotation() == 0
    ]
    page = figure.bbox
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and box.y1 <= page.y1 for box in boxes)
    clashes = [(a, b) for k, a in enumerate(boxes) for b in boxes[:k] if a.overlaps(b)]
    assert not clashes


def test_the_confusion_of_a_perfect_classifier_is_empty():
    labels = np.eye(26, dtype=bool).repeat(6, axis=0)
    names = np.arange(len(labels)).astype(str)
    perfect = Predictions(names, names, names, labels, labels * 0.9, labels, np.full(26, 0.5))
    found = build_report(perfect, replicates=5)
    assert not np.any(found["missed"])
    (axes,) = confusion(found, "").axes  # there is nothing for a scale to tell
    assert not axes.images[0].get_array().any()
    assert [text.get_text() for text in axes.texts] == ["no label was missed"]


def test_the_confusion_shows_what_was_decided_where_a_label_was_missed():
    labels = np.zeros((20, 26), bool)
    labels[:, 0] = True
    decisions = labels.copy()
    decisions[:8, 0] = False
    decisions[:6, 3] = True
    decisions[10:, 5] = True  # wrong, but nothing was missed there
    names = np.arange(20).astype(str)
    one = Predictions(names, names, names, labels, 0.9 * decisions, decisions, np.full(26, 0.5))
    found = build_report(one, replicates=5)
    assert found["missed"][0][0] == 8 and found["missed"][0][3] == 6 and found["missed"][0][5] == 0
    axes = confusion(found, "").axes[0]
    assert axes.images[0].get_array()[0, 3] == 75
    assert axes.get_yticklabels()[0].get_text() == "AF  8 of 20"


def test_figures_leave_pyplot_alone():
    code = "import sys, resunet_lc_jax.measures.figures; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
