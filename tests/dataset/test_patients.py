"""A patient's records stay together where the patient is told, and where it can be guessed."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest
from challenge_files import write_challenge, write_record

from tfds_physionet.building.build_plan import Plan, make_plan
from tfds_physionet.building.source_files import examine
from tfds_physionet.building.survey import survey
from tfds_physionet.splits.patients import Person, identify_patients, join_in_turn, read_ptbxl

_FOLDS_BEFORE = "7c2b5bbd362a9c7b0ced078fbe6e18b2aa394dda80c6d3f6b8fee15613eb270e"


def _signal(seed: int, rate: int = 500) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 100, (12, rate)).astype(np.int16)


def _where(plan: Plan) -> dict[str, tuple[int, str]]:
    """Fold and patient of each record."""
    return {
        record.record_id: (fold, record.patient_id)
        for fold, part in enumerate(plan.folds, 1)
        for record in part
    }


def _person(name: str, database: str = "ptb", **known) -> Person:
    return Person(record_id=name, name=name, database=database, **known)


def test_the_table_gives_patient_and_fold_by_the_challenges_record_name(tmp_path: Path) -> None:
    path = tmp_path / "ptbxl_database.csv"
    path.write_text("ecg_id,patient_id,age,strat_fold\n1,15709.0,56.0,3\n21837,8,,10\n")
    assert read_ptbxl(path) == {"HR00001": ("15709", 3), "HR21837": ("8", 10)}
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_ptbxl(path)["HR00001"] == ("15709", 3)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"ecg_id,age\n1,56\n", "no column patient_id, strat_fold"),
        (b"ecg_id,patient_id,strat_fold\n1,x,3\n", "ptbxl_database.csv, line 2: .*'x'"),
        (b"ecg_id,patient_id,strat_fold\n1,inf,3\n", "ptbxl_database.csv, line 2: .*'inf'"),
        (b"ecg_id,patient_id,strat_fold\n1,2\n", "ptbxl_database.csv, line 2: .*None"),
        (b"\xff\xfe\x00\x01", "ptbxl_database.csv: no table of comma-separated text"),
        (b"", "no column ecg_id"),
    ],
)
def test_a_table_that_is_wrong_is_one_sentence(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "ptbxl_database.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_ptbxl(path)
    assert "\n" not in str(caught.value)


def _ptbxl(folder: Path) -> tuple[Path, Path]:
    """PTB-XL's own files: 30 ECGs of 10 patients, at both rates; and its table."""
    rows = ["ecg_id,patient_id,strat_fold"]
    for ecg in range(1, 31):
        for kind, name, rate in (("500", "hr", 500), ("100", "lr", 100)):
            where = folder / "ptb-xl" / f"records{kind}" / "00000"
            write_record(where, f"{ecg:05d}_{name}", _signal(ecg, rate), rate=rate)
        rows.append(f"{ecg},{1000 + (ecg - 1) // 3}.0,{(ecg - 1) // 3 + 1}")
    (folder / "ptbxl_database.csv").write_text("\n".join(rows) + "\n")
    return folder / "ptb-xl", folder / "ptbxl_database.csv"


def test_both_rates_of_a_ptbxl_record_and_all_of_its_patient_are_in_one_fold(
    tmp_path: Path,
) -> None:
    records, table = _ptbxl(tmp_path)
    surveyed = survey(records)
    plan = make_plan(surveyed, patients=table)
    where = _where(plan)
    assert len(where) == 60 and len({patient for _, patient in where.values()}) == 10
    folds = {patient: set() for _, patient in where.values()}
    for fold, patient in where.values():
        folds[patient].add(fold)
    assert all(len(found) == 1 for found in folds.values())
    published = _where(make_plan(surveyed, patients=table, published_folds=True))
    assert all(fold == (int(name[:5]) - 1) // 3 + 1 for name, (fold, _) in published.items())
    alone = _where(make_plan(surveyed))
    assert all(alone[name] == alone[f"{name[:5]}_hr"] for name in alone)


def test_a_table_of_other_records_is_refused(tmp_path: Path) -> None:
    records = write_challenge(tmp_path / "records", 12)
    _, table = _ptbxl(tmp_path / "ptbxl")
    with pytest.raises(ValueError, match="ptbxl_database.csv: none of its 30 ECGs is among"):
        make_plan(survey(records), patients=table)


def test_records_whose_headers_name_one_patient_are_in_one_fold(tmp_path: Path) -> None:
    records = write_challenge(tmp_path, 30)
    for number, patient in enumerate([7, 7, 7, 8]):
        header = write_record(records / "code15", str(number), _signal(number))
        header.write_text(header.read_text() + f"# Patient ID: {patient}\n")
    plan = make_plan(survey(records))
    where = _where(plan)
    assert where["0"] == where["1"] == where["2"] and where["0"][1] != where["3"][1]
    assert plan.report["patients_unknown"] == {"georgia": 24, "ptb": 6}


def test_the_segments_of_a_record_stay_with_it(tmp_path: Path) -> None:
    records = write_challenge(tmp_path, 30)
    for number in range(8):
        parts = [f"s{number}_000{part}" for part in (1, 2)]
        for part, name in enumerate(parts):
            write_record(records / "mine", name, _signal(10 * number + part))
        lines = [f"s{number}/2 12 500 1000", *(f"{name} 500" for name in parts)]
        (records / "mine" / f"s{number}.hea").write_text("\n".join(lines) + "\n")
    where = _where(make_plan(survey(records)))
    assert len(where) == 54
    for number in range(8):
        assert where[f"s{number}"] == where[f"s{number}_0001"] == where[f"s{number}_0002"]


def test_folders_that_are_named_after_patients_tell_them(tmp_path: Path) -> None:
    for number in range(12):
        write_record(tmp_path / f"patient{number:03d}", f"s{number:04d}_re", _signal(number))
        write_record(
            tmp_path / f"patient{number:03d}",
            f"s{number + 50:04d}_re",
            _signal(-number - 1 + 2**20),
        )
    plan = make_plan(survey(tmp_path))
    where = _where(plan)
    assert all(where[f"s{n:04d}_re"] == where[f"s{n + 50:04d}_re"] for n in range(12))
    assert {record.database for fold in plan.folds for record in fold} == {"unknown"}


def test_consecutive_ptb_records_of_equal_age_and_sex_count_as_one_patients() -> None:
    people = [
        _person("S0001", age=81, sex="female"),
        _person("S0002", age=81, sex="female"),
        _person("S0003", age=81, sex="male"),
        _person("S0005", age=81, sex="male"),  # not the next number
        _person("S0006", age=81, sex="male", told="x"),
        _person("S0007", age=math.nan, sex="male"),
        _person("S0008", age=math.nan, sex="male"),
        _person("E00001", database="georgia", age=50, sex="male"),
        _person("E00002", database="georgia", age=50, sex="male"),
        _person("I0003", database="st_petersburg_incart", age=50, sex="male"),
        _person("I0004", database="st_petersburg_incart", age=50, sex="male"),
    ]
    patients, told = identify_patients(people, {})
    assert patients[4] == "ptb x" and told == [False] * 4 + [True] + [False] * 6
    joined = join_in_turn(people, patients, told)
    names = [person.name for person in people]
    assert joined == ["S0001", "S0001", *names[2:4], "ptb x", *names[5:9], "I0003", "I0003"]


def test_what_is_guessed_of_ptb_moves_no_other_record(physionet2021: Path) -> None:
    if examine(physionet2021).fingerprint != "61beca614a5e7d37":
        pytest.skip("other records than those whose folds are known here")
    where = _where(make_plan(survey(physionet2021)))
    assert where["S0006"] == where["S0007"]  # a man of 69 in both
    others = sorted(name for name in where if name not in ("S0006", "S0007"))
    # As the version before had them, which took each record for a patient's own.
    folds = "".join(f"{name},{where[name][0]}\n" for name in others)
    assert hashlib.sha256(folds.encode()).hexdigest() == _FOLDS_BEFORE
