"""What an array does not say itself: leads, rate, unit; a sidecar or the command tells them."""

import functools
import json
import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from tfds_physionet.errors import RecordError, read_file

UNITS = ("mv", "uv", "\u00b5v", "\u03bcv", "v", "nv")
_LARGEST = 1 << 24
_FIELD = "sidecar"
# The sidecar's names for the fields of `Facts`; the first is the one that the pages show.
_KEYS = {
    "leads": ("leads", "lead_names", "sig_name"),
    "rate": ("rate", "sampling_rate", "fs"),
    "unit": ("unit", "units"),
    "gain": ("gain",),
    "baseline": ("baseline",),
    "variable": ("variable",),
    "ids": ("ids",),
    "codes": ("codes", "dx"),
    "age": ("age",),
    "sex": ("sex",),
    "patient": ("patient", "patient_id"),
}


@dataclass(frozen=True)
class Facts:
    """What is known of the ECGs of an array; what is empty is not known.

    Attributes:
        leads: Names, in the order of the array's axis.
        rate: In Hz; 0 where unknown.
        unit: mV, uV, V or nV.
        gain: Numbers in the array per unit.
        baseline: The number that stands for 0.
        variable: Name of the array in a file of several.
        ids: Names of the ECGs.
        codes: Of each ECG, its diagnoses.
        age: Of each ECG, in years.
        sex: Of each ECG.
        patient: Of each ECG.
    """

    leads: tuple[str, ...] = ()
    rate: float = 0.0
    unit: str = ""
    gain: float = 0.0
    baseline: float = 0.0
    variable: str = ""
    ids: tuple[str, ...] = ()
    codes: tuple[tuple[str, ...], ...] = ()
    age: tuple[float, ...] = ()
    sex: tuple[str, ...] = ()
    patient: tuple[str, ...] = ()


NO_FACTS = Facts()


def sidecar_of(path: Path) -> Path:
    """Returns where the sidecar of a file would lie."""
    return path.with_suffix(".json")


def sidecar_state(path: Path) -> tuple[int, int] | tuple[()]:
    """Returns (size, time of change) of a file's sidecar; nothing where there is none."""
    try:
        status = sidecar_of(path).stat()
    except OSError:
        return ()
    return status.st_size, status.st_mtime_ns


def facts_of(path: Path, given: Facts) -> Facts:
    """Returns what is told of a file: by its sidecar, else by the command (`given`).

    Raises:
        RecordError: The sidecar is damaged or a value has the wrong form.
    """
    state = sidecar_state(path)
    if not state:
        return given
    own = _read(sidecar_of(path), state)
    return replace(given, **{name: value for name, value in vars(own).items() if value})


@functools.lru_cache(maxsize=16)
def _read(path: Path, state: tuple[int, int]) -> Facts:
    try:
        content = json.loads(read_file(path, _FIELD, _LARGEST))
    except (ValueError, RecursionError) as error:
        if isinstance(error, RecordError):
            raise
        raise RecordError(path, _FIELD, f"it is damaged: {error}") from error
    if not isinstance(content, dict):
        raise RecordError(path, _FIELD, "it is no object of values by name")
    values: dict[str, Any] = {}
    for field in fields(Facts):
        key = next((key for key in _KEYS[field.name] if key in content), None)
        if key is None or content[key] is None:
            continue
        try:
            values[field.name] = _value(field.name, content[key])
        except (TypeError, ValueError, OverflowError) as error:
            shown = json.dumps(content[key])[:80]
            raise RecordError(path, key, f"{shown} is not what is wanted ({error})") from error
    return Facts(**values)


def _value(name: str, value: Any) -> Any:
    """Returns a sidecar's value in the form of `Facts`."""
    if name in ("rate", "gain", "baseline"):
        return _number(value)
    if name in ("unit", "variable"):
        return _text(value)
    each = [value] if isinstance(value, str | int | float) else list(value)
    if name == "codes":
        # ["426783006", "164889003"] is one ECG's, [["426783006"], []] are two's.
        nested = [codes for codes in each if isinstance(codes, list)]
        lists = nested if nested and len(nested) == len(each) else [each]
        return tuple(tuple(map(_text, codes)) for codes in lists)
    if name == "age":
        return tuple(math.nan if age is None else _number(age) for age in each)
    return tuple("" if text is None else _text(text) for text in each)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not math.isfinite(float(value)):
        raise ValueError("a number is wanted")
    return float(value)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError("text is wanted")
    return str(value)


def check_facts(facts: Facts) -> None:
    """Raises ValueError where what a command tells can't be."""
    if facts.unit and facts.unit.lower() not in UNITS:
        raise ValueError(f"--array_unit={facts.unit} is none of mV, uV, V, nV")
    if not 0 <= facts.rate < math.inf:
        raise ValueError(f"--array_rate={facts.rate:g} is no sampling rate in Hz")
