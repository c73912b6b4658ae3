"""Reads records of every format: header, diagnoses, and samples in ADC units.

What the samples become afterwards (lead order, resampling) belongs to `signals`.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfds_physionet.errors import RecordError, file_size
from tfds_physionet.formats.facts import NO_FACTS
from tfds_physionet.formats.recording import Recording
from tfds_physionet.reading import resampling
from tfds_physionet.reading.finding import FoundRecord, is_header
from tfds_physionet.reading.foreign import as_stored, read_foreign
from tfds_physionet.reading.headers import RecordHeader, Storage, parse_header
from tfds_physionet.reading.sixteen_bits import MISSING, fit, is_coarse
from tfds_physionet.reading.stored_leads import Leads, read_leads

__all__ = ["MISSING", "EcgRecord", "RecordError", "RecordHeader"]
__all__ += ["from_recording", "read_header", "read_record"]


@dataclass(frozen=True, kw_only=True, eq=False)
class EcgRecord(RecordHeader):
    """A header with its signal.

    Gains and baselines are those of the samples here: mV = (sample - baseline) / gain, always.

    Attributes:
        signal: int16 [lead, time], ADC units; -32768 is a missing sample.
        scales: One a lead: a number in the file is sample * scale + offset. 1 where the file's
            numbers have 16 bits or less.
        offsets: One a lead; 0 where the file's numbers have 16 bits or less.
    """

    signal: np.ndarray
    scales: tuple[float, ...] = ()
    offsets: tuple[float, ...] = ()


def read_header(path: Path | str, *, root: Path | None = None) -> RecordHeader:
    """Reads a header without its signal.

    Args:
        path: With or without '.hea'.
        root: The folder that the records were looked for in; its name and those of the folders
            below it tell the source.

    Raises:
        RecordError: The header is missing or not one of a WFDB record.
    """
    return parse_header(_header_path(path), root)[0]


def read_record(
    record: FoundRecord | Path | str, *, strict: bool = False, root: Path | None = None
) -> EcgRecord:
    """Reads a record, a WFDB one or one of a format that `formats` knows by its content.

    Args:
        record: As it was found; or the path of its header, with or without '.hea', or of a file of
            another format.
        strict: Whether samples that checksums or first values contradict are refused instead of
            remarked on.
        root: As in `read_header`.

    Raises:
        RecordError: A file is missing, broken, or contradicts another.
    """
    path = record.path if isinstance(record, FoundRecord) else Path(record)
    leads: Leads
    if is_header(path.name) or not path.is_file():
        header, storage = parse_header(_header_path(path), root)
        leads, mismatches = read_leads(header, storage)
    elif isinstance(record, FoundRecord):
        header, storage, leads, mismatches = read_foreign(path, root, record.facts, record.part)
    else:
        header, storage, leads, mismatches = read_foreign(path, root, NO_FACTS, None)
    if strict and mismatches:
        raise RecordError(header.path, "samples", mismatches[0])
    return _record(header, storage, leads, mismatches)


def from_recording(path: Path, recording: Recording) -> EcgRecord:
    """Returns the record of an ECG that a program holds; `path` is what messages call it.

    Raises:
        RecordError: It can't be used.
    """
    return _record(*as_stored(path, None, recording))


def _record(
    header: RecordHeader, storage: Storage, leads: Leads, mismatches: list[str]
) -> EcgRecord:
    if len(leads[0]) == 0:
        raise RecordError(header.path, "signal", "it has no samples")
    signal, scales, offsets, remarks = _to_16_bits(header, storage, leads)
    known = vars(header) | {
        "gains": tuple(gain / scale for gain, scale in zip(header.gains, scales, strict=True)),
        "baselines": tuple(
            (baseline - offset) / scale
            for baseline, scale, offset in zip(header.baselines, scales, offsets, strict=True)
        ),
        "remarks": (*header.remarks, *mismatches, *remarks),
    }
    return EcgRecord(**known, signal=signal, scales=scales, offsets=offsets)


def _header_path(path: Path | str) -> Path:
    path = Path(path)
    return path if is_header(path.name) else path.with_name(path.name + ".hea")


def signal_bytes(record: FoundRecord) -> int:
    """Returns what a record's signal will take in memory, as far as its header or size tells.

    Raises:
        RecordError: It can't be told.
    """
    if not is_header(record.path.name):
        return 0 if record.part is not None else file_size(record.path, "file")
    storage = parse_header(record.path)[1]
    return 2 * len(storage.kept) * storage.samples_per_frame * (storage.num_frames or 0)


def _to_16_bits(
    header: RecordHeader, storage: Storage, leads: Leads
) -> tuple[np.ndarray, tuple[float, ...], tuple[float, ...], list[str]]:
    """Returns (int16 [lead, time] at the record's rate, scales, offsets, remarks)."""
    if isinstance(leads, np.ndarray):
        return leads, (1.0,) * len(leads), (0.0,) * len(leads), []
    per_frame = [storage.channels[row].samples_per_frame for row in storage.kept]
    length = len(leads[0]) // per_frame[0] * storage.samples_per_frame
    signal = np.empty((len(leads), length), np.int16)
    scales, offsets, coarse = [1.0] * len(leads), [0.0] * len(leads), []
    for lead, values in enumerate(leads):
        samples, scales[lead], offsets[lead] = fit(values)
        if is_coarse(values, samples, scales[lead], offsets[lead]):
            coarse.append(header.leads[lead])
        if per_frame[lead] != storage.samples_per_frame:
            rate = header.sampling_rate * per_frame[lead] / storage.samples_per_frame
            samples = _resample(header, samples, rate, length)
        signal[lead] = samples
    what = "leads whose numbers 16 bits hold to no more than 1e-4 of their standard deviation"
    remarks = [f"{what}: {', '.join(coarse)}"] if coarse else []
    return signal, tuple(scales), tuple(offsets), remarks


def _resample(header: RecordHeader, samples: np.ndarray, rate: float, length: int) -> np.ndarray:
    """Returns int16 samples [length] at the record's rate of those [time] at another."""
    if max(len(samples), length) > resampling.LONGEST:
        reason = f"{length} samples are too many to bring leads of several rates to one"
        raise RecordError(header.path, "length", reason)
    valid = samples[samples != MISSING]
    mean = np.array([valid.mean() if len(valid) else 0.0])
    values, missing = resampling.resample(samples[None], mean, rate, header.sampling_rate, length)
    return resampling.to_int16(values + mean[:, None], missing)[0]
