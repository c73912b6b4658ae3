"""Which records train, validate and test: by folds, by databases or by lists.

Works on the table of the records alone (`tfds_physionet.building.records_table`); reads no signals.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from tfds_physionet.building.build_plan import NUM_FOLDS
from tfds_physionet.building.records_table import RecordTable
from tfds_physionet.splits.folds import group_records
from tfds_physionet.wording import shortlist

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class SplitRules:
    """What says which records serve what; see `config.data` for each.

    Attributes:
      folds: The folds of each split of `SPLITS`.
      lists: CSV files that name the records of a split, instead of folds; {} for none.
      only_databases: Databases to use, by name; () for all.
      except_databases: Databases not to use.
      leave_out: Databases to test on as a whole.
      always_train: Databases all of whose records train, whatever their folds.
    """

    folds: Mapping[str, tuple[int, ...]]
    lists: Mapping[str, str]
    only_databases: tuple[str, ...] = ()
    except_databases: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    always_train: tuple[str, ...] = ()


def database_names(entries: Sequence[str]) -> list[str]:
    """The names in a knob that lists databases; an entry may hold several, as 'ptb,ptb-xl'."""
    return [name.strip() for entry in entries for name in entry.split(",")]


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


def select(table: RecordTable, rules: SplitRules) -> Selection:
    """Chooses the records of each split.

    By folds unless `leave_out` names databases to be tested on, or lists name the records.

    Args:
      table: The data set's records.
      rules: What chooses.

    Raises:
      FileNotFoundError: A list is not there.
      ValueError: A record is in two lists, a name is unknown, or nothing is left for a split.
    """
    notes: list[str] = []
    allowed = np.ones(len(table.record_id), bool)
    if rules.only_databases:
        allowed = _of(table, rules.only_databases, "only_databases")
    allowed &= ~_of(table, rules.except_databases, "except_databases")
    if not allowed.any():
        raise ValueError("config.data.only_databases and except_databases leave no record")
    lists = rules.lists
    if lists:
        rows = _by_lists(table, rules, notes)
    elif rules.leave_out:
        rows = _without(table, allowed, rules, notes)
    else:
        rows = {name: np.isin(table.fold, list(folds)) for name, folds in rules.folds.items()}
        if rules.always_train:
            rows = _trained_always(table, rows, _of(table, rules.always_train, "always_train"))
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
    """The rows of these databases."""
    wanted = set(database_names(names))
    known = set(table.database.tolist())
    if unknown := wanted - known:
        raise ValueError(
            f"config.data.{field} names {', '.join(sorted(unknown))}; "
            f"the records are of {', '.join(sorted(known))}"
        )
    return np.isin(table.database, list(wanted))


def _trained_always(
    table: RecordTable, rows: Mapping[str, np.ndarray], these: np.ndarray
) -> dict[str, np.ndarray]:
    """Lets these [N] train, but for relatives of what validates or tests."""
    rows = {name: chosen & ~these for name, chosen in rows.items()}
    groups = _groups(table)
    related = np.isin(groups, groups[rows["validation"] | rows["test"]])
    return rows | {"train": rows["train"] | (these & ~related)}


def _without(
    table: RecordTable, allowed: np.ndarray, rules: SplitRules, notes: list[str]
) -> dict[str, np.ndarray]:
    """Tests on all of some databases; all others train but for their validation folds."""
    test = _of(table, rules.leave_out, "leave_out") & allowed
    groups = _groups(table)
    related = np.isin(groups, groups[test]) & ~test
    if dropped := np.count_nonzero(related & allowed):
        notes.append(
            f"{dropped:,} records of other databases share a patient or a signal with the "
            "left-out ones and are not used"
        )
    validation = ~test & ~related & np.isin(table.fold, rules.folds["validation"])
    return {"train": ~test & ~related & ~validation, "validation": validation, "test": test}


def _by_lists(table: RecordTable, rules: SplitRules, notes: list[str]) -> dict[str, np.ndarray]:
    lists = rules.lists
    ids = set(table.record_id.tolist())
    names = {
        name: _read_list(path, f"config.data.{name}_list", ids) for name, path in lists.items()
    }
    for one, other in combinations(names, 2):
        if shared := names[one] & names[other]:
            raise ValueError(
                f"{shortlist(shared)} {'is' if len(shared) == 1 else 'are'} in {lists[one]} and in "
                f"{lists[other]}; a record serves only one of training, validation and test"
            )
    rows = {}
    for name, wanted in names.items():
        rows[name] = np.isin(table.record_id, list(wanted))
        missing = wanted - set(table.record_id[rows[name]].tolist())
        text = f"{lists[name]}: {len(missing):,} of {len(wanted):,} records are not in the data set"
        if missing == wanted:
            raise ValueError(
                f"{text} ({shortlist(missing)}); does the list belong to these records?"
            )
        if missing:
            notes.append(
                f"{Path(lists[name]).name}{text.removeprefix(lists[name])} ({shortlist(missing)})"
            )
    if "validation" not in rows:
        rows["validation"] = rows["train"] & np.isin(table.fold, rules.folds["validation"])
        rows["train"] &= ~rows["validation"]
        folds = ", ".join(map(str, rules.folds["validation"]))
        notes.append(
            "no config.data.validation_list: of the training list, "
            f"{np.count_nonzero(rows['validation']):,} records validate (those of fold {folds})"
        )
    return rows


def _read_list(path: str, field: str, ids: set[str]) -> set[str]:
    """The names in the column `record`, without suffixes and folders that are no part of an id."""
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
    whole = [value.with_suffix("") if value.suffix in suffixes else value for value in values]
    names = {str(value) if str(value) in ids else value.name for value in whole} - {""}
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
                f"with {one} records ({shortlist(set(table.record_id[leaking].tolist()))})"
            )
    return notes
