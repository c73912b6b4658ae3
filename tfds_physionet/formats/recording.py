"""What every reader of this folder returns: the channels, and what is told beside them."""

import math
from dataclasses import dataclass

import numpy as np

RATES = (10.0, 1e5)
"""Sampling rates in Hz that an ECG may have: below, no QRS is seen; above, nothing samples one."""


@dataclass(frozen=True, eq=False)
class StoredChannel:
    """A channel as its file stores it: value in `unit` = (sample - baseline) / gain.

    Attributes:
        name: As written.
        samples: [time], integers or floats; nan is a missing sample, -32768 too if they are int16.
        rate: In Hz.
        gain: Numbers in the file per `unit`.
        baseline: The number that stands for 0.
        unit: As written; '' where the file does not say.
    """

    name: str
    samples: np.ndarray
    rate: float
    gain: float = 1.0
    baseline: float = 0.0
    unit: str = "mV"


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """One ECG of a file.

    Attributes:
        channels: At least one.
        codes: Diagnoses, where the file or its sidecar names some.
        age: In years; nan where unknown.
        sex: As written.
        patient: Whose it is; '' where unknown.
        remarks: What a user should know though it is used, one sentence each.
        mismatches: Checksums that contradict the samples.
    """

    channels: tuple[StoredChannel, ...]
    codes: tuple[str, ...] = ()
    age: float = math.nan
    sex: str = ""
    patient: str = ""
    remarks: tuple[str, ...] = ()
    mismatches: tuple[str, ...] = ()
