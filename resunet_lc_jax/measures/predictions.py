"""A split's predictions as one NPZ file, from which everything reported can be recomputed."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from resunet_lc_jax.measures.thresholds import Thresholds
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.files import replacing
from tfds_physionet.wording import shortlist


@dataclass(frozen=True, eq=False)
class Predictions:
    """What a run said of N records, and what was true.

    Attributes:
      record_id: [N] str.
      patient_id: [N] str; records of one patient are resampled together.
      database: [N] str.
      labels: [N, 26] uint8.
      scores: [N, 26] float32 probabilities.
      decisions: [N, 26] uint8.
      thresholds: [26] float64, decisions = scores >= thresholds (a vote of several runs aside); or
        [N, 26] where the records of several runs, such as folds, were decided at different ones.
      age: [N] float32 years, nan where unknown; given none, all are.
      sex: [N] 'male', 'female' or 'unknown'; given none, all are unknown.
    """

    record_id: np.ndarray
    patient_id: np.ndarray
    database: np.ndarray
    labels: np.ndarray
    scores: np.ndarray
    decisions: np.ndarray
    thresholds: np.ndarray
    age: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    sex: np.ndarray = field(default_factory=lambda: np.zeros(0, "<U7"))

    def __post_init__(self) -> None:
        """Raises ValueError if the arrays are not of one length."""
        count = len(self.record_id)
        for name, unknown in (("age", np.float32(np.nan)), ("sex", np.str_("unknown"))):
            if not len(getattr(self, name)):
                object.__setattr__(self, name, np.full(count, unknown))
        for name, values in self.columns().items():
            if len(values) != count:
                raise ValueError(f"{len(values)} values of {name} for {count} records")

    def columns(self) -> dict[str, np.ndarray]:
        """Returns by name what there is one of for each record."""
        names = [of.name for of in fields(self) if of.name != "thresholds"]
        return {name: getattr(self, name) for name in names}

    def take(self, rows: np.ndarray) -> "Predictions":
        """Returns the given rows: indices or a mask [N]."""
        taken = {name: np.asarray(values)[rows] for name, values in self.columns().items()}
        if self.thresholds.ndim == 2:
            taken["thresholds"] = self.thresholds[rows]
        return replace(self, **taken)

    def decided(self, thresholds: Thresholds) -> "Predictions":
        """Returns the same scores with the decisions that these thresholds make."""
        return replace(self, decisions=thresholds.decide(self.scores), thresholds=thresholds.values)


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Returns the records of all parts, each with the thresholds that decided it."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].columns()
    }
    at = [np.broadcast_to(part.thresholds, part.scores.shape) for part in parts]
    return Predictions(**columns, thresholds=np.concatenate(at))


def check_same_records(first: Predictions, other: Predictions, here: str, there: str) -> None:
    """Checks that two runs' predictions are of the same records, in the same order.

    Args:
      first: Of one run.
      other: Of the other.
      here: What the first is called.
      there: What the other is called.

    Raises:
      ValueError: Records, patients, databases or labels differ; the message says in what.
    """
    if first.record_id.tolist() != other.record_id.tolist():
        ours, theirs = set(first.record_id.tolist()), set(other.record_id.tolist())
        raise ValueError(
            f"records differ: {len(ours - theirs)} only in {here} ({shortlist(ours - theirs)}), "
            f"{len(theirs - ours)} only in {there} ({shortlist(theirs - ours)})"
        )
    for name in ("patient_id", "database"):
        rows = np.flatnonzero(getattr(first, name) != getattr(other, name))
        if len(rows):
            one, two = (str(getattr(p, name)[rows[0]]) for p in (first, other))
            raise ValueError(
                f"{name} differs for {len(rows)} records: "
                f"{first.record_id[rows[0]]} has {one!r} in {here}, {two!r} in {there}"
            )
    places = np.argwhere(first.labels != other.labels)
    if len(places):
        row, k = places[0]
        raise ValueError(
            f"labels differ in {len(places)} places: {first.record_id[row]}, {CLASS_NAMES[k]} is "
            f"{first.labels[row, k]:d} in {here}, {other.labels[row, k]:d} in {there}"
        )


def save_predictions(path: str | Path, predictions: Predictions) -> None:
    """Writes evaluation/<split>.npz beside and renames; text is stored as fixed-width Unicode."""
    arrays: dict[str, Any] = {**predictions.columns(), "thresholds": predictions.thresholds}
    for name in ("record_id", "patient_id", "database", "sex"):
        arrays[name] = np.asarray(arrays[name], dtype=str)
    with replacing(path) as beside:
        np.savez_compressed(beside, **arrays)


def load_predictions(path: str | Path) -> Predictions:
    """Reads what `save_predictions` wrote.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no such file, or lacks an array.
    """
    try:
        with np.load(path) as arrays:
            # Files of earlier versions know neither age nor sex.
            names = [
                of.name
                for of in fields(Predictions)
                if of.name not in ("age", "sex") or of.name in arrays
            ]
            return Predictions(**{name: arrays[name] for name in names})
    except (KeyError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"{path}: not a file of predictions ({error})") from error
