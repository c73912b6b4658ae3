"""Which records train, validate and test, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from record_tables import COUNT, choose, make_table, rules_of

from resunet_lc_jax.data import stream
from resunet_lc_jax.data.selection import Selection, Split, select
from resunet_lc_jax.data.sources import Records
from resunet_lc_jax.data.windows import Windowing


def _names(selection: Selection, split: str) -> set[str]:
    return set(selection.split(split).table.record_id.tolist())


def _folds(split: Split) -> set[int]:
    return set(split.table.fold.tolist())


def _write(path: Path, names: list[str], header: str = "record") -> str:
    path.write_text("\n".join([header, *names]) + "\n")
    return str(path)


def test_folds_serve_as_the_field_has_it() -> None:
    selection = choose()
    for split, folds in (("train", range(1, 9)), ("validation", (9,)), ("test", (10,))):
        chosen = selection.split(split)
        assert _folds(chosen) == set(folds)
        assert len(chosen) == 20 * len(folds)
    assert len(selection.split("all")) == COUNT
    assert _names(selection, "fold_10") == _names(selection, "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_folds": ()}, "no record is left for test"),
        ({"leave_out": ("e",)}, "leave_out names e; the records are of a, b, c, d"),
        ({"only_databases": ("a,ptb",)}, "only_databases names ptb;"),
        ({"only_databases": ("a",), "except_databases": ("a",)}, "leave no record"),
        ({"leave_out": ("a",), "except_databases": ("a",)}, "no record is left for test"),
    ],
)
def test_a_selection_that_leaves_nothing_or_names_what_is_not_there_is_refused(
    changes: dict, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        choose(**changes)


def test_an_unknown_split_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'fold_11'; choose one of train, validation, test, all,"):
        choose().split("fold_11")


def test_databases_are_chosen_by_name() -> None:
    only = choose(only_databases=("a,c",))
    assert set(only.split("all").table.database) == {"a", "c"}
    assert len(only.split("train")) == 80
    without = choose(except_databases=("a", "c"))
    assert _names(without, "test") == _names(choose(), "test") - _names(only, "test")


def test_a_left_out_database_tests_and_all_others_train() -> None:
    selection = choose(leave_out=("c",))
    assert set(selection.split("test").table.database) == {"c"}
    assert len(selection.split("test")) == COUNT / 4
    assert _folds(selection.split("validation")) == {9}
    assert _names(selection, "train") == (
        _names(selection, "all") - _names(selection, "test") - _names(choose(), "validation")
    )
    assert selection.notes == ()


def test_databases_that_always_train_neither_validate_nor_test() -> None:
    table = make_table()
    table.patient_id[2] = table.patient_id[np.flatnonzero(table.fold == 10)[0]]  # of c
    selection, plain = choose(table, always_train=("c",)), choose(table)
    of_c = set(table.record_id[table.database == "c"])
    assert _names(selection, "test") == _names(plain, "test") - of_c
    assert _names(selection, "validation") == _names(plain, "validation") - of_c
    # All but the relative of a record that is tested on.
    assert _names(selection, "train") == (_names(plain, "train") | of_c) - {"R002"}


def test_a_copy_of_a_left_out_record_in_another_database_does_not_train() -> None:
    table = make_table()
    table.signal_hash[0] = table.signal_hash[2]  # of c
    table.patient_id[1] = table.patient_id[0]  # and another record of that patient
    selection = choose(table, leave_out=("c",))
    assert {"R000", "R001"} & _names(selection, "train") == set()
    assert "R003" in _names(selection, "train") and "R002" in _names(selection, "test")
    assert selection.notes[0].startswith("2 records of other databases share")


def test_lists_name_the_records_of_each_split(tmp_path: Path) -> None:
    train = _write(tmp_path / "train.csv", ["R001", "g1/R002.mat", "/data/R003.hea"])
    validation = _write(tmp_path / "v.csv", ["3,R190"], "number,record")
    test = _write(tmp_path / "test.csv", ["R000,500,1", "R199,257,0"], "record, fs, target")
    selection = choose(train_list=train, validation_list=validation, test_list=test)
    assert _names(selection, "train") == {"R001", "R002", "R003"}
    assert _names(selection, "validation") == {"R190"}
    assert _names(selection, "test") == {"R000", "R199"}
    assert _folds(selection.split("test")) == {1, 10}
    assert selection.notes == ()


def test_a_list_may_name_records_by_their_paths_where_those_are_their_ids(tmp_path: Path) -> None:
    names = ["a/1", "b/1", "a/2.5", "b/2.5", *make_table().record_id[4:]]
    table = make_table(record_id=np.array(names))
    train = _write(tmp_path / "train.csv", ["a/1.hea", "a/2.5", "other/R007"])
    test = _write(tmp_path / "test.csv", ["b/1", "b/2.5.mat"])
    validation = _write(tmp_path / "v.csv", ["R190"])
    lists = {"train_list": train, "test_list": test, "validation_list": validation}
    selection = select(table, rules_of(**lists))
    assert _names(selection, "train") == {"a/1", "a/2.5", "R007"}
    assert _names(selection, "test") == {"b/1", "b/2.5"}


def test_without_a_validation_list_a_tenth_of_the_training_list_validates(tmp_path: Path) -> None:
    train = _write(tmp_path / "train.csv", [f"R{number:03d}" for number in range(10, COUNT)])
    test = _write(tmp_path / "test.csv", [f"R{number:03d}" for number in range(10)])
    selection = choose(train_list=train, test_list=test)
    assert _names(selection, "validation") == {f"R{number}" for number in range(160, 180)}
    assert len(selection.split("train")) == 170
    assert "20 records validate (those of fold 9)" in selection.notes[0]


def test_a_record_in_two_lists_is_refused_and_named(tmp_path: Path) -> None:
    train = _write(tmp_path / "train.csv", ["R001", "R002", "R170"])
    test = _write(tmp_path / "test.csv", ["R002.hea"])
    with pytest.raises(ValueError, match=r"R002 is in .*train\.csv and in .*test\.csv"):
        choose(train_list=train, test_list=test)


def test_listed_records_that_are_not_there_are_counted(tmp_path: Path) -> None:
    train = _write(tmp_path / "train.csv", ["R001", "R170", "X1", "X2"])
    test = _write(tmp_path / "test.csv", ["R002"])
    notes = choose(train_list=train, test_list=test).notes
    assert "2 of 4 records are not in the data set (X1, X2)" in notes[0]
    none = _write(tmp_path / "none.csv", ["X3", "X4"])
    with pytest.raises(ValueError, match="2 of 2 records are not in the data set"):
        choose(train_list=train, test_list=none)


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    train = _write(tmp_path / "train.csv", ["R001", "R170"])
    with pytest.raises(FileNotFoundError, match="config.data.test_list is .*no such file"):
        choose(train_list=train, test_list=str(tmp_path / "nowhere.csv"))
    for header, names in (("name", ["R002"]), ("record", [])):
        other = _write(tmp_path / "other.csv", names, header)
        with pytest.raises(ValueError, match="no column 'record'|no records are listed"):
            choose(train_list=train, test_list=other)


def test_a_patient_or_signal_on_both_sides_of_lists_is_said(tmp_path: Path) -> None:
    table = make_table()
    table.patient_id[3] = table.patient_id[1]
    table.signal_hash[4] = table.signal_hash[170]
    train = _write(tmp_path / "train.csv", ["R001", "R170"])
    test = _write(tmp_path / "test.csv", ["R002", "R003", "R004"])
    notes = choose(table, train_list=train, test_list=test).notes
    leaks = [note for note in notes if note.startswith("leak")]
    assert len(leaks) == 2
    assert "1 test records share a patient or a signal with train records (R003)" in leaks[0]
    assert "with validation records (R004)" in leaks[1]


def test_the_streams_hold_the_selected_records_and_no_others(records: Records) -> None:
    rules = rules_of(leave_out=("simulated_b",))
    chosen = records.selected(rules)
    test, train = chosen.selection.split("test"), chosen.selection.split("train")
    assert set(test.table.database) == {"simulated_b"}
    stored = [name for name, _ in stream.stored_signals(chosen, test)]
    assert stored == test.table.record_id.tolist()
    windowing = Windowing(
        length=64,
        leads=("I",),
        pad="right",
        statistics="record",
        rule="all",
        batch_size=16,
        seed=0,
    )

    def batches(start_step: int):
        return stream.training_batches(chosen, train, windowing, start_step=start_step)

    read, steps = batches(0), len(train) // 16
    names = np.concatenate([next(read)["record_id"] for _ in range(steps)]).astype(str)
    assert len(set(names)) == len(names) and set(names) <= set(train.table.record_id)
    again, later = next(batches(steps)), next(read)
    assert all(np.array_equal(again[name], later[name]) for name in again)
