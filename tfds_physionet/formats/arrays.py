"""Finds the ECGs in an array: which axis is the leads', which the time's, how many there are."""

import itertools
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from tfds_physionet.errors import RecordError, printable
from tfds_physionet.formats.array_files import OpenArray, open_array
from tfds_physionet.formats.facts import UNITS, Facts
from tfds_physionet.formats.recording import Recording, StoredChannel
from tfds_physionet.leads import STANDARD_LEADS

_EIGHT = ("I", "II", *STANDARD_LEADS[6:])
_CODE15 = Facts(leads=STANDARD_LEADS, rate=400.0, unit="mV")
"""CODE-15's files say nothing of themselves; Ribeiro et al., doi 10.5281/zenodo.4916206."""
_MOST_LEADS = 1024
_FIELD = "array"
_Of = TypeVar("_Of")


@dataclass(frozen=True)
class Layout:
    """How an array is to be read.

    Attributes:
        count: ECGs; None where the array is one.
        leads_first: Whether an ECG is [lead, time], not [time, lead].
        leads: Names.
        assumed: Whether the names were guessed from the number.
    """

    count: int | None
    leads_first: bool
    leads: tuple[str, ...]
    assumed: bool = False

    @property
    def assumption(self) -> str:
        """A remark on what was guessed."""
        return f"nothing tells the leads; {', '.join(self.leads)} are taken, in this order"


def layout_of(path: Path, shape: tuple[int, ...], leads: tuple[str, ...]) -> Layout:
    """Returns how an array [time], [lead, time], [time, lead] or with ECGs before both is read.

    Without names twelve leads are the standard ones in their order, eight are I, II and V1 to V6.

    Raises:
        RecordError: No axis is as long as there are leads, or nothing tells which axis it is.
    """
    if not 1 <= len(shape) <= 3 or 0 in shape:
        raise RecordError(
            path, _FIELD, f"its shape {shape} is not [ECG, lead, time] or a part of it"
        )
    if len(leads) == 1 and 1 not in shape[-2:]:
        if len(shape) == 3:
            raise RecordError(path, _FIELD, f"no axis of {shape} has 1 lead")
        return Layout(None if len(shape) == 1 else shape[0], True, leads)
    last = shape[-2:] if len(shape) > 1 else (1, shape[0])
    count = shape[0] if len(shape) == 3 else None
    for names in [leads] if leads else [STANDARD_LEADS, _EIGHT]:
        if len(names) in last:
            # Where both axes would do, time comes last.
            return Layout(count, last[0] == len(names), names, assumed=not leads)
    told = f"{len(leads)} leads are told" if leads else "nothing tells the leads"
    raise RecordError(path, _FIELD, f"its shape is {shape} and {told}; {_remedy(path, 'leads')}")


def _remedy(path: Path, what: str) -> str:
    sidecar = printable(path.with_suffix(".json").name)
    return f'give --array_{what}, or "{what}" in {sidecar} beside it'


def open_ecgs(path: Path, kind: str, facts: Facts) -> tuple[OpenArray, Layout, Facts]:
    """Opens a file of arrays.

    Returns:
        The array, how it is read, and what is told of it (of CODE-15 by its form).

    Raises:
        RecordError: It can't be read.
    """
    array = open_array(path, kind, facts.variable)
    if array.name == "tracings" and array.ids:
        facts = replace(_CODE15, **{name: value for name, value in vars(facts).items() if value})
    layout = layout_of(path, array.shape, facts.leads)
    return array, layout, facts


def names_of(array: OpenArray, layout: Layout, facts: Facts) -> list[str] | None:
    """Returns what the ECGs of an array are called, each once; None where it is one ECG."""
    if layout.count is None or (layout.count == 1 and not array.ids):
        return None
    given = facts.ids or array.ids
    width = len(str(layout.count - 1))
    numbers = [f"{number:0{width}d}" for number in range(layout.count)]
    if len(given) != layout.count or len(set(given)) != layout.count or not all(given):
        return numbers
    return [
        name.replace("/", "_").lstrip(".") or f"_{n}"
        for name, n in zip(given, numbers, strict=True)
    ]


def read_ecg(path: Path, kind: str, facts: Facts, part: int | None) -> Recording:
    """Reads an ECG of an array.

    Args:
        path: The file.
        kind: npy, npz, mat or hdf5.
        facts: What is told of it.
        part: Which of several.

    Raises:
        RecordError: It can't be read, or its rate is not known.
    """
    array, layout, facts = open_ecgs(path, kind, facts)
    if part is not None and (layout.count is None or part >= layout.count):
        raise RecordError(path, _FIELD, "it changed while it was read")
    if layout.count is not None and part is None:
        reason = f"it holds {layout.count} ECGs; the folder or the file is to be read"
        if layout.count > 1:
            raise RecordError(path, _FIELD, reason)
        part = 0
    try:
        values = np.asarray(array.read(part))
    except RecordError:
        raise
    except Exception as error:  # h5py and zipfile raise what they like of a damaged file
        raise RecordError(path, _FIELD, f"it is damaged: {error}") from error
    values = values.reshape(1, -1) if values.ndim == 1 else values
    values = values if layout.leads_first else values.T
    remarks = []
    if layout.assumed:
        remarks.append(layout.assumption)
    if array.name == "tracings" and array.ids:
        values = _without_padding(values)
    return to_recording(path, values, layout.leads, facts, part or 0, remarks)


def _without_padding(values: np.ndarray) -> np.ndarray:
    """Cuts off the zeros before and after an ECG [lead, time]; all of it where there is no else."""
    times = np.flatnonzero(values.any(axis=0))
    return values[:, times[0] : times[-1] + 1] if len(times) else values


def to_recording(
    path: Path,
    values: np.ndarray,
    leads: tuple[str, ...],
    facts: Facts,
    part: int,
    remarks: list[str],
    units: tuple[str, ...] = (),
) -> Recording:
    """Returns the recording of values [lead, time] with what is told of it.

    Args:
        path: The file.
        values: Of any type of numbers.
        leads: Their names.
        facts: What is told.
        part: Which ECG of the file it is.
        remarks: So far.
        units: One a lead, which the file itself names; '' or none where it does not.

    Raises:
        RecordError: The rate is not known, or the unit is none of voltage.
    """
    if not facts.rate:
        raise RecordError(path, "sampling rate", f"nothing tells it; {_remedy(path, 'rate')}")
    if facts.unit and facts.unit.lower() not in UNITS:
        raise RecordError(path, "unit", f"{facts.unit!r} is none of mV, uV, V, nV")
    if len(leads) > _MOST_LEADS:
        raise RecordError(path, "leads", f"{len(leads)} are too many")
    own = units or ("",) * len(leads)
    if not facts.unit and not all(own):
        remarks = [*remarks, "nothing tells the unit; mV is taken"]
    values = values if values.dtype.kind == "f" or values.dtype == np.int16 else _wide(values)
    channels = tuple(
        StoredChannel(
            name,
            np.ascontiguousarray(values[lead]),
            facts.rate,
            facts.gain or 1.0,
            facts.baseline,
            facts.unit or own[lead] or "mV",
        )
        for lead, name in enumerate(leads)
    )
    return Recording(
        channels=channels,
        codes=_of(facts.codes, part, ()),
        age=_of(facts.age, part, math.nan),
        sex=_of(facts.sex, part, ""),
        patient=_of(facts.patient, part, ""),
        remarks=tuple(remarks),
    )


def _wide(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float64)


def _of(each: tuple[_Of, ...], part: int, unknown: _Of) -> _Of:
    """Returns what is told of one ECG of several; what is told once holds for the first."""
    return next(itertools.islice(each, part, None), unknown)
