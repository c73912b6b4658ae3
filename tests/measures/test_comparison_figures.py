"""Models are told apart in the figures of a comparison."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

from resunet_lc_jax.measures.comparison import COLUMNS, ComparedModel
from resunet_lc_jax.measures.comparison_figures import class_marks, forest, mark
from resunet_lc_jax.measures.figures import save
from resunet_lc_jax.measures.intervals import Estimate
from tfds_physionet.diagnoses import CLASS_NAMES


def test_models_are_marked_side_by_side_and_the_classes_sorted_by_the_first(tmp_path):
    first = np.linspace(0, 1, 26)
    first[3] = np.nan
    second = first[::-1].copy()
    second[3] = np.nan
    few = np.arange(26) == 5
    values = {"one": first.tolist(), "two": second.tolist()}
    figure = class_marks(values, few=few, positives=np.arange(26), name="F1", title="")
    one, two = figure.axes[0].collections[-2:]
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert f"{CLASS_NAMES[5]}* (5)" in labels and f"{CLASS_NAMES[6]} (6)" in labels
    places = [CLASS_NAMES.index(label.split()[0].removesuffix("*")) for label in labels]
    assert places[0] == 25 and places[-1] == 3
    np.testing.assert_array_equal(one.get_offsets()[:-1, 1], first[places[:-1]])
    np.testing.assert_array_equal(two.get_offsets()[:-1, 1], second[places[:-1]])
    save(figure, tmp_path / "marks.png")
    assert imread(tmp_path / "marks.png").std() > 0.02


def test_the_legend_of_ten_models_of_long_names_lies_within_the_figure():
    values = {f"network {number} of a long name": [0.5] * 26 for number in range(10)}
    few, positives = np.zeros(26, bool), np.full(26, 12_345)
    figure = class_marks(values, few=few, positives=positives, name="F1", title="")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (legend,) = figure.legends
    box, page = legend.get_window_extent(canvas.get_renderer()), figure.bbox
    assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0
    assert len(legend.get_texts()) == 10
    lowest = figure.axes[0].get_tightbbox(canvas.get_renderer())
    assert box.y1 <= lowest.y0


def test_forty_nine_models_have_marks_of_their_own():
    assert len({mark(number) for number in range(49)}) == 49
    colours, shapes = zip(*(mark(number) for number in range(7)), strict=True)
    assert len(set(colours)) == len(set(shapes)) == 7


def test_the_forest_shows_each_difference_with_its_interval(tmp_path):
    def line(name, low, high, p):
        of = Estimate((low + high) / 2, low, high, p)
        differences = {key: of for key in COLUMNS}
        adjusted = {key: p for key in COLUMNS}
        return ComparedModel(
            name, name, 1, differences, None, differences, adjusted, {}, np.zeros(26, bool)
        )

    lines = [line("first", 0, 0, 1), line("better", 0.1, 0.3, 0.01), line("like", -0.1, 0.2, 0.5)]
    figure = forest(lines, title="Differences to first")
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["like", "better"]
    segments = [c.get_segments()[0][:, 0].tolist() for c in axes.collections]
    assert segments == [[-0.1, 0.2], [0.1, 0.3]]
    filled = [point.get_markerfacecolor() != "white" for point in axes.lines[1:]]
    assert filled == [False, True]
    save(figure, tmp_path / "forest.png")
    assert imread(tmp_path / "forest.png").std() > 0.02
