"""Which records train, validate and test: by folds, by databases or by lists.

Works on the table of the records alone (`tfds_physionet.table`); reads no signals.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from tfds_physionet.build_plan import NUM_FOLDS
from tfds_physionet.files import replacing
from tfds_physionet.folds import group_records
from tfds_physionet.records_table import RecordTable

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Split:
    """Some of a data set's records.

    Attributes:
      name: What it is called.
      table: Their rows of the table, in the stored order.
    """

    name: str
    table: RecordTable

    def __len__(self) -> int:
        """The number of records."""
        return len(self.table.record_id)


@dataclass(frozen=True, eq=False)
class Selection:
    """What serves what.

    Attributes:
      table: All records of the data set.
      rows: [N] bool by split: 'train', 'validation', 'test' and 'all' (of the chosen databases).
      notes: What the user should know of it: records left out, leaks of the lists.
    """

    table: RecordTable
    rows: Mapping[str, np.ndarray]
    notes: tuple[str, ...] = ()

    def split(self, name: str) -> Split:
        """Returns 'train', 'validation', 'test', 'all', or one fold as 'fold_3'.

        Raises:
          ValueError: There is no such split, or no record in it.
        """
        folds = {f"fold_{fold}": fold for fold in range(1, NUM_FOLDS + 1)}
        if name not in self.rows and name not in folds:
            known = ", ".join([*self.rows, *folds])
            raise ValueError(f"--split is {name!r}; choose one of {known}")
        if name in folds:
            rows = self.rows["all"] & (self.table.fold == folds[name])
        else:
            rows = self.rows[name]
        if not rows.any():
            raise ValueError(f"no record is left for {name}; see config.data, which selects them")
        return Split(name, self.table.take(rows))


def select(table: RecordTable, config: ConfigDict) -> Selection:
    """Chooses the records of each split.

    By folds unless `leave_out` names databases to be tested on, or lists name the records.

    Args:
      table: The data set's records.
      config: The run's `config.data`.

    Raises:
      FileNotFoundError: A list is not there.
      ValueError: A record would serve twice, a name is unknown, nothing is left for a split, or
        the settings contradict each other.
    """
    notes: list[str] = []
    allowed = np.ones(len(table.record_id), bool)
    if config.only_databases:
        allowed = _of(table, config.only_databases, "only_databases")
    allowed &= ~_of(table, config.except_databases, "except_databases")
    if not allowed.any():
        raise ValueError("config.data.only_databases and except_databases leave no record")
    lists = {name: config[f"{name}_list"] for name in SPLITS if config[f"{name}_list"]}
    if lists and config.leave_out:
        raise ValueError("give config.data.leave_out or lists of records, not both")
    if lists:
        rows = _by_lists(table, lists, config, notes)
    elif config.leave_out:
        rows = _without(table, allowed, config, notes)
    else:
        rows = _by_folds(table, config)
    if lists and not allowed.all():
        outside = sum(np.count_nonzero(chosen & ~allowed) for chosen in rows.values())
        notes.append(f"{outside:,} records of the lists are of databases that are not selected")
    rows = {name: chosen & allowed for name, chosen in rows.items()}
    if lists:
        notes += _leaks(table, rows)
    selection = Selection(table, rows | {"all": allowed}, tuple(notes))
    for name in SPLITS:
        selection.split(name)
    return selection


def _of(table: RecordTable, names: tuple[str, ...], field: str) -> np.ndarray:
    """The rows of these databases; a name may hold several, as 'ptb,ptb-xl' does."""
    wanted = {part.strip() for name in names for part in name.split(",")}
    known = set(table.database.tolist())
    if unknown := wanted - known:
        raise ValueError(
            f"config.data.{field} names {', '.join(sorted(unknown))}; "
            f"the records are of {', '.join(sorted(known))}"
        )
    return np.isin(table.database, list(wanted))


def _by_folds(table: RecordTable, config: ConfigDict) -> dict[str, np.ndarray]:
    folds = {name: set(config[f"{name}_folds"]) for name in SPLITS}
    for name, chosen in folds.items():
        if not chosen <= set(range(1, NUM_FOLDS + 1)):
            raise ValueError(
                f"config.data.{name}_folds is {tuple(config[f'{name}_folds'])}; "
                f"the folds are 1 to {NUM_FOLDS}"
            )
    for one, other in combinations(SPLITS, 2):
        if shared := folds[one] & folds[other]:
            raise ValueError(
                f"fold {min(shared)} is in config.data.{one}_folds and in {other}_folds; a record "
                "serves only one of training, validation (best epoch, thresholds) and test"
            )
    return {name: np.isin(table.fold, list(chosen)) for name, chosen in folds.items()}


def _without(
    table: RecordTable, allowed: np.ndarray, config: ConfigDict, notes: list[str]
) -> dict[str, np.ndarray]:
    """Tests on all of some databases; all others train but for their validation folds."""
    test = _of(table, config.leave_out, "leave_out") & allowed
    groups = _groups(table)
    related = np.isin(groups, groups[test]) & ~test
    if dropped := np.count_nonzero(related & allowed):
        notes.append(
            f"{dropped:,} records of other databases share a patient or a signal with the "
            "left-out ones and are not used"
        )
    validation = ~test & ~related & np.isin(table.fold, config.validation_folds)
    return {"train": ~test & ~related & ~validation, "validation": validation, "test": test}


def _by_lists(
    table: RecordTable, lists: Mapping[str, str], config: ConfigDict, notes: list[str]
) -> dict[str, np.ndarray]:
    for name in ("train", "test"):
        if name not in lists:
            given = ", ".join(f"config.data.{other}_list" for other in lists)
            raise ValueError(f"{given} is given, but config.data.{name}_list is not")
    names = {name: _read_list(path, f"config.data.{name}_list") for name, path in lists.items()}
    for one, other in combinations(names, 2):
        if shared := names[one] & names[other]:
            raise ValueError(
                f"{_some(shared)} {'is' if len(shared) == 1 else 'are'} in {lists[one]} and in "
                f"{lists[other]}; a record serves only one of training, validation and test"
            )
    rows = {}
    for name, wanted in names.items():
        rows[name] = np.isin(table.record_id, list(wanted))
        missing = wanted - set(table.record_id[rows[name]].tolist())
        text = f"{lists[name]}: {len(missing):,} of {len(wanted):,} records are not in the data set"
        if missing == wanted:
            raise ValueError(f"{text} ({_some(missing)}); does the list belong to these records?")
        if missing:
            notes.append(f"{text} ({_some(missing)})")
    if "validation" not in rows:
        rows["validation"] = rows["train"] & np.isin(table.fold, config.validation_folds)
        rows["train"] &= ~rows["validation"]
        folds = ", ".join(map(str, config.validation_folds))
        notes.append(
            "no config.data.validation_list: of the training list, "
            f"{np.count_nonzero(rows['validation']):,} records validate (those of fold {folds})"
        )
    return rows


def _read_list(path: str, field: str) -> set[str]:
    """The names in the column `record`; a folder or a suffix of a record's file is cut off."""
    file_path = Path(path).expanduser()
    if not file_path.is_file():
        raise FileNotFoundError(f"{field} is {path}; there is no such file")
    with file_path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = [column.strip() for column in reader.fieldnames or ()]
        if "record" not in columns:
            raise ValueError(f"{path}: no column 'record'; the first line is {','.join(columns)!r}")
        reader.fieldnames = columns
        values = [Path((row["record"] or "").strip()) for row in reader]
    suffixes = (".hea", ".mat", ".dat")
    names = {value.stem if value.suffix in suffixes else value.name for value in values} - {""}
    if not names:
        raise ValueError(f"{path}: no records are listed")
    return names


def _groups(table: RecordTable) -> np.ndarray:
    """The records that share a patient or a signal have the same name here."""
    return np.array(group_records(table.patient_id.tolist(), table.signal_hash.tolist()), str)


def _leaks(table: RecordTable, rows: Mapping[str, np.ndarray]) -> list[str]:
    """Says where a patient or a signal is in two splits."""
    notes = []
    groups = _groups(table)
    for one, other in combinations(SPLITS, 2):
        leaking = rows[other] & np.isin(groups, groups[rows[one]])
        if leaking.any():
            notes.append(
                f"leak: {np.count_nonzero(leaking):,} {other} records share a patient or a signal "
                f"with {one} records ({_some(set(table.record_id[leaking].tolist()))})"
            )
    return notes


def _some(names: set[str]) -> str:
    return ", ".join(sorted(names)[:3]) + ", ..." * (len(names) > 3)


def keep_splits(path: Path, selection: Selection) -> None:
    """Writes a run's splits.csv (split, record, signal_hash), or checks the one that is there.

    Raises:
      ValueError: The run was begun with other records.
    """
    chosen = {name: _signals(selection.split(name)) for name in SPLITS}
    if path.is_file():
        before = _read_splits(path)
        for name in SPLITS:
            if changed := before[name] ^ chosen[name]:
                raise ValueError(
                    f"{path}: the run was begun with other {name} records, {len(changed):,} differ "
                    f"({_some({record for record, _ in changed})}); give another --workdir"
                )
        return
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["split", "record", "signal_hash"])
        for name in SPLITS:
            writer.writerows([name, *signal] for signal in sorted(chosen[name]))


def check_unseen(path: Path, split: Split) -> None:
    """Raises ValueError if a run is to be measured on records that had a part in making it.

    Args:
      path: The run's splits.csv; a run without one (imported) passes.
      split: The records; a split that is named by its fold, or 'train' or 'all', passes.
    """
    made_by = {"test": ("train", "validation"), "validation": ("train",)}.get(split.name, ())
    if not made_by or not path.is_file():
        return
    before = _read_splits(path)
    if seen := _signals(split) & set().union(*(before[name] for name in made_by)):
        raise ValueError(
            f"{len(seen):,} of the {len(split):,} {split.name} records had a part in making the "
            f"run in {path.parent} (its {' or '.join(made_by)} records: "
            f"{_some({record for record, _ in seen})}); choose others"
        )


def _signals(split: Split) -> set[tuple[str, str]]:
    return set(zip(split.table.record_id.tolist(), split.table.signal_hash.tolist(), strict=True))


def _read_splits(path: Path) -> dict[str, set[tuple[str, str]]]:
    splits: dict[str, set[tuple[str, str]]] = {name: set() for name in SPLITS}
    with path.open(newline="", encoding="utf-8") as file:
        for split, record, digest in list(csv.reader(file))[1:]:
            splits[split].add((record, digest))
    return splits
