"""A run remembers the records that had a part in making it, and is not measured on them."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from record_tables import choose, make_table

from resunet_lc_jax.data.selection import Selection
from resunet_lc_jax.runs.overlaps import Overlap, check_start, overlap, titled
from resunet_lc_jax.runs.seen import keep_seen, read_seen, seen_at_start
from resunet_lc_jax.runs.splits import keep_splits
from tfds_physionet.simulate import simulate_record
from tfds_physionet.splits.landmarks import find_landmarks


def _begin(run: Path, selection: Selection, init_from: str | None = None) -> Path:
    run.mkdir(exist_ok=True)
    (run / "config.json").write_text(json.dumps({"init_from": init_from}))
    keep_seen(run, seen_at_start(run, init_from), selection)
    keep_splits(run, selection)
    return run


def _overlap(run: Path, selection: Selection, split: str) -> Overlap:
    return overlap(read_seen(run), selection.split(split), run.name)


def _refused(run: Path, selection: Selection, split: str) -> bool:
    try:
        _overlap(run, selection, split).check(run, allowed=False)
    except ValueError as error:
        assert "had a part in making the run in" in str(error)
        assert "--config.eval.seen_records=True" in str(error)
        return True
    return False


def test_each_record_that_served_is_listed_once_with_what_it_served(tmp_path: Path) -> None:
    _begin(tmp_path, choose())
    with (tmp_path / "seen.csv").open() as file:
        rows = {row["hash"]: row["served"] for row in csv.DictReader(file)}
    assert len(rows) == 180
    assert rows["hash of R000"] == "train" and rows["hash of R160"] == "thresholds|validation"
    assert "hash of R180" not in rows


def test_a_run_is_measured_on_what_it_has_seen_only_where_the_split_is_called_so(
    tmp_path: Path,
) -> None:
    run = _begin(tmp_path, choose())
    splits = ["train", "validation", "test", "all", *(f"fold_{fold}" for fold in range(1, 11))]
    refused = {name for name in splits if _refused(run, choose(), name)}
    assert refused == {"all", *(f"fold_{fold}" for fold in range(1, 10))}
    told = _overlap(run, choose(), "validation")
    assert told.note == (
        f"20 of the 20 validation records had a part in making {run.name} (thresholds, validation)"
    )
    assert _overlap(run, choose(), "test").note == ""
    assert _overlap(run, choose(), "fold_1").check(run, allowed=True).seen == 20
    moved = {"train_folds": tuple(range(3, 9)), "validation_folds": (1,)}
    assert _refused(run, choose(**moved), "validation")
    # The same names in another data set are other records; the same signals are the same.
    others = make_table(signal_hash=np.array([f"other {number}" for number in range(200)]))
    assert not _refused(run, choose(others), "fold_1")
    renamed = make_table(record_id=np.array([f"X{number}" for number in range(200)]))
    assert _refused(run, choose(renamed), "fold_1")


def test_what_a_run_was_started_from_has_been_seen_by_the_run(tmp_path: Path) -> None:
    first = _begin(tmp_path / "first", choose())
    moved = choose(train_folds=tuple(range(2, 9)), validation_folds=(10,), test_folds=(1,))
    start = seen_at_start(tmp_path / "second", str(first))
    with pytest.raises(ValueError, match="20 of the 20 test records had a part in making the run"):
        check_start(start, moved, tmp_path, str(first), allowed=False)
    second = _begin(tmp_path / "second", moved, str(first))
    third = _begin(tmp_path / "third", moved, str(second))
    for run in (second, third):
        assert _overlap(run, moved, "test").served == {"start": 20}


def test_a_run_does_not_train_on_the_signals_that_test_it(tmp_path: Path) -> None:
    table = make_table()
    twice = table.signal_hash.copy()
    twice[185] = twice[0]  # as a list of test records may name a copy of a training record
    selection = choose(make_table(signal_hash=twice))
    with pytest.raises(ValueError, match=r"1 of the 20 test records .*\(train: R185\)"):
        check_start(seen_at_start(tmp_path, None), selection, tmp_path, None, allowed=False)
    check_start(seen_at_start(tmp_path, None), selection, tmp_path, None, allowed=True)
    check_start(seen_at_start(tmp_path, None), choose(table), tmp_path, None, allowed=False)


def test_a_run_of_an_earlier_version_tells_by_its_splits_and_what_it_was_started_from(
    tmp_path: Path,
) -> None:
    first = _begin(tmp_path / "first", choose())
    second = _begin(tmp_path / "second", choose(train_folds=(2,)), str(first))
    now = [read_seen(run) for run in (first, second)]
    for run in (first, second):
        (run / "seen.csv").unlink()
    before = [read_seen(run) for run in (first, second)]
    assert [seen.served for seen in before] == [seen.served for seen in now]
    assert not any(seen.unknown for seen in before)


@pytest.mark.parametrize("made", ["imported.json", "checkpoints/1"])
def test_weights_without_a_word_on_their_records_are_unknown_for_good(
    tmp_path: Path, made: str
) -> None:
    run = tmp_path / "run"
    (run / made).mkdir(parents=True) if "/" in made else run.mkdir()
    (run / "imported.json").write_text("{}") if "." in made else None
    found = _overlap(run, choose(), "test")
    assert found.note == "run was trained on unknown records" and not found.seen
    assert titled("a", [found]) == "a (trained on unknown records)"
    _begin(run, choose())
    for where in (run, _begin(tmp_path / "next", choose(), str(run))):
        found = _overlap(where, choose(), "fold_1")
        assert found.unknown and found.seen == 20
    assert titled("a", [found]) == "a (seen records) (trained on unknown records)"


def test_a_signal_is_known_at_another_gain_and_cut(tmp_path: Path) -> None:
    signals = [simulate_record(3, number).signal for number in range(200)]
    landmarks = np.array([find_landmarks(signal, 500.0) for signal in signals], object)
    run = _begin(tmp_path, choose(make_table(landmarks=landmarks)))
    hashes = np.array([f"other {number}" for number in range(200)])
    others = [find_landmarks(signal[:, 2000:] // 3, 500.0) for signal in signals]
    changed = make_table(signal_hash=hashes, landmarks=np.array(others, object))
    assert _overlap(run, choose(changed), "test").seen == 0
    found = _overlap(run, choose(changed), "fold_1")
    assert found.seen == found.near == 20 and found.served == {"train": 20}
    assert "(train), 20 at another gain, rate, cut or order of leads" in found.note
    assert _refused(run, choose(changed), "fold_1")


def test_a_damaged_list_is_no_empty_one(tmp_path: Path) -> None:
    (tmp_path / "seen.csv").write_text("record\nR000\n")
    with pytest.raises(ValueError, match="seen.csv is damaged"):
        read_seen(tmp_path)
