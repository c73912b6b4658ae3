"""seen.csv in a run's folder: the records that had a part in making it, known by their signals.

A record that trained or tuned a run is no test of it, nor of a run that was started from it, under
whatever name it comes; what of it a split holds, `overlaps` tells.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from resunet_lc_jax.data.selection import Selection, Split
from resunet_lc_jax.pretrained import located
from resunet_lc_jax.runs.kind import IMPORTED, started_from
from resunet_lc_jax.runs.splits import FILE as SPLITS_FILE
from resunet_lc_jax.runs.splits import read_splits
from tfds_physionet.files import replacing
from tfds_physionet.splits.landmarks import read_landmarks

_FILE = "seen.csv"
_UNKNOWN = "unknown"  # in place of a hash: of records that nobody noted
OF_SPLIT = {"train": ("train",), "validation": ("validation", "thresholds")}


@dataclass(frozen=True, eq=False)
class Seen:
    """The records that had a part in making a run.

    Attributes:
      served: What each served, by the hash of its signal: 'train', 'start' where it trained what
        the run was started from, 'validation' (the best epoch) and 'thresholds' of either.
      landmarks: Of each signal by its hash, '' where unknown; see
        `tfds_physionet.splits.landmarks`.
      unknown: Whether there are others that nobody noted.
    """

    served: Mapping[str, frozenset[str]] = field(default_factory=dict)
    landmarks: Mapping[str, str] = field(default_factory=dict)
    unknown: bool = False

    def over(self, other: "Seen") -> "Seen":
        """Returns what has been seen in both."""
        whole = dict(self.served)
        for digest, parts in other.served.items():
            whole[digest] = whole.get(digest, frozenset()) | parts
        return Seen(whole, {**self.landmarks, **other.landmarks}, self.unknown or other.unknown)


def threshold_records(validation: Split) -> Seen:
    """Returns a split that chooses thresholds, as something seen."""
    return _signals(validation, "thresholds")


def served(selection: Selection, split: str) -> Seen:
    """Returns what a run sees of the records that train it, or validate it."""
    return _signals(selection.split(split), *OF_SPLIT[split])


def _signals(split: Split, *parts: str) -> Seen:
    hashes = split.table.signal_hash.tolist()
    landmarks = dict(zip(hashes, split.table.landmarks.tolist(), strict=True))
    return Seen(dict.fromkeys(hashes, frozenset(parts)), landmarks)


def seen_at_start(workdir: Path, init_from: str | None) -> Seen:
    """Returns what a run has seen before its own first step.

    Args:
      workdir: The run's folder; imported weights may lie there already.
      init_from: The run or file that its weights are taken from.
    """
    # Weights without a word on their records.
    imported = (workdir / IMPORTED).is_file()
    bare = (workdir / "checkpoints").exists() and not (workdir / SPLITS_FILE).is_file()
    start = Seen(unknown=imported or bare)
    if init_from is None:
        return start
    before = read_seen(located(init_from))
    # What tuned it may tune again; what trained it is no more to choose by.
    served = {
        digest: frozenset("start" if part == "train" else part for part in parts)
        for digest, parts in before.served.items()
    }
    return start.over(Seen(served, before.landmarks, before.unknown))


def keep_seen(workdir: Path, start: Seen, selection: Selection) -> None:
    """Writes a run's seen.csv (hash, served, landmarks) at its first start; later ones leave it.

    Args:
      workdir: The run's folder.
      start: From `seen_at_start`.
      selection: What the run is trained and tuned on.
    """
    path = workdir / _FILE
    if path.is_file() and (workdir / SPLITS_FILE).is_file():
        return
    for name in OF_SPLIT:
        start = start.over(served(selection, name))
    write_seen(workdir, start)


def write_seen(workdir: Path, seen: Seen) -> None:
    """Writes a folder's seen.csv."""
    path = workdir / _FILE
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["hash", "served", "landmarks"])
        rows.writerows([[_UNKNOWN, "start", ""]] * seen.unknown)
        for digest, parts in seen.served.items():
            rows.writerow([digest, "|".join(sorted(parts)), seen.landmarks.get(digest, "")])


def read_seen(run: Path) -> Seen:
    """Returns what a run has seen.

    A run of an earlier version tells by its splits.csv, and by the run that it was started from. Of
    one without, and of a checkpoint's file, it is unknown.

    Raises:
      ValueError: seen.csv is damaged.
    """
    path = run / _FILE
    if path.is_file():
        return _read(path)
    splits = read_splits(run)
    if splits is None:
        return Seen(unknown=True)
    seen = seen_at_start(run, started_from(run))
    for name, parts in OF_SPLIT.items():
        hashes = (digest for _, digest in splits[name])
        seen = seen.over(Seen(dict.fromkeys(hashes, frozenset(parts))))
    return seen


def _read(path: Path) -> Seen:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        served = {row["hash"]: frozenset(row["served"].split("|")) for row in rows}
        landmarks = {row["hash"]: row["landmarks"] for row in rows}
        read_landmarks(list(landmarks.values()))
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({error!r}); without it the run's splits.csv says what it has seen"
        ) from error
    unknown = served.pop(_UNKNOWN, None) is not None
    return Seen(served, landmarks, unknown)
