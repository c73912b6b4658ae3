"""The table and the figure of `training_parity`: two loss curves and how far apart they are."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from resunet_lc_jax.measures.figures import save
from tfds_physionet.files import replacing

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")  # Okabe and Ito


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How both are trained.

    Attributes:
      optimizer: 'sgd' or 'adam'.
      precision: 'float32' or 'float64', of everything.
      learning_rate: Constant.
      tolerance: The largest relative difference of the losses that counts as the same.
    """

    optimizer: str
    precision: str
    learning_rate: float
    tolerance: float

    def __str__(self) -> str:
        """Words for a legend."""
        name = {"sgd": "SGD", "adam": "Adam"}[self.optimizer]
        return f"{name}, {self.precision}, learning rate {self.learning_rate:g}"


@dataclasses.dataclass(frozen=True)
class Curves:
    """The losses of one network under one recipe, a step each: ours and the PyTorch twin's."""

    model: str
    recipe: Recipe
    ours: Sequence[float]
    twin: Sequence[float]

    @property
    def difference(self) -> np.ndarray:
        """|ours - twin| / |twin| of each step."""
        ours, twin = np.array(self.ours), np.array(self.twin)
        return np.abs(ours - twin) / np.abs(twin)

    @property
    def agrees(self) -> bool:
        """Whether no step exceeds the tolerance; a loss that is no number does not agree."""
        return bool((self.difference <= self.recipe.tolerance).all())


def write_report(folder: Path, curves: Sequence[Curves], about: Mapping[str, Any]) -> str:
    """Writes training_parity.md, training_parity.png and results.json.

    Args:
      folder: Where to.
      curves: One per network and recipe.
      about: What they were made of: command, data and versions, as text.

    Returns:
      The text of training_parity.md.
    """
    text = format_table(curves, about)
    with replacing(folder / "training_parity.md") as beside:
        beside.write_text(text)
    save(draw(curves, f"Training in JAX and in PyTorch: {about['data']}"), _figure_path(folder))
    runs = [
        dataclasses.asdict(c) | {"largest_difference": c.difference.max(), "agrees": c.agrees}
        for c in curves
    ]
    with replacing(folder / "results.json") as beside:
        beside.write_text(json.dumps({**about, "runs": runs}, indent=2) + "\n")
    return text


def _figure_path(folder: Path) -> Path:
    return folder / "training_parity.png"


def format_table(curves: Sequence[Curves], about: Mapping[str, Any]) -> str:
    """Markdown: what was trained, a line per network and recipe, then every step's losses."""
    lines = [f"`{about['command']}`", "", f"{about['data']}; {about['versions']}.", ""]
    lines += _rows(
        "network",
        "optimiser",
        "first loss",
        "last loss, here",
        "last loss, PyTorch",
        "largest relative difference",
        "allowed",
    )
    for c in curves:
        verdict = f"{c.recipe.tolerance:.0e}" + ("" if c.agrees else " **missed**")
        ends = [f"{c.ours[0]:.7f}", f"{c.ours[-1]:.7f}", f"{c.twin[-1]:.7f}"]
        lines.append(_row(c.model, c.recipe, *ends, f"{c.difference.max():.1e}", verdict))
    for recipe in dict.fromkeys(c.recipe for c in curves):
        chosen = [c for c in curves if c.recipe == recipe]
        lines += ["", f"Loss of every step, {recipe}:", ""]
        names = [f"{c.model}, {side}" for c in chosen for side in ("here", "PyTorch")]
        lines += _rows("step", *names)
        for i in range(len(chosen[0].ours)):
            values = [f"{loss[i]:.7f}" for c in chosen for loss in (c.ours, c.twin)]
            lines.append(_row(i + 1, *values))
    return "\n".join(lines) + "\n"


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _rows(*header: str) -> list[str]:
    return [_row(*header), _row(*["---"] * len(header))]


def draw(curves: Sequence[Curves], title: str) -> Figure:
    """Above, both curves of each network, a column a recipe; below, their relative difference.

    Steps without any difference have no point below.
    """
    recipes = list(dict.fromkeys(c.recipe for c in curves))
    models = list(dict.fromkeys(c.model for c in curves))
    figure = Figure(figsize=(5.5 * len(recipes), 6.5), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots(2, len(recipes), sharex=True, squeeze=False, height_ratios=(3, 2))
    for c in curves:
        upper, lower = axes[:, recipes.index(c.recipe)]
        colour, steps = _COLOURS[models.index(c.model) % len(_COLOURS)], np.arange(len(c.ours)) + 1
        upper.plot(steps, c.ours, color=colour, label=f"{c.model}, here")
        upper.plot(steps, c.twin, "o", color=colour, mfc="none", label=f"{c.model}, PyTorch")
        differing = c.difference > 0
        lower.semilogy(steps[differing], c.difference[differing], ".-", color=colour)
        lower.set_xlabel("step")
        upper.set_title(str(c.recipe), fontsize="medium")
    for recipe, (upper, lower) in zip(recipes, axes.T, strict=True):
        upper.set_ylabel("loss")
        lower.set_ylabel("relative difference")
        lower.axhline(recipe.tolerance, color="black", ls="--", lw=1)
        lower.annotate("allowed", (1, recipe.tolerance), va="top", fontsize="small")
        upper.grid(alpha=0.3)
        lower.grid(alpha=0.3)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(models))
    return figure
