"""The page and the plots of `benchmarks.gpu`."""

from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.flops import training_flops
from benchmarks.gpu_cards import CARDS

TITLES = {
    "parity": "Parity",
    "training": "Training step",
    "inference": "Inference",
    "scaling": "Several devices",
    "input": "Fed by the input pipeline",
    "determinism": "Deterministic kernels",
}


def write_report(results: dict[str, Any], folder: Path) -> None:
    """Writes gpu.md, times.png and, of several devices, scaling.png.

    Args:
      results: 'gpu', 'device', 'devices', 'sizes' and 'measured': of each measurement its part,
        name and arguments, and numbers, or 'failed' with the reason.
      folder: Is there.
    """
    (folder / "gpu.md").write_text(page(results))
    good = [entry for entry in results["measured"] if "step_s" in entry]
    if bars := [entry for entry in good if entry["part"] in ("training", "inference")]:
        _plot_times(bars, folder / "times.png")
    if points := [entry for entry in good if entry["part"] == "scaling"]:
        _plot_scaling(points, folder / "scaling.png")


def page(results: dict[str, Any]) -> str:
    """The Markdown page."""
    sizes = results["sizes"]
    lines = [f"# {results['devices']} x {results['device']}", ""]
    if not results["gpu"]:
        lines += [
            "**There was no GPU: simulated devices, small sizes. The times mean nothing.**",
            "",
        ]
    lines += [
        f"{sizes['network']} of width {sizes['width']}, batch {sizes['batch']}, "
        f"{sizes['length']} samples, Adam; medians of ten calls after the first. Memory "
        "is the most that was allocated on the device. MFU: operations by the layers' formulas,"
        " over the card's dense peak at that precision.",
        "",
    ]
    for part, title in TITLES.items():
        if entries := [entry for entry in results["measured"] if entry["part"] == part]:
            lines += [f"## {title}", "", *_table(entries, results), ""]
            lines += _remark(part, entries)
    return "\n".join(lines)


def _table(entries: list[dict[str, Any]], results: dict[str, Any]) -> list[str]:
    if entries[0]["part"] == "parity":
        return [entry.get("result", f"failed: {entry.get('failed')}") for entry in entries]
    lines = ["| | a step | examples/s | memory | MFU | start |", "|:--|--:|--:|--:|--:|--:|"]
    for entry in entries:
        if "failed" in entry:
            lines.append(
                f"| {entry['name']} | failed: {entry['failed'].replace('|', '/')} | | | | |"
            )
            continue
        spent, batch = entry["step_s"], entry["arguments"]["batch"]
        memory, used = entry.get("memory_gb"), mfu(entry, results)
        cells = [
            entry["name"],
            f"{spent * 1e3:.1f} ms",
            f"{batch / spent:,.0f}",
            f"{memory:.2f} GB" if memory else "",
            f"{used:.0%}" if used else "",
            f"{entry['compile_s']:.0f} s" if "compile_s" in entry else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def mfu(entry: dict[str, Any], results: dict[str, Any]) -> float | None:
    """The share of the card's dense peak; None for a card whose peak is not known, or full float32.

    Args:
      entry: A measurement with 'step_s'.
      results: Of the run.
    """
    how = entry["arguments"]
    card = next((card for name, card in CARDS.items() if name in results["device"]), None)
    ours = "device" not in how
    if not results["gpu"] or card is None or "step_s" not in entry:
        return None
    if how.get("precision") == "highest" or not (ours or how.get("tf32") or how.get("amp")):
        return None
    half = how.get("amp") or how.get("dtype") == "bfloat16"
    flops = how["batch"] * _example_flops(how["network"], how["length"])
    flops = flops if entry["part"] != "inference" else flops / 3
    peak = card.peaks["bfloat16" if half else "float32"] * how.get("devices", 1)
    return flops / entry["step_s"] / peak


@cache
def _example_flops(network: str, length: int) -> int:
    return training_flops(network, batch=1, length=length)


def _remark(part: str, entries: list[dict[str, Any]]) -> list[str]:
    good = [entry for entry in entries if "failed" not in entry]
    if part in ("training", "inference"):
        ours, peer = (
            min((e["step_s"] for e in good if e["name"].startswith(side)), default=None)
            for side in ("ours", "PyTorch")
        )
        if ours and peer:
            return [f"The fastest of ours takes {ours / peer:.2f} of the fastest of PyTorch's.", ""]
    if part == "input" and good:
        entry = good[0]
        ratio = entry["step_s"] / entry["alone_s"]
        return [f"That is {ratio:.2f} times the step with a batch that is there already.", ""]
    if part == "determinism":
        said = []
        for kind in ("deterministic", "default"):
            hashes = [entry["hash"] for entry in good if entry["name"].startswith(kind)]
            if len(hashes) == 2:
                said.append(
                    f"{kind}: two runs are {'equal' if len(set(hashes)) == 1 else 'not equal'}"
                )
        return ["; ".join(said) + ".", ""] if said else []
    return []


def _plot_times(entries: list[dict[str, Any]], path: Path) -> None:
    pyplot = _pyplot()
    parts = [part for part in ("training", "inference") if any(e["part"] == part for e in entries)]
    figure, grid = pyplot.subplots(
        1, len(parts), figsize=(6 * len(parts), 4), layout="constrained", squeeze=False
    )
    for axes, part in zip(grid[0], parts, strict=True):
        own = [entry for entry in entries if entry["part"] == part]
        colours = ["C0" if entry["name"].startswith("ours") else "C7" for entry in own]
        names = [entry["name"].replace(", ", ",\n", 1) for entry in own]
        axes.barh(names, [entry["step_s"] * 1e3 for entry in own], color=colours)
        axes.invert_yaxis()
        axes.set(xlabel="milliseconds", title=TITLES[part])
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _plot_scaling(entries: list[dict[str, Any]], path: Path) -> None:
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(5, 3.5), layout="constrained")
    for kind in dict.fromkeys(entry["name"].rsplit(", ", 1)[0] for entry in entries):
        own = [entry for entry in entries if entry["name"].rsplit(", ", 1)[0] == kind]
        counts = [entry["arguments"]["devices"] for entry in own]
        rates = [entry["arguments"]["batch"] / entry["step_s"] for entry in own]
        axes.plot(counts, rates, "o-", label=kind)
    axes.set(xlabel="devices", ylabel="examples a second", xlim=(0, None), ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _pyplot() -> Any:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    return pyplot
