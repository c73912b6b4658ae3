"""Decision thresholds per class, chosen on validation scores. A decision is scores >= threshold."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from resunet_lc_jax.measures.metrics import check
from resunet_lc_jax.measures.ranking import rank
from tfds_physionet.diagnoses import CLASS_NAMES, REWARDS
from tfds_physionet.files import write_json

DEFAULT = 0.5
_ROUNDS = 100  # of coordinate ascent; it takes about five


@dataclass(frozen=True, eq=False)
class Thresholds:
    """One threshold per class.

    Attributes:
      values: [26] float64.
      method: how they were chosen, a key of `METHODS`.
      without_positives: abbreviations of the classes that had no positive record: they have 0.5, or
        0 by the method 'reference'.
    """

    values: np.ndarray
    method: str
    without_positives: tuple[str, ...] = ()

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """Returns uint8 decisions for scores [..., 26], compared in float64."""
        return (np.asarray(scores) >= self.values).astype(np.uint8)

    def to_json(self, path: str | Path) -> None:
        """Writes the thresholds, each to its last bit, beside `path` and renames."""
        write_json(path, self.content())

    def content(self) -> dict[str, Any]:
        """What JSON holds of them."""
        return {
            "method": self.method,
            "thresholds": dict(zip(CLASS_NAMES, self.values.tolist(), strict=True)),
            "without_positives": list(self.without_positives),
        }

    @classmethod
    def fixed(cls) -> "Thresholds":
        """One half for every class, as a run without thresholds decides."""
        return cls(np.full(len(CLASS_NAMES), DEFAULT), "fixed")

    @classmethod
    def from_json(cls, path: str | Path) -> "Thresholds":
        """Reads what `to_json` wrote; ValueError if a class or a field is missing."""
        try:
            return cls.of_content(json.loads(Path(path).read_text()))
        except ValueError as error:
            raise ValueError(f"{path}: not a thresholds file ({error})") from error

    @classmethod
    def of_content(cls, content: Any) -> "Thresholds":
        """Takes what `content` gave; ValueError if a class or a field is missing or no number."""
        try:
            values = np.array([float(content["thresholds"][name]) for name in CLASS_NAMES])
            method, nameless = str(content["method"]), content["without_positives"]
            return cls(values, method, tuple(map(str, nameless)))
        except (KeyError, TypeError) as error:
            raise ValueError(f"{error!r}") from error


def fixed(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """0.5 for every class, whatever the scores."""
    return np.full(labels.shape[1], DEFAULT)


def best_f1(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The best F1 of each class over all thresholds; of equal ones, the highest.

    Only scores of positives need trying: between two of them a lower threshold adds negatives.

    Args:
      labels: [N, 26] bool.
      scores: [N, 26].

    Returns:
      [26] float64, see `_just_below` for the place between two scores.
    """
    values = np.full(labels.shape[1], DEFAULT)
    for k in np.flatnonzero(labels.any(axis=0)):
        ranking = rank(labels[:, k], scores[:, k])
        found = np.cumsum(ranking.positives[::-1])[::-1]
        f1 = 2 * found / (len(labels) - ranking.below + found[0])
        best = len(f1) - 1 - int(np.argmax(f1[::-1]))
        values[k] = _just_below(np.sort(scores[:, k]), int(ranking.below[best]))
    return values


def reference_rule(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The published rule: the best F1 of scores > threshold over 0, 0.01, .. 1, the lowest.

    Decisions are scores >= threshold there, too, so a score that lies on the grid is decided
    otherwise than it was counted. A class whose F1 is 0 throughout gets 0: always positive.

    Args:
      labels: [N, 26] bool.
      scores: [N, 26].

    Returns:
      [26] float64.
    """
    grid = np.arange(101) / 100
    values = np.zeros(labels.shape[1])
    for k in range(labels.shape[1]):
        column, positive = np.sort(scores[:, k]), np.sort(scores[labels[:, k], k])
        found = len(positive) - np.searchsorted(positive, grid, "right")
        taken = len(column) - np.searchsorted(column, grid, "right")
        values[k] = grid[np.argmax(2 * found / np.maximum(taken + len(positive), 1))]
    return values


def best_challenge_metric(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """A local optimum of the Challenge metric, by coordinate ascent from the best F1.

    One class after the other gets its best threshold over all of its scores while the others
    stay, until a round gains nothing. Deterministic. A class that had better never be decided
    gets a threshold above 1.

    Args:
      labels: [N, 26] bool.
      scores: [N, 26].

    Returns:
      [26] float64.
    """
    values = best_f1(labels, scores)
    worth = labels.astype(np.float64) @ REWARDS
    decisions = scores >= values
    reward = (worth * decisions).sum(axis=1)
    either = (labels | decisions).sum(axis=1)
    classes = np.flatnonzero(labels.any(axis=0))
    order = np.argsort(-scores, axis=0, kind="stable")
    # The metric's denominator does not depend on the decisions: the sum of rewards is maximised.
    for _ in range(_ROUNDS):
        improved = False
        for k in classes:
            chosen, label = decisions[:, k], labels[:, k]
            others_reward = reward - worth[:, k] * chosen
            others = either - (label | chosen)
            without = others_reward / np.maximum(others + label, 1)
            gain = (others_reward + worth[:, k]) / (others + 1) - without
            column = scores[order[:, k], k]
            # total[i]: the gain of deciding for the i highest; a cut lies between two values.
            total = np.append(0.0, np.cumsum(gain[order[:, k]]))
            total[1:-1][column[1:] == column[:-1]] = -np.inf
            best = int(np.argmax(total))
            # Rounding must not keep the search going.
            if total[best] <= total[np.count_nonzero(chosen)] + 1e-9:
                continue
            improved = True
            values[k] = _just_below(column[::-1], len(column) - best)
            decisions[:, k] = scores[:, k] >= values[k]
            reward = others_reward + worth[:, k] * decisions[:, k]
            either = others + (label | decisions[:, k])
        if not improved:
            break
    return values


def _just_below(ascending: np.ndarray, below: int) -> float:
    """The threshold that leaves the `below` lowest of the scores [N] out and takes the rest.

    It lies halfway between the two scores on either side, so that a score's last digits (another
    device, another batch) do not turn a decision, and is a number of the scores' own precision, so
    that comparing in float32 and in float64 decides alike.
    """
    kind = ascending.dtype.type
    if below == len(ascending):
        return float(np.nextafter(max(ascending[-1], kind(1)), kind(np.inf)))
    upper = ascending[below]
    if below == 0:
        return float(upper)
    middle = kind((np.float64(ascending[below - 1]) + np.float64(upper)) / 2)
    return float(middle if middle > ascending[below - 1] else upper)


METHODS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "f1": best_f1,
    "reference": reference_rule,
    "challenge": best_challenge_metric,
    "fixed": fixed,
}


def choose(method: str, labels: np.ndarray, scores: np.ndarray) -> Thresholds:
    """Chooses thresholds on validation scores.

    Args:
      method: a key of `METHODS`.
      labels: [N, 26] 0/1.
      scores: [N, 26] probabilities; float32 or float64.

    Raises:
      ValueError: an unknown method, or arrays that `metrics.check` refuses.
    """
    if method not in METHODS:
        raise ValueError(f"thresholds by {method!r}: choose one of {', '.join(METHODS)}")
    labels, scores, _ = check(labels, scores, labels)
    nameless = np.flatnonzero(~labels.any(axis=0))
    return Thresholds(
        METHODS[method](labels, scores), method, tuple(CLASS_NAMES[k] for k in nameless)
    )
