"""Whose record each is: by PTB-XL's table, by the header, or as neighbours let one guess."""

import csv
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tfds_physionet.databases import folders_below

# Sources with several records of a patient, who is not told but for age and sex; a patient's
# records are numbered in turn.
IN_TURN = ("ptb", "st_petersburg_incart")

# As PTB and MIMIC-IV-ECG name the folders of patients.
_FOLDER = re.compile(r"(?:patient|subject)[ _-]?\d+|p\d{8}", re.IGNORECASE)


@dataclass(frozen=True)
class Person:
    """What a record says of its patient.

    Attributes:
        record_id: The record's.
        name: The last part of its file's name, without the suffix.
        database: Its source.
        told: The patient as the header has it, or the folder; '' where neither says anything.
        age: In years; nan where unknown.
        sex: 'male', 'female' or 'unknown'.
    """

    record_id: str
    name: str
    database: str
    told: str = ""
    age: float = math.nan
    sex: str = "unknown"


def identify_patients(
    people: Sequence[Person], table: Mapping[str, tuple[str, int]]
) -> tuple[list[str], list[bool]]:
    """Returns (a patient a record, whether the patient is told).

    The table says more than the header. Where neither does, a record counts as its own patient;
    both rates of a PTB-XL record as one.

    Args:
        people: One a record.
        table: Of `read_ptbxl`.
    """
    patients, told = [], []
    for person in people:
        ecg = ptbxl_name(person.name)
        if ecg in table:
            patients.append(f"ptb-xl {table[ecg][0]}")
        elif person.told:
            patients.append(f"{person.database} {person.told}")
        else:
            patients.append(person.record_id if ecg in ("", person.name) else ecg)
        told.append(ecg in table or bool(person.told))
    return patients, told


def join_in_turn(
    people: Sequence[Person], patients: Sequence[str], told: Sequence[bool]
) -> list[str]:
    """Returns the patients; of PTB and INCART, consecutive records of equal age and sex have one.

    Args:
        people: One a record.
        patients: One a record.
        told: Whether the patient is; then it stays.
    """
    joined = list(patients)
    for database in IN_TURN:
        numbered = {
            int(match[1]): row
            for row, person in enumerate(people)
            if person.database == database and not told[row]
            if (match := re.fullmatch(r"[A-Z](\d+)", person.name))
        }
        for number in sorted(numbered):
            if (before := numbered.get(number - 1)) is not None:
                row = numbered[number]
                one, other = people[before], people[row]
                if one.age == other.age and one.sex == other.sex:  # an unknown age equals none
                    joined[row] = joined[before]
    return joined


def patient_folder(path: Path, root: Path) -> str:
    """Returns the patient that a folder below the root names (patient001, p10001725); else ''."""
    folders = folders_below(os.path.dirname(path), root)
    return next((name for name in reversed(folders) if _FOLDER.fullmatch(name)), "")


def ptbxl_name(name: str) -> str:
    """Returns the Challenge's name of a PTB-XL record, also of PTB-XL's own 00001_hr; else ''."""
    match = re.fullmatch(r"HR(\d{5})|(\d{5})_[hl]r", name)
    return f"HR{match[1] or match[2]}" if match else ""


def read_ptbxl(path: str | Path) -> dict[str, tuple[str, int]]:
    """Reads PTB-XL's ptbxl_database.csv.

    Args:
        path: The file; its columns ecg_id, patient_id and strat_fold are used.

    Returns:
        The Challenge's record name (HRnnnnn is ecg_id n) -> (patient_id, strat_fold).

    Raises:
        ValueError: It is no such table, a column is missing, or a value is not a whole number.
    """
    records = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"ecg_id", "patient_id", "strat_fold"} - set(reader.fieldnames or ())
            if missing:
                raise ValueError(f"{path}: no column {', '.join(sorted(missing))}; is it PTB-XL's?")
            for row in reader:
                numbers = {key: row[key] for key in ("ecg_id", "patient_id", "strat_fold")}
                try:
                    # PTB-XL writes patient numbers as 15709.0.
                    ecg, patient, fold = (int(float(value)) for value in numbers.values())
                except (TypeError, ValueError, OverflowError) as error:
                    raise ValueError(
                        f"{path}, line {reader.line_num}: {numbers} are not whole numbers"
                    ) from error
                records[f"HR{ecg:05d}"] = (str(patient), fold)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: no table of comma-separated text ({error})") from error
    return records
