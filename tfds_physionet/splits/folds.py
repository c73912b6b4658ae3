"""Ten folds: patients and duplicate signals whole, every class and source in proportion.

Plain NumPy on identifiers and labels; reads no signals. The convention of the field is folds 1-8
for training, 9 for validation and 10 for test, which is the caller's to apply.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tfds_physionet.diagnoses import DIAGNOSES
from tfds_physionet.splits.patients import IN_TURN
from tfds_physionet.splits.stratification import stratify

_MOST_SMALL_SOURCES = 50


PATIENTS_UNKNOWN = "patients unknown"
"""How the note begins that says so."""


def group_records(patient_ids: Sequence[str], signal_hashes: Sequence[str]) -> list[str]:
    """Names the group of each record: the records that must stay in one fold.

    Records belong together if they share a patient or a signal, directly or through others.

    Args:
      patient_ids: one identifier a record, unique across databases; '' where unknown.
      signal_hashes: one hash of the lead-ordered samples a record; '' where unknown.

    Returns:
      A group name per record, which depends on the set of records and not on their order.

    Raises:
      ValueError: the lengths differ, or a record has neither patient nor hash.
    """
    count = len(patient_ids)
    if len(signal_hashes) != count:
        raise ValueError(f"{count} patient_ids but {len(signal_hashes)} signal_hashes")
    keys = np.array(
        [f"patient {key}" if key else "" for key in patient_ids]
        + [f"signal {key}" if key else "" for key in signal_hashes]
    )
    if not count:
        return []
    known = keys != ""
    if not np.all(known[:count] | known[count:]):
        nameless = int(np.flatnonzero(~(known[:count] | known[count:]))[0])
        raise ValueError(f"record number {nameless} has neither a patient id nor a signal hash")
    # A graph of records and keys; np.unique sorts, so the lowest key number is the first name.
    names, numbers = np.unique(keys[known], return_inverse=True)
    records = np.tile(np.arange(count), 2)[known]
    size = count + len(names)
    graph = coo_array((np.ones(len(records), bool), (records, count + numbers)), (size, size))
    component = connected_components(graph, directed=False)[1]
    first_key = np.full(size, len(names))
    np.minimum.at(first_key, component[count:], np.arange(len(names)))
    return names[first_key[component[:count]]].tolist()


def assign_folds(
    record_ids: Sequence[str],
    labels: np.ndarray,
    databases: Sequence[str],
    groups: Sequence[str],
    *,
    num_folds: int = 10,
    seed: int = 0,
    fixed: Mapping[str, int] | None = None,
) -> np.ndarray:
    """Assigns whole groups to folds by iterative multi-label stratification.

    Each diagnosis and each source database comes to within one record or 5 % of an equal share in
    every fold where the groups allow it (see `stratification.stratify`).

    Args:
      record_ids: N distinct names. The result does not depend on their order.
      labels: [N, K] 0/1.
      databases: N source names; each counts as one more class.
      groups: N group names, of `group_records`.
      num_folds: how many folds.
      seed: of the draws.
      fixed: folds given beforehand, by record, such as PTB-XL's. A group goes where most of its
        fixed records are (the lowest such fold on a tie).

    Returns:
      [N] int64, the fold of each record, 1 to num_folds.

    Raises:
      ValueError: lengths differ, a record name occurs twice, or a fixed fold is out of range.
    """
    count = len(record_ids)
    labels = np.asarray(labels)
    if not len(labels) == len(databases) == len(groups) == count:
        raise ValueError(
            f"{count} record_ids, {len(labels)} labels, {len(databases)} databases and "
            f"{len(groups)} groups; all must be as many"
        )
    order = np.argsort(np.asarray(record_ids, dtype=str), kind="stable")
    names = np.asarray(record_ids, dtype=str)[order]
    if np.any(names[1:] == names[:-1]):
        twice = str(names[1:][names[1:] == names[:-1]][0])
        raise ValueError(f"record {twice!r} occurs twice; record names must be distinct")
    if not count:
        return np.zeros(0, np.int64)

    source = _sources(np.asarray(databases, dtype=str)[order], num_folds)
    classes = np.concatenate(
        [labels[order] > 0, source[:, None] == np.arange(source.max() + 1)], axis=1
    ).astype(np.int64)
    _, group = np.unique(np.asarray(groups, dtype=str)[order], return_inverse=True)
    contents = np.zeros((group.max() + 1, classes.shape[1] + 1), np.int64)
    np.add.at(contents, group, np.concatenate([classes, np.ones((count, 1), np.int64)], axis=1))
    given = _fixed_folds(names, group, fixed or {}, num_folds)
    group_fold = stratify(contents, given, num_folds=num_folds, seed=seed)
    folds = np.empty(count, np.int64)
    folds[order] = group_fold[group] + 1
    return folds


def join_folds(
    folds: np.ndarray,
    record_ids: Sequence[str],
    labels: np.ndarray,
    databases: Sequence[str],
    groups: Sequence[str],
    *,
    num_folds: int = 10,
) -> np.ndarray:
    """Brings each group that lies in several folds into one of them; all other records stay.

    Args:
      folds: [N] of `assign_folds`.
      record_ids: As there, like the others.
      labels: [N, K] 0/1.
      databases: N source names.
      groups: N group names.
      num_folds: how many folds.
    """
    fold_of: dict[str, set[int]] = {}
    for group, fold in zip(groups, folds.tolist(), strict=True):
        fold_of.setdefault(group, set()).add(fold)
    kept = {
        record: int(fold)
        for record, group, fold in zip(record_ids, groups, folds, strict=True)
        if len(fold_of[group]) == 1
    }
    if len(kept) == len(folds):
        return folds
    return assign_folds(record_ids, labels, databases, groups, num_folds=num_folds, fixed=kept)


def _sources(databases: np.ndarray, num_folds: int) -> np.ndarray:
    """Numbers the sources; many that are too small for a record in each fold count as one."""
    _, source, counts = np.unique(databases, return_inverse=True, return_counts=True)
    small = counts < num_folds
    if np.count_nonzero(small) > _MOST_SMALL_SOURCES:
        source = np.where(small[source], len(counts), source)
        source = np.unique(source, return_inverse=True)[1]
    return source


def _fixed_folds(
    names: np.ndarray, group: np.ndarray, fixed: Mapping[str, int], num_folds: int
) -> np.ndarray:
    """The fold (from 0) of each group that holds fixed records, else -1."""
    votes = np.zeros((group.max() + 1, num_folds), np.int64)
    for name, number in zip(names.tolist(), group.tolist(), strict=True):
        if name in fixed:
            if not 1 <= fixed[name] <= num_folds:
                raise ValueError(f"record {name!r}: fixed fold {fixed[name]} not in 1..{num_folds}")
            votes[number, fixed[name] - 1] += 1
    return np.where(votes.any(axis=1), votes.argmax(axis=1), -1)


def fold_report(
    folds: np.ndarray,
    labels: np.ndarray,
    databases: Sequence[str],
    patient_ids: Sequence[str],
    signal_hashes: Sequence[str],
    *,
    num_folds: int = 10,
) -> dict:
    """Counts what went where.

    Args:
      folds: [N] of `assign_folds`.
      labels: [N, 26] 0/1.
      databases: N source names.
      patient_ids: N patients, as given to `group_records`.
      signal_hashes: N hashes, as given to `group_records`.
      num_folds: how many folds.

    Returns:
      A JSON-able dict: records, patients, duplicates (records whose signal another record has
      already), folds (records in each), classes (by abbreviation: records, share per fold) and
      databases (records of each per fold).
    """
    folds = np.asarray(folds)
    labels = np.asarray(labels)
    per_fold = np.stack([labels[folds == fold].sum(axis=0) for fold in range(1, num_folds + 1)], 1)
    totals = per_fold.sum(axis=1)
    hashes = [key for key in signal_hashes if key]
    patients = [key for key in patient_ids if key]
    return {
        "records": len(folds),
        "patients": len(set(patients)) + len(patient_ids) - len(patients),
        "duplicates": len(hashes) - len(set(hashes)),
        "folds": _counts(folds, num_folds),
        "classes": {
            diagnosis.abbreviation: {
                "records": int(total),
                "share": [round(float(part) / max(float(total), 1.0), 6) for part in parts],
            }
            for diagnosis, total, parts in zip(DIAGNOSES, totals, per_fold, strict=True)
        },
        "databases": {
            name: _counts(folds[np.asarray(databases) == name], num_folds)
            for name in sorted(set(databases))
        },
    }


def _counts(folds: np.ndarray, num_folds: int) -> list[int]:
    return np.bincount(folds, minlength=num_folds + 1)[1:].tolist()


def patients_note(report: Mapping) -> str | None:
    """Returns whose patients are unknown, of the records of a `fold_report`; None: nobody's."""
    if not (unknown := report.get("patients_unknown", {})):
        return None
    guessed = ", ".join(name for name in unknown if name in IN_TURN)
    return (
        f"{PATIENTS_UNKNOWN} of {sum(unknown.values()):,} of {report['records']:,} records "
        f"({', '.join(unknown)}): each counts as its own patient"
        + (f", of {guessed} consecutive records of equal age and sex as one" * bool(guessed))
    )


def report_notes(report: Mapping) -> list[str]:
    """Returns what a user should know of the records of a `fold_report` (a sentence each).

    Reports of earlier versions say nothing of it.
    """
    notes = [note] if (note := patients_note(report)) else []
    if unread := report.get("unread_diagnoses", {}).get("records"):
        examples = list(report["unread_diagnoses"]["examples"])
        notes.append(
            f"{unread:,} records name diagnoses that are no SNOMED code: "
            + ", ".join(examples[:8])
            + ", ..." * (len(examples) > 8)
        )
    if bare := report.get("without_diagnosis"):
        of_how_many = "all" if bare == report["records"] else f"{bare:,} of the"
        notes.append(
            f"{of_how_many} {report['records']:,} records have none of the {len(DIAGNOSES)} "
            "diagnoses that are scored"
        )
    return notes


def format_fold_report(report: Mapping) -> str:
    """Lays out a `fold_report` as a table: records per fold by source, shares in % by class."""
    num_folds = len(report["folds"])
    width = max(8, *(len(name) for name in report["databases"]))
    of_patients = f" of {report['patients']} patients" * (not report.get("patients_unknown"))
    lines = [
        f"{report['records']} records{of_patients}, {report['duplicates']} duplicate signals",
        *report_notes(report),
        f"{'fold':{width}} {'all':>7}" + "".join(f"{n:7d}" for n in range(1, num_folds + 1)),
    ]
    for name, counts in {"records": report["folds"], **report["databases"]}.items():
        lines.append(f"{name:{width}} {sum(counts):7d}" + "".join(f"{n:7d}" for n in counts))
    for name, entry in report["classes"].items():
        shares = "".join(f"{100 * share:6.2f}%" for share in entry["share"])
        lines.append(f"{name:{width}} {entry['records']:7d}{shares}")
    return "\n".join(lines)
