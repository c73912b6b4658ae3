"""Folds leak neither patients nor signals, hold every class in proportion, and ignore order."""

import csv
import gzip
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfds_physionet.diagnoses import encode
from tfds_physionet.splits.folds import (
    assign_folds,
    fold_report,
    format_fold_report,
    group_records,
    join_folds,
)

KEYS = st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), min_size=1, max_size=40).map(
    lambda pairs: ([f"p{p}" for p, _ in pairs], [f"s{s}" for _, s in pairs])
)


@pytest.fixture(scope="module")
def real(challenge_labels):
    """(record_ids, labels [85056, 26], databases) of the Challenge."""
    with gzip.open(challenge_labels / "challenge2021_labels.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    labels = np.stack([encode(row["codes"].replace(",", " ").split()) for row in rows])
    return [r["record"] for r in rows], labels, np.array([r["database"] for r in rows])


def _random_set(seed, count, num_patients):
    rng = np.random.default_rng(seed)
    labels = rng.random((count, 26)) < rng.uniform(0.01, 0.3, 26)
    return {
        "record_ids": [f"R{i:04d}" for i in range(count)],
        "labels": labels,
        "databases": rng.choice(["a", "b", "c"], count).tolist(),
        "groups": [f"g{i}" for i in rng.integers(0, num_patients, count)],
    }


def _excess(folds, labels, num_folds=10):
    """How far each class's count in each fold is beyond one record or 5 % off its tenth."""
    counts = np.stack([labels[folds == fold].sum(axis=0) for fold in range(1, num_folds + 1)])
    tenth = labels.sum(axis=0) / num_folds
    return np.abs(counts - tenth) - np.maximum(1.0, 0.05 * tenth)


@given(KEYS)
def test_records_of_one_patient_or_one_signal_are_one_group(keys):
    patients, signals = keys
    groups = group_records(patients, signals)
    for i in range(len(groups)):
        for j in range(i):
            if patients[i] == patients[j] or signals[i] == signals[j]:
                assert groups[i] == groups[j]
    # Nothing else is joined: within a group, every two records are linked by a chain.
    for name in set(groups):
        members = [i for i, group in enumerate(groups) if group == name]
        reached, patient, signal = {members[0]}, {patients[members[0]]}, {signals[members[0]]}
        while True:
            more = {i for i in members if patients[i] in patient or signals[i] in signal}
            if more == reached:
                break
            reached = more
            patient |= {patients[i] for i in more}
            signal |= {signals[i] for i in more}
        assert reached == set(members)


@given(KEYS, st.randoms())
def test_group_names_do_not_depend_on_the_order_of_the_records(keys, random):
    patients, signals = keys
    groups = group_records(patients, signals)
    order = list(range(len(groups)))
    random.shuffle(order)
    shuffled = group_records([patients[i] for i in order], [signals[i] for i in order])
    assert shuffled == [groups[i] for i in order]


def test_unknown_patients_and_unknown_signals_do_not_join_records():
    assert len(set(group_records(["", "", "p"], ["s1", "s2", ""]))) == 3
    with pytest.raises(ValueError, match="record number 1 has neither"):
        group_records(["p", ""], ["", ""])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 200), st.integers(10, 200))
def test_every_record_is_in_one_fold_and_no_group_in_two(seed, count, num_patients):
    records = _random_set(seed, count, num_patients)
    folds = assign_folds(**records)
    assert folds.shape == (count,) and folds.min() >= 1 and folds.max() <= 10
    fold_of = {}
    for group, fold in zip(records["groups"], folds.tolist(), strict=True):
        assert fold_of.setdefault(group, fold) == fold
    # Ten groups fill ten folds.
    assert len(set(folds.tolist())) == min(10, len(fold_of))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.randoms())
def test_folds_do_not_depend_on_the_order_of_the_records(seed, random):
    records = _random_set(seed, 100, 70)
    order = list(range(100))
    random.shuffle(order)
    shuffled = {key: [value[i] for i in order] for key, value in records.items()}
    assert assign_folds(**shuffled).tolist() == assign_folds(**records)[order].tolist()


def test_every_class_and_source_of_the_challenge_is_within_5_percent_of_a_tenth_in_each_fold(real):
    record_ids, labels, databases = real
    rng = np.random.default_rng(0)
    # As many patients as PTB-XL has, dealt at random: the groups are kept whole too.
    patients = [
        f"P{rng.integers(18_885)}" if database == "ptb-xl" else record
        for record, database in zip(record_ids, databases, strict=True)
    ]
    groups = group_records(patients, record_ids)
    folds = assign_folds(record_ids, labels, databases, groups)
    sources = databases[:, None] == np.unique(databases)
    assert _excess(folds, np.concatenate([labels, sources], axis=1)).max() <= 0
    first = {}
    assert all(first.setdefault(g, f) == f for g, f in zip(groups, folds.tolist(), strict=True))


@pytest.mark.parametrize("count", [20, 50, 200, 1000])
def test_every_class_is_within_one_record_or_5_percent_in_small_sets_too(real, count):
    record_ids, labels, databases = real
    chosen = np.random.default_rng(count).choice(len(labels), count, replace=False)
    names = [record_ids[i] for i in chosen]
    folds = assign_folds(names, labels[chosen], databases[chosen], names)
    assert _excess(folds, labels[chosen]).max() <= 0


def test_fixed_folds_are_taken_and_the_others_dealt_around_them():
    records = _random_set(5, 300, 10_000)
    fixed = {f"R{i:04d}": 1 + i % 10 for i in range(100)}
    folds = assign_folds(**records, fixed=fixed)
    assert folds[:100].tolist() == list(fixed.values())
    assert np.abs(np.bincount(folds, minlength=11)[1:] - 30).max() <= 3
    with pytest.raises(ValueError, match="'R0003': fixed fold 11 not in 1..10"):
        assign_folds(**records, fixed={"R0003": 11})


def test_a_group_with_two_fixed_folds_stays_whole():
    records = _random_set(6, 30, 10_000)
    records["groups"][:3] = ["same"] * 3
    folds = assign_folds(**records, fixed={"R0000": 4, "R0001": 7, "R0002": 7})
    assert folds[:3].tolist() == [7, 7, 7]


def test_a_record_that_occurs_twice_is_refused():
    records = _random_set(7, 30, 30)
    records["record_ids"][4] = "R0000"
    with pytest.raises(ValueError, match="'R0000' occurs twice"):
        assign_folds(**records)


def test_a_group_that_lies_in_several_folds_is_brought_into_one_and_moves_no_other_record() -> None:
    records = _random_set(8, 300, 10_000)
    folds = assign_folds(**records)
    groups = records["groups"].copy()
    groups[:40] = [f"same {number // 4}" for number in range(40)]
    joined = join_folds(folds, *(records[k] for k in ("record_ids", "labels", "databases")), groups)
    assert all(len(set(joined[start : start + 4])) == 1 for start in range(0, 40, 4))
    assert (joined[40:] == folds[40:]).all()
    assert np.abs(np.bincount(joined, minlength=11)[1:] - 30).max() <= 4
    assert join_folds(folds, *list(records.values())[:3], records["groups"]) is folds


def test_thousands_of_folders_as_sources_take_no_longer_than_their_records_do(real) -> None:
    record_ids, labels, _ = real
    names = record_ids[:4000]
    start = time.process_time()
    folds = assign_folds(names, labels[:4000], [f"folder {name}" for name in names], names)
    assert time.process_time() - start < 5  # 2,000 took 23 s
    assert np.abs(np.bincount(folds)[1:] - 400).max() <= 20


def test_uneven_given_folds_are_dealt_around_in_time_and_the_rest_stays_in_proportion(real) -> None:
    record_ids, labels, databases = real
    rows = np.random.default_rng(0).choice(len(labels), 12_000, replace=False)
    shares = np.array([0.5, 0.1, *[0.05] * 8])
    given = np.random.default_rng(1).choice(10, len(rows), p=shares) + 1
    names = [record_ids[row] for row in rows]
    fixed = {
        n: int(f)
        for n, f, row in zip(names, given, rows, strict=True)
        if databases[row] == "ptb-xl"
    }
    start = time.process_time()
    folds = assign_folds(names, labels[rows], databases[rows], names, fixed=fixed)
    assert time.process_time() - start < 30  # 20,000 took more than 500 s
    assert all(folds[names.index(name)] == fold for name, fold in list(fixed.items())[::50])
    for source in ("georgia", "ningbo", "cpsc_2018"):
        counts = np.bincount(folds[databases[rows] == source], minlength=11)[1:]
        # What is given leaves fold 1 no room; the others share the rest of each source evenly.
        assert counts[2:].max() - counts[2:].min() <= 0.15 * counts[2:].mean(), source


def test_the_report_counts_records_patients_duplicates_and_shares():
    labels = np.zeros((4, 26), np.uint8)
    labels[:3, 0] = 1
    report = fold_report(
        np.array([1, 1, 2, 10]), labels, ["a", "a", "b", "b"], ["p", "p", "q", ""], list("xyxz")
    )
    assert (report["records"], report["patients"], report["duplicates"]) == (4, 3, 1)
    assert report["folds"] == [2, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert report["databases"]["b"] == [0, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert report["classes"]["AF"]["records"] == 3
    assert report["classes"]["AF"]["share"][:3] == pytest.approx([2 / 3, 1 / 3, 0], abs=1e-6)
    assert json.loads(json.dumps(report)) == report
    table = format_fold_report(report)
    assert "4 records of 3 patients, 1 duplicate signals" in table and "66.67%" in table
    told = format_fold_report(report | {"patients_unknown": {"b": 2}, "without_diagnosis": 4})
    assert "4 records, 1 duplicate signals\npatients unknown of 2 of 4 records (b)" in told
    assert "all 4 records have none of the 26 diagnoses that are scored" in told
