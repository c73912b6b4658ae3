"""Reads clinical formats through ecgdatakit, which is imported only when such a file is met.

Of what it returns the numbers as stored are taken, with their scale. What it leaves to its user
(rates that are no whole number, ISHNE's mark of a lead that is off, checksums) is put right here;
docs/formats.md lists it.
"""

import math
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from tfds_physionet.errors import RecordError
from tfds_physionet.formats.guards import check_file
from tfds_physionet.formats.kinds import CLINICAL
from tfds_physionet.formats.recording import Recording, StoredChannel

INSTALL = "pip install 'resunet_lc_jax[clinical]'"
_FAULT = -32768  # ISHNE's sample of a lead that is off
_MOST_REMARKS = 3
# ecgdatakit collects warnings in a way that is not for several threads.
_LOCK = threading.Lock()


def read_clinical(path: Path, kind: str) -> Recording:
    """Reads an ECG of one of the formats of `kinds.CLINICAL`.

    Raises:
        RecordError: It is damaged, of a variant that is not read, or ecgdatakit is not installed.
    """
    try:
        import ecgdatakit.exceptions
        from ecgdatakit.parsing.parser import FileParser

        if kind == "dicom":
            import pydicom  # noqa: F401
    except ImportError as error:
        reason = f"{CLINICAL[kind]} needs {error.name or 'ecgdatakit'}; install it with: {INSTALL}"
        raise RecordError(path, "format", reason) from error
    check_file(path, kind)
    with _LOCK, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            record = FileParser.parse(path, auto_scale=False)
            rates = _rates(record, kind)
            channels = tuple(
                _channel(lead, rate, kind) for lead, rate in zip(record.leads, rates, strict=True)
            )
        except Exception as error:  # a damaged file makes it, or pydicom, raise anything
            reason = str(error).replace(str(path), path.name) or type(error).__name__
            reason = reason.removeprefix(f"{CLINICAL[kind]}: ")
            raise RecordError(path, CLINICAL[kind], reason) from error
    if not channels:
        raise RecordError(path, CLINICAL[kind], "it holds no rhythm, only other channels or none")
    mismatches, remarks = [], []
    for warning in told:
        text = " ".join(str(warning.message).replace(str(path), path.name).split())
        if issubclass(warning.category, ecgdatakit.exceptions.ChecksumWarning):
            mismatches.append(text)
        elif "auto_scale" not in text and (kind != "dicom" or text.startswith("DICOM")):
            remarks.append(text)  # pydicom's own go by forms of values that do not matter here
    age = record.patient.age
    return Recording(
        channels=channels,
        age=float(age) if age is not None else math.nan,
        sex=str(record.patient.sex or ""),
        patient=str(record.patient.patient_id or "")[:100],
        remarks=tuple(remarks[:_MOST_REMARKS]),
        mismatches=tuple(mismatches[:_MOST_REMARKS]),
    )


def _channel(lead: Any, rate: float, kind: str) -> StoredChannel:
    samples = np.asarray(lead.samples)
    if kind == "ishne":
        samples = np.where(samples == _FAULT, np.nan, samples)
    resolution = float(lead.resolution) or 1.0
    return StoredChannel(
        name=str(lead.label),
        samples=samples,
        rate=rate,
        gain=1 / resolution,
        baseline=-float(lead.offset) / resolution,
        unit=str(lead.resolution_unit or lead.units or ""),
    )


def _rates(record: Any, kind: str) -> list[float]:
    """Returns each lead's rate in Hz, exact where ecgdatakit's own is rounded to a whole number."""
    meta = record.raw_metadata
    rates = [float(lead.sampling_rate) for lead in record.leads]
    if kind == "aecg":
        exact = meta.get("rhythm_time", {}).get("sampling_rate_exact")
        return [float(exact or rate) for rate in rates]
    if kind == "edf":
        known = meta.get("exact_sampling_rates", {})
        return [
            float(known.get(lead.label, r)) for lead, r in zip(record.leads, rates, strict=True)
        ]
    if kind == "dicom":
        length = max((len(lead.samples) for lead in record.leads), default=0)
        for group in meta.get("multiplex_groups", []):
            if (group["channels"], group["samples"]) == (len(rates), length):
                return [float(group["sampling_frequency"])] * len(rates)
    return rates
