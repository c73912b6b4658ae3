"""splits.csv in a run's folder: which records train, validate and test it."""

import csv
from pathlib import Path

from resunet_lc_jax.data.selection import SPLITS, Selection, Split
from resunet_lc_jax.runs.screen import say
from tfds_physionet.files import replacing
from tfds_physionet.wording import shortlist

FILE = "splits.csv"


def keep_splits(workdir: Path, selection: Selection) -> None:
    """Writes a run's splits.csv (split, record, signal_hash), or checks the one that is there.

    Raises:
      ValueError: The run was begun with other records.
    """
    path = workdir / FILE
    chosen = {name: _signals(selection.split(name)) for name in SPLITS}
    before = read_splits(workdir)
    if before is not None:
        for name in SPLITS:
            if changed := before[name] ^ chosen[name]:
                raise ValueError(
                    f"{path}: the run was begun with other {name} records, {len(changed):,} differ "
                    f"({shortlist({record for record, _ in changed})}); give another --workdir"
                )
        return
    if (workdir / "metrics.jsonl").is_file():
        say(f"{path} is gone: it is written anew from the config and the records")
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["split", "record", "signal_hash"])
        for name in SPLITS:
            writer.writerows([name, *signal] for signal in sorted(chosen[name]))


def _signals(split: Split) -> set[tuple[str, str]]:
    return set(zip(split.table.record_id.tolist(), split.table.signal_hash.tolist(), strict=True))


def read_splits(workdir: Path) -> dict[str, set[tuple[str, str]]] | None:
    """Returns the (record, signal_hash) of each split of a run; None if it has no splits.csv."""
    path = workdir / FILE
    if not path.is_file():
        return None
    splits: dict[str, set[tuple[str, str]]] = {name: set() for name in SPLITS}
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.reader(file)
        try:
            for number, (split, record, digest) in enumerate(rows):
                if number:
                    splits[split].add((record, digest))
        except (ValueError, KeyError, csv.Error) as error:
            raise ValueError(
                f"{path}, line {rows.line_num}: no split, record and signal_hash ({error}); put "
                "the file back"
            ) from error
    return splits
