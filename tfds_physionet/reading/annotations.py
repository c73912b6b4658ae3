"""Reads what a header's remarks say of the patient: diagnoses, age, sex, number.

The rules are tolerant; the Challenge's official rule for labels is `resunet_lc_jax.score`'s.
"""

import itertools
import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from tfds_physionet.diagnoses import is_code, is_known

# Without a colon only the Challenge's own key, as in '#Dx 426783006'.
_PAIR = re.compile(
    r"([a-z]+(?:[ _-][a-z]+)?)[ \t]*[:=](.*)|(dx)[ \t](.*)", re.IGNORECASE | re.ASCII
)
_NOTHING = ("", "nan", "none", "null", "n/a", "na", "unknown", "-")
_SEPARATORS = re.compile(r"[,;|、،]|[/+&:](?=[ \t]?\d)")
_QUOTES = "[](){}<>'\"`‘’“”.* \t"
_PATIENT = "patient,patient id,patientid,patient number,patient no,subject,subject id,subjectid"


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """What is known of a record beside its signal; see `headers.RecordHeader`."""

    codes: tuple[str, ...]
    unread_diagnoses: tuple[str, ...]
    age: float
    sex: str
    patient: str


def read_annotations(remarks: Iterable[str]) -> Annotations:
    """Reads a header's remarks, which come without their '#'; full-width signs count as narrow."""
    values: dict[str, list[str]] = {}
    for remark in remarks:
        text = remark if remark.isascii() else unicodedata.normalize("NFKC", remark)
        if match := _PAIR.fullmatch(text):
            key = (match[1] or match[3]).lower().replace("_", " ").replace("-", " ")
            values.setdefault(key, []).append(match[2] or match[4] or "")
    named = (values.get(key, []) for key in ("dx", "diagnosis", "diagnoses"))
    codes = _diagnoses([text for texts in named for text in texts])
    return Annotations(
        codes=codes,
        unread_diagnoses=tuple(code for code in codes if not is_known(code)),
        age=_age(values.get("age", [])),
        sex=_sex(values.get("sex", []) + values.get("gender", [])),
        patient=_patient([text for key in _PATIENT.split(",") for text in values.get(key, [])]),
    )


def _diagnoses(texts: list[str]) -> tuple[str, ...]:
    """Returns the diagnoses, each once.

    They are parted by commas, semicolons and bars, codes by blanks and other signs too; brackets
    and quotes are taken off, and the '.0' of a code that went through a float.
    """
    found: dict[str, None] = {}
    for part in (part for text in texts for part in _SEPARATORS.split(text)):
        found |= dict.fromkeys(_parted(part))
    return tuple(code for code in found if code.lower() not in _NOTHING)


def _parted(text: str) -> Iterable[str]:
    """Yields each code of a text, and the words between codes: together where that is a name."""
    words = filter(None, map(_plain, text.split()))
    for codes, run in itertools.groupby(words, is_code):
        names = list(run)
        # 'AF NSR' are two; 'prolonged PR interval' does not name PR, pacing rhythm.
        together = not codes and (is_known(" ".join(names)) or not all(map(is_known, names)))
        yield from [" ".join(names)] if together else names


def _plain(word: str) -> str:
    word = word.strip(_QUOTES)
    whole, _, zeros = word.partition(".")
    return whole if whole.isdigit() and not zeros.strip("0") else word


_AGE = re.compile(r"[<>≥≤~=+ ]{0,3}(\d{1,3}(?:[.,]\d{1,6})?)\+? ?([a-z ]{0,12})\.?", re.IGNORECASE)
_DICOM_AGE = re.compile(r"(\d{3})([DWMY])")
# '61 m' is left out: months, or a man?
_PARTS = dict.fromkeys(("", "y", "yr", "yrs", "yo", "year", "years", "years old"), 1.0)
_PARTS |= dict.fromkeys(("mo", "month", "months"), 12.0)
_PARTS |= dict.fromkeys(("w", "week", "weeks"), 52.18) | dict.fromkeys(("d", "day", "days"), 365.25)
# Nobody is known to have grown older; PTB-XL writes 300 for 'over 89', others -1 for 'unknown'.
_OLDEST = 125.0


def _age(texts: list[str]) -> float:
    """Returns the age in years ('61', '>89', '089Y'); nan where unknown or not a person's."""
    for text in texts:
        text = text.strip(_QUOTES.replace("<>", ""))
        if match := _DICOM_AGE.fullmatch(text):
            parts = {"Y": 1.0, "M": 12.0}.get(match[2]) or _PARTS[match[2].lower()]
        elif match := _AGE.fullmatch(text):
            parts = _PARTS.get(match[2].strip().lower(), 0.0)
        if match and parts:
            years = float(match[1].replace(",", ".")) / parts
            return years if years <= _OLDEST else math.nan
    return math.nan


_SEXES = {"m": "male", "male": "male", "man": "male"}
_SEXES |= {"f": "female", "female": "female", "woman": "female", "w": "female"}


def _sex(texts: list[str]) -> str:
    words = (_plain(text).lower() for text in texts)
    return next((_SEXES[word] for word in words if word in _SEXES), "unknown")


def _patient(texts: list[str]) -> str:
    names = map(_plain, texts)
    return next((name[:100] for name in names if name.lower() not in _NOTHING), "")
