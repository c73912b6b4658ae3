"""What of the records that a run is measured on had a part in making it: refused, or said."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resunet_lc_jax.data.selection import Selection, Split
from resunet_lc_jax.runs.kind import member_runs
from resunet_lc_jax.runs.seen import OF_SPLIT, Seen, read_seen, served
from resunet_lc_jax.runs.splits import read_splits
from tfds_physionet.files import read_values
from tfds_physionet.splits.landmarks import read_landmarks, same_signals
from tfds_physionet.wording import shortlist

# What records may have served that are measured as this split all the same: its name says it.
_TOLD = {"train": {"train", "validation", "thresholds", "start"}}
_TOLD["validation"] = {"validation", "thresholds"}


@dataclass(frozen=True)
class Overlap:
    """What of the records that something is measured on had a part in making it.

    Attributes:
      run: The name of the run's folder.
      split: What the records are called.
      records: How many there are.
      seen: How many of them had a part.
      near: How many of these at another gain, rate or cut, or with their leads in another order.
      served: How many served what.
      unknown: Whether the run was trained on unknown records.
      names: Of some that had a part.
    """

    run: str
    split: str
    records: int
    seen: int = 0
    near: int = 0
    served: Mapping[str, int] = field(default_factory=dict)
    unknown: bool = False
    names: str = ""

    @property
    def note(self) -> str:
        """What a reader of the numbers must know; '' if nothing."""
        parts = []
        if self.seen:
            parts.append(
                f"{self.seen:,} of the {self.records:,} {self.split} records had a part in making "
                f"{self.run} ({', '.join(self.served)})"
                + f", {self.near:,} at another gain, rate, cut or order of leads"
                * bool(self.near)
            )
        if self.unknown:
            parts.append(f"{self.run} was trained on unknown records")
        return "; ".join(parts)

    @property
    def told(self) -> bool:
        """Whether the split's name says as much: the training records are asked for by name."""
        return set(self.served) <= _TOLD.get(self.split, set())

    def check(self, where: Path | str, *, allowed: bool) -> "Overlap":
        """Returns itself, unless the records are no test of the run.

        Args:
          where: The run.
          allowed: Whether they are asked for all the same.

        Raises:
          ValueError: They had a part in making it.
        """
        if self.told or allowed:
            return self
        raise ValueError(
            f"{self.seen:,} of the {self.records:,} {self.split} records had a part in making the "
            f"run in {where} ({', '.join(self.served)}: {self.names}); choose others, or add "
            "--config.eval.seen_records=True, and the report says so"
        )


def overlap(seen: Seen, split: Split, run: str) -> Overlap:
    """Finds what of a split's records a run has seen.

    Args:
      seen: By the run.
      split: The records.
      run: What the run is called.
    """
    parts = [seen.served.get(digest, frozenset()) for digest in split.table.signal_hash.tolist()]
    new = [row for row, of in enumerate(parts) if not of]
    hashes, landmarks = list(seen.landmarks), list(seen.landmarks.values())
    asked = read_landmarks(split.table.landmarks[new].tolist())
    near = same_signals(read_landmarks(landmarks), asked)
    for number, known in near.items():
        parts[new[number]] = seen.served[hashes[known]]
    names = [name for name, of in zip(split.table.record_id.tolist(), parts, strict=True) if of]
    counts = Counter(part for of in parts for part in of)
    return Overlap(
        run=run,
        split=split.name,
        records=len(split),
        seen=len(names),
        near=len(near),
        served=dict(sorted(counts.items())),
        unknown=seen.unknown,
        names=shortlist(set(names)),
    )


def check_start(
    start: Seen, selection: Selection, workdir: Path, init_from: str | None, *, allowed: bool
) -> None:
    """Checks, before a run is trained, that nothing will have seen the records that are to test it.

    Args:
      start: From `seen_at_start`.
      selection: Of the run.
      workdir: Its folder.
      init_from: What it is started from.
      allowed: Whether seen records are asked for.

    Raises:
      ValueError: What it is started from has seen some, or the run itself is to train on some.
    """
    own = Seen()
    for name, by in (("validation", "train"), ("test", "validation")):
        own = own.over(served(selection, by))
        for seen, where in ((start, init_from or ""), (own, workdir)):
            overlap(seen, selection.split(name), "").check(where, allowed=allowed)


def notes_on(overlaps: Iterable[Overlap]) -> list[str]:
    """Returns what a reader of the numbers must know."""
    return [one.note for one in overlaps if one.note]


def overlaps_told(report: Path) -> list[Overlap] | None:
    """Returns what a report says of the records that it measures; None if it does not say.

    Raises:
      ValueError: The report is damaged.
    """
    if not report.is_file():
        return None
    return overlaps_in(read_values(report, remedy="evaluate the split again"), report)


def overlaps_in(values: Mapping[str, Any], report: Path) -> list[Overlap] | None:
    """Returns `overlaps_told` of a report that is read already."""
    told = values.get("seen")
    try:
        return None if told is None else [Overlap(**one) for one in told]
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{report} is damaged: {error}") from error


def overlap_by_name(run: Path, split: str, names: Iterable[str]) -> Overlap:
    """Finds what a run has seen of records whose names alone are known.

    Args:
      run: Its folder.
      split: What the records are called.
      names: Of the records, in the run's own data.
    """
    measured, splits = {str(name) for name in names}, read_splits(run)
    if splits is None:
        return Overlap(run.name, split, len(measured), unknown=True)
    parts = [(record, name) for name in OF_SPLIT for record, _ in splits[name]]
    found = [(record, name) for record, name in parts if record in measured]
    return Overlap(
        run=run.name,
        split=split,
        records=len(measured),
        seen=len(found),
        served=dict(Counter(part for _, name in found for part in OF_SPLIT[name])),
        unknown=read_seen(run).unknown,
        names=shortlist({record for record, _ in found}),
    )


def titled(title: str, overlaps: Iterable[Overlap]) -> str:
    """Returns a figure's title that tells what is no test, or not known to be one."""
    told = list(overlaps)
    marks = [" (seen records)"] * any(one.seen for one in told)
    marks += [" (trained on unknown records)"] * any(one.unknown for one in told)
    return "".join([title, *marks])


def overlaps_of(
    evaluated: Mapping[Path, Iterable[str]], split: str, *, allowed: bool
) -> list[Overlap]:
    """Returns what of evaluated records had a part in making what was evaluated on them.

    Args:
      evaluated: By the folder of a run or an ensemble, its records' names, which tell where its
        report is of an earlier version.
      split: Of the evaluations.
      allowed: Whether seen records are asked for.

    Raises:
      ValueError: They had a part, or a file is damaged.
    """
    found = []
    for folder, names in evaluated.items():
        told = overlaps_told(folder / "evaluation" / f"{split}.json")
        if told is None:
            told = [overlap_by_name(run, split, names) for run in member_runs(folder)]
        found += [one.check(folder, allowed=allowed) for one in told]
    return found
