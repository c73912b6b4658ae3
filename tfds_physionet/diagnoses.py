"""The 26 diagnoses that Challenge 2021 scores: codes, names, rewards, and who annotates them.

The one table of the classes. Labels are vectors of 26 in the order of `DIAGNOSES`, which is the
order of the columns of the Challenge's own weights.csv.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Diagnosis:
    """A scored class.

    Attributes:
        codes: SNOMED CT codes; two where the Challenge scores two diagnoses as one class.
        abbreviation: The class's short name, e.g. 'AF'.
        name: The diagnosis in words.
    """

    codes: tuple[str, ...]
    abbreviation: str
    name: str


# The order of the marks in the last column of _TABLE. A source that never gives a label says
# nothing about it: its absence there is no negative.
DATABASES = (
    "cpsc_2018",
    "cpsc_2018_extra",
    "st_petersburg_incart",
    "ptb",
    "ptb-xl",
    "georgia",
    "chapman_shaoxing",
    "ningbo",
)

# Abbreviation, codes, name, place on the line of treatments (see REWARDS), databases that use the
# class at all (from the Challenge's counts per database). Merged classes go by the plain name:
# complete LBBB as LBBB, complete RBBB as RBBB, SVPB as PAC, VPB as PVC.
_TABLE = (
    ("AF", "164889003", "atrial fibrillation", 0.0, "xxxxxxx."),
    ("AFL", "164890007", "atrial flutter", 0.0, ".x.xxxxx"),
    ("BBB", "6374002", "bundle branch block", 0.025, "..xx.x.x"),
    ("Brady", "426627000", "bradycardia", 0.2, ".xx..x.x"),
    ("LBBB", "733534002|164909002", "left bundle branch block", 0.025, "xx..xxxx"),
    ("RBBB", "713427006|59118001", "right bundle branch block", 0.1, "xxx.xxxx"),
    ("IAVB", "270492004", "1st degree AV block", 0.2, "xx..xxxx"),
    ("IRBBB", "713426002", "incomplete right bundle branch block", 0.2, ".x..xx.x"),
    ("LAD", "39732003", "left axis deviation", 0.15, "....xxxx"),
    ("LAnFB", "445118002", "left anterior fascicular block", 0.15, "....xx.x"),
    ("LPR", "164947007", "prolonged PR interval", 0.2, "....x.xx"),
    ("LQRSV", "251146004", "low QRS voltages", 0.075, "....xxxx"),
    ("LQT", "111975006", "prolonged QT interval", 0.05, ".x..xxxx"),
    ("NSIVCB", "698252002", "nonspecific intraventricular conduction disorder", 0.15, ".xx.xxxx"),
    ("NSR", "426783006", "sinus rhythm", 0.25, "xx.xxxxx"),
    ("PAC", "284470004|63593006", "premature atrial contraction", 0.1625, "xxx.xxxx"),
    ("PR", "10370003", "pacing rhythm", 0.125, ".x..x..x"),
    ("PRWP", "365413008", "poor R wave progression", 0.075, ".......x"),
    ("PVC", "427172004|17338001", "premature ventricular contractions", 0.125, ".x...xxx"),
    ("QAb", "164917005", "Q wave abnormal", -0.1, ".x..xxxx"),
    ("RAD", "47665007", "right axis deviation", 0.15, ".x..xxxx"),
    ("SA", "427393009", "sinus arrhythmia", 0.2, ".xx.xx.x"),
    ("SB", "426177001", "sinus bradycardia", 0.2, ".x..xxxx"),
    ("STach", "427084000", "sinus tachycardia", 0.125, ".xxxxxxx"),
    ("TAb", "164934002", "T wave abnormal", 0.0, ".x..xxxx"),
    ("TInv", "59931005", "T wave inversion", 0.0, ".xx.xxxx"),
)

DIAGNOSES: tuple[Diagnosis, ...] = tuple(
    Diagnosis(tuple(codes.split("|")), abbreviation, name)
    for abbreviation, codes, name, *_ in _TABLE
)
CLASS_NAMES: tuple[str, ...] = tuple(diagnosis.abbreviation for diagnosis in DIAGNOSES)
NUM_CLASSES = len(DIAGNOSES)
SINUS_RHYTHM = CLASS_NAMES.index("NSR")

# bool [class, database]: whether the database gives the class to any record.
ANNOTATED = np.array([[mark == "x" for mark in marks] for *_, marks in _TABLE])

# Words that stand for codes in early releases of the sources, beside the abbreviations themselves.
_WORDS = {"normal": "NSR", "i-avb": "IAVB", "clbbb": "LBBB", "crbbb": "RBBB"}
_WORDS |= {"svpb": "PAC", "vpb": "PVC"} | {name.lower(): name for name in CLASS_NAMES}
_WORDS |= {diagnosis.name.lower(): diagnosis.abbreviation for diagnosis in DIAGNOSES}
# ST depression and elevation, of CPSC 2018: known, and not scored.
_UNSCORED_WORDS = ("std", "ste")
_INDEX = {code: k for k, diagnosis in enumerate(DIAGNOSES) for code in diagnosis.codes}
_INDEX |= {word: CLASS_NAMES.index(name) for word, name in _WORDS.items()}


def _rewards() -> np.ndarray:
    """Expands the line of treatments into the reward matrix.

    The Challenge's matrix has this form: each class has a place on a line of how it is treated,
    and taking one class for another is worth half a point less their distance. Two pairs that
    share a place are held 0.025 apart.
    """
    place = np.array([row[3] for row in _TABLE])
    distance = np.abs(place[:, None] - place)
    for one, other in (("BBB", "LBBB"), ("LQRSV", "PRWP")):
        j, k = CLASS_NAMES.index(one), CLASS_NAMES.index(other)
        distance[j, k] = distance[k, j] = 0.025
    rewards = np.round(0.5 - distance, 4)
    np.fill_diagonal(rewards, 1.0)
    rewards.setflags(write=False)
    return rewards


# float64 [class, class]: what the Challenge metric gives for deciding the column's class where the
# row's class is true (Reyna et al. 2021).
REWARDS: np.ndarray = _rewards()


def class_index(code: str) -> int | None:
    """Returns the class of a diagnosis, or None where the Challenge does not score it.

    Args:
        code: A SNOMED CT code, a word of the early releases ('RBBB', 'Normal') or a class's name;
            in any case.
    """
    return _INDEX.get(code.strip().lower())


def is_code(word: str) -> bool:
    """Returns whether a word has the form of a SNOMED CT code: 6 to 18 digits."""
    return word.isascii() and word.isdigit() and 6 <= len(word) <= 18


def is_known(word: str) -> bool:
    """Returns whether a diagnosis is a SNOMED CT code, scored or not, or a word that is known."""
    return is_code(word) or class_index(word) is not None or word.lower() in _UNSCORED_WORDS


def encode(codes: Iterable[str]) -> np.ndarray:
    """Returns the labels uint8 [26] of a record's diagnoses; those not scored are left out."""
    labels = np.zeros(NUM_CLASSES, np.uint8)
    labels[[k for k in map(class_index, codes) if k is not None]] = 1
    return labels


def decode(labels: ArrayLike) -> tuple[str, ...]:
    """Returns the abbreviations of the classes that are set in labels [26].

    Raises:
        ValueError: The labels are not a vector of 26.
    """
    vector = np.asarray(labels)
    if vector.shape != (NUM_CLASSES,):
        raise ValueError(f"labels have shape {vector.shape}; expected ({NUM_CLASSES},)")
    return tuple(CLASS_NAMES[k] for k in np.flatnonzero(vector))
