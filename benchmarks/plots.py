"""Figures of a run of the benchmarks: how times grow, and how far each layer is from the limit."""

from pathlib import Path
from typing import Any

CURVES = {
    "batch": ("steps", "examples in a batch of 4096 samples", "seconds a training step"),
    "length": ("steps", "samples of a signal, batch 4", "seconds a training step"),
    "build": ("build", "records", "seconds to build"),
    "input": ("input", "records in the data set", "records a second"),
}


def write_plots(results: dict[str, Any], folder: Path) -> None:
    """Writes <curve>.png for each curve that was measured, and layers.png."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    for name, (part, across, up) in CURVES.items():
        sides = results["parts"].get(part, {}).get("curves", {}).get(name)
        if not sides:
            continue
        figure, axes = pyplot.subplots(figsize=(5, 3.5), layout="constrained")
        for side, points in sides.items():
            counts = sorted(map(int, points))
            axes.plot(counts, [points[str(count)] for count in counts], "o-", label=side)
        axes.set(xlabel=across, ylabel=up, ylim=(0, None), xlim=(0, None))
        axes.legend(frameon=False)
        figure.savefig(folder / f"{name}.png", dpi=120)
        pyplot.close(figure)
    if layers := results["parts"].get("steps", {}).get("curves", {}).get("layers"):
        _plot_layers(layers, _peak(results), folder / "layers.png")


def _peak(results: dict[str, Any]) -> float:
    rows = results["parts"]["steps"]["rows"]
    return next(row["ours"] for row in rows if "matrix product" in row["name"])


def _plot_layers(layers: dict[str, dict[str, float]], peak: float, path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    passes = list(next(iter(layers.values())))
    for number, name in enumerate(passes):
        places = [place + (number - 1) * 0.25 for place in range(len(layers))]
        axes.barh(places, [rates[name] for rates in layers.values()], 0.25, label=name)
    axes.axvline(peak, color="black", linestyle="--", label="matrix product")
    axes.set(yticks=range(len(layers)), yticklabels=list(layers), xlabel="GFLOP/s")
    axes.invert_yaxis()
    axes.legend(loc="upper right", fontsize=8)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
