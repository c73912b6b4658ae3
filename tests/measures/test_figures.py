"""The figures are drawn, hold something, and need no display."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from resunet_lc_jax.measures.figures import (
    class_bars,
    class_marks,
    precision_recall,
    save,
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


def test_models_are_marked_side_by_side_and_the_classes_sorted_by_the_first(tmp_path):
    first = np.linspace(0, 1, 26)
    first[3] = np.nan
    second = first[::-1].copy()
    second[3] = np.nan
    figure = class_marks({"one": first.tolist(), "two": second.tolist()}, name="F1", title="")
    one, two = figure.axes[0].collections[-2:]
    places = [CLASS_NAMES.index(label.get_text()) for label in figure.axes[0].get_xticklabels()]
    assert places[0] == 25 and places[-1] == 3
    np.testing.assert_array_equal(one.get_offsets()[:-1, 1], first[places[:-1]])
    np.testing.assert_array_equal(two.get_offsets()[:-1, 1], second[places[:-1]])
    save(figure, tmp_path / "marks.png")
    assert imread(tmp_path / "marks.png").std() > 0.02


def test_figures_leave_pyplot_alone():
    code = "import sys, resunet_lc_jax.measures.figures; print('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
