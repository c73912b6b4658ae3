"""How often the 95 % intervals of reports hold the truth, by simulation.

  python -m benchmarks.coverage --output=DIR [--simulations=400] [--replicates=200] [--processes=1]

26 independent classes; scores are normal, those of positives shifted so that the true AUROC is .7,
.9 or .99; decisions at the threshold of the best true F-measure. The truth is the population's
value. Writes DIR/coverage.json and DIR/coverage.md; docs/coverage.md holds the latter.
"""

import argparse
import itertools
import json
import multiprocessing
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom, norm

from resunet_lc_jax.measures.measured import SHARES, Measured, difference, measure
from resunet_lc_jax.measures.metrics import CLASS_METRICS, MACRO_METRICS
from tfds_physionet.diagnoses import NUM_CLASSES, REWARDS, SINUS_RHYTHM
from tfds_physionet.files import replacing, write_json

AUROCS, COUNTS, PREVALENCES = (0.7, 0.9, 0.99), (50, 200, 2000), (0.01, 0.05, 0.3)
# Where a class has this many positives on average, coverage must lie within LIMITS.
ENOUGH, LIMITS, TYPE_I = 10, (88.0, 99.0), (2.0, 8.0)
# Of the noise of two classifiers of equal worth, as two networks on the same records have it.
_CORRELATION = 0.8


@dataclass(frozen=True)
class Population:
    """What is true of every class.

    Attributes:
      auroc: of the scores.
      prevalence: share of positives.
      shift: of the positives' scores, in standard deviations.
      threshold: of the best F-measure.
      truths: by metric, macro or of a class: they are the same.
    """

    auroc: float
    prevalence: float
    shift: float
    threshold: float
    truths: dict[str, float]


def population(auroc: float, prevalence: float) -> Population:
    """Returns the population of a true AUROC and a prevalence."""
    shift = float(np.sqrt(2) * norm.ppf(auroc))
    points = np.linspace(-9, shift + 9, 400_001)
    recall, fallout = norm.sf(points - shift), norm.sf(points)
    decided = prevalence * recall + (1 - prevalence) * fallout
    precision = prevalence * recall / decided
    f_measure = 2 * prevalence * recall / (prevalence + decided)
    best = int(np.argmax(f_measure))
    hit, false = prevalence * recall[best], (1 - prevalence) * fallout[best]
    wrong = prevalence - hit + false
    truths = {
        "auroc": auroc,
        "auprc": float(np.sum(-np.diff(recall) * (precision[1:] + precision[:-1]) / 2)),
        "f_measure": f_measure[best],
        "accuracy": (1 - wrong) ** NUM_CLASSES,
        "challenge_metric": _challenge_metric(prevalence, hit, hit + false),
        "hamming_loss": wrong,
        "auprc_of_decisions": recall[best] * precision[best] + (1 - recall[best]) * prevalence,
        "sensitivity": recall[best],
        "specificity": 1 - fallout[best],
        "ppv": precision[best],
        "npv": (1 - prevalence - false) / (1 - hit - false),
    }
    found = {key: float(value) for key, value in truths.items()}
    return Population(auroc, prevalence, shift, float(points[best]), found)


def _challenge_metric(labelled: float, hit: float, decided: float) -> float:
    """Of independent classes: chances that one is labelled, decided rightly, decided."""

    def shared(others: int, chance: float, at_least: int) -> float:
        """The mean of 1 / (at_least + how many of the others there are)."""
        number = np.arange(others + 1)
        return float(np.sum(binom.pmf(number, others, chance) / (at_least + number)))

    either = labelled + decided - hit
    same = float(np.trace(REWARDS))
    apart = float(REWARDS.sum()) - same
    others = NUM_CLASSES - 1
    gained = same * hit * shared(others, either, 1)
    gained += apart * labelled * decided * shared(others - 1, either, 2)
    most = same * labelled * shared(others, labelled, 1)
    most += apart * labelled**2 * shared(others - 1, labelled, 2)
    sinus = REWARDS[SINUS_RHYTHM, SINUS_RHYTHM]
    least = labelled * sinus * shared(others, labelled, 1)
    rest = float(REWARDS[:, SINUS_RHYTHM].sum()) - sinus
    least += labelled * rest * shared(others - 1, labelled, 2)
    return (gained - least) / (most - least)


def simulate(
    of: Population, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns labels [N, 26] bool and the scores of two classifiers of equal worth."""
    labels = rng.random((count, NUM_CLASSES)) < of.prevalence
    noise, own = rng.standard_normal((2, *labels.shape))
    other = _CORRELATION * noise + np.sqrt(1 - _CORRELATION**2) * own
    return labels, noise + of.shift * labels, other + of.shift * labels


def cover(
    cell: tuple[float, int, float], *, simulations: int, replicates: int, seed: int = 0
) -> dict[str, Any]:
    """Simulates one cell.

    Args:
      cell: true AUROC, records, prevalence.
      simulations: how many.
      replicates: of the bootstrap.
      seed: of the simulation.

    Returns:
      auroc, records, prevalence; and in percent, by metric: macro (intervals that hold the truth),
      classes (of the classes that have one), type_i (differences of two classifiers of equal worth
      whose interval leaves 0 out); with_interval, the share of classes that have an interval.
    """
    auroc, count, prevalence = cell
    of = population(auroc, prevalence)
    rng = np.random.default_rng([seed, round(1000 * auroc), count, round(1000 * prevalence)])
    patients = np.arange(count)
    macro: dict[str, list[bool]] = {key: [] for key in MACRO_METRICS}
    classes: dict[str, list[bool]] = {key: [] for key in (*CLASS_METRICS, *SHARES)}
    apart: dict[str, list[bool]] = {key: [] for key in MACRO_METRICS}
    some = 0.0
    for _ in range(simulations):
        labels, *scores = simulate(of, count, rng)
        one, other = (
            measure(labels, each, each >= of.threshold, patients, replicates=replicates)
            for each in scores
        )
        some += np.mean(~one.few) / simulations
        for key in MACRO_METRICS:
            estimate = one.macro[key]
            macro[key].append(estimate.low <= of.truths[key] <= estimate.high)
            between = difference(one, other, key)
            apart[key].append(between.low > 0 or between.high < 0)
        for key, held in classes.items():
            held.extend(_held(one, key, of.truths[key]))
    return {
        "auroc": auroc,
        "records": count,
        "prevalence": prevalence,
        "simulations": simulations,
        "with_interval": 100 * some,
        "truths": of.truths,
        "macro": {key: _percent(held) for key, held in macro.items()},
        "classes": {key: _percent(held) for key, held in classes.items()},
        "type_i": {key: _percent(held) for key, held in apart.items()},
    }


def _percent(held: Sequence[bool]) -> float:
    return 100 * float(np.mean(held)) if held else float("nan")


def _held(measured: Measured, key: str, truth: float) -> list[bool]:
    """Of the classes with an interval: whether it holds the truth."""
    low, high = measured.low[key], measured.high[key]
    known = ~np.isnan(low)
    return ((low <= truth) & (truth <= high))[known].tolist()


def is_counted(cell: Mapping[str, Any]) -> bool:
    """Whether a class has enough positives in it on average."""
    return cell["records"] * cell["prevalence"] >= ENOUGH


def format_table(cells: Sequence[Mapping[str, Any]], part: str, limits: Sequence[float]) -> str:
    """A Markdown table of one part of the cells; what lies outside the limits is bold."""
    keys = list(cells[0][part])
    lines = [
        f"| records | prevalence | AUROC | {' | '.join(keys)} |",
        "|" + "---:|" * (3 + len(keys)),
    ]
    for cell in cells:
        numbers = []
        for key in keys:
            value = cell[part][key]
            bold = is_counted(cell) and not limits[0] <= value <= limits[1]
            numbers.append("-" if np.isnan(value) else "**" * bold + f"{value:.1f}" + "**" * bold)
        start = f"{cell['records']:,} | {100 * cell['prevalence']:g} % | {cell['auroc']:g}"
        lines.append(f"| {start} | {' | '.join(numbers)} |")
    return "\n".join(lines)


def format_report(cells: Sequence[Mapping[str, Any]]) -> str:
    """The tables of all parts; first the cells that count."""
    parts = (
        ("macro", "Macro metrics: intervals that hold the truth, %", LIMITS),
        (
            "classes",
            "Classes with five positives or more: intervals that hold the truth, %",
            LIMITS,
        ),
        ("type_i", "Differences of equal classifiers that seem to be one, %", TYPE_I),
    )
    enough = [cell for cell in cells if is_counted(cell)]
    few = [cell for cell in cells if not is_counted(cell)]
    text = [f"{cells[0]['simulations']} simulations a cell."]
    for part, title, limits in parts:
        text += [f"### {title}", format_table(enough, part, limits)]
    for part, title, limits in parts:
        if few:
            title += f"; fewer than {ENOUGH} positives on average"
            text += [f"### {title}", format_table(few, part, limits)]
    return "\n\n".join(text) + "\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.coverage",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--simulations", type=int, default=400, help="of each cell")
    parser.add_argument("--replicates", type=int, default=200, help="of the bootstrap")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args(arguments)
    cells = list(itertools.product(AUROCS, COUNTS, PREVALENCES))
    run = partial(cover, simulations=options.simulations, replicates=options.replicates)
    found = []
    # Fresh interpreters: a fork of a process with threads, as JAX has them, may never go on.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, spawn) as pool:
        for cell in pool.map(run, cells):
            print(json.dumps(cell), flush=True)
            found.append(cell)
    found.sort(key=lambda cell: (cell["records"], cell["prevalence"], cell["auroc"]))
    write_json(options.output / "coverage.json", found)
    with replacing(options.output / "coverage.md") as beside:
        beside.write_text(format_report(found))


if __name__ == "__main__":
    main()
