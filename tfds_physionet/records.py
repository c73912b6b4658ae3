"""Finds and reads records: header, diagnoses, and samples in ADC units.

What the samples become afterwards (lead order, resampling) belongs to `preparation`.
"""

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfds_physionet.headers import RecordError, RecordHeader, Storage, parse_header

__all__ = ["MISSING", "EcgRecord", "RecordError", "RecordHeader"]
__all__ += ["find_records", "read_header", "read_record"]

MISSING = -32768
"""WFDB's invalid sample in 16 bits: a sample that is unknown, an absent lead, or padding."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EcgRecord(RecordHeader):
    """A header with its signal int16 [lead, time], ADC units; -32768 is a missing sample."""

    signal: np.ndarray


def find_records(folder: Path | str, *, unique: bool = True) -> list[Path]:
    """Returns the header files anywhere below a folder, sorted by their path below it.

    Raises:
        FileNotFoundError: There is no such folder, or no header below it.
        RecordError: Two headers bear the same record id, and `unique` is set.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; give the folder that holds the records")
    headers = sorted(
        Path(where, name).relative_to(folder)
        for where, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name.endswith(".hea") and not name.startswith(".")
    )
    if not headers:
        raise FileNotFoundError(f"{folder}: no .hea file below it; give the records' folder")
    seen: dict[str, Path] = {}
    for header in headers:
        other = seen.setdefault(header.stem, header)
        if unique and other is not header:
            reason = f"{header.stem} is also the name of {folder / other}; rename or remove one"
            raise RecordError(folder / header, "record id", reason)
    return [folder / header for header in headers]


def read_header(path: Path | str) -> RecordHeader:
    """Reads a header without its signal; `path` with or without '.hea'.

    Raises:
        RecordError: The header is missing or not one of a WFDB record.
    """
    return parse_header(_header_path(path))[0]


def read_record(path: Path | str) -> EcgRecord:
    """Reads a record; `path` of its header, with or without '.hea'.

    Raises:
        RecordError: The header or the signal file is missing, broken, or they contradict.
    """
    header, storage = parse_header(_header_path(path))
    signal = _read_signal(header, storage)
    if signal.shape[1] == 0:
        raise RecordError(header.path, "signal", "it has no samples")
    return EcgRecord(**vars(header), signal=signal)


def _header_path(path: Path | str) -> Path:
    path = Path(path)
    return path if path.suffix == ".hea" else path.with_name(path.name + ".hea")


def _read_signal(header: RecordHeader, storage: Storage) -> np.ndarray:
    """Returns int16 [lead, time]: directly where the form is simple, else through wfdb."""
    file = header.path.parent / storage.files[0]
    forms = {re.fullmatch(r"16(?:x1)?(?:\+(\d+))?", form) for form in storage.formats}
    offsets = {match and int(match[1] or 0) for match in forms}
    offset = offsets.pop()
    simple = not offsets and offset is not None and len(set(storage.files)) == 1
    try:
        matlab = _matlab_offset(file, len(header.leads)) if file.suffix == ".mat" else None
        if file.suffix == ".mat" and (matlab is None or matlab != offset):
            return _read_matlab(header, file, storage.num_samples)
        if simple:
            return _read_samples(header, file, offset or 0, storage.num_samples)
        return _read_wfdb(header, storage)
    except OSError as error:
        reason = f"can't be read ({error.strerror or error})"
        raise RecordError(file, "signal file", reason) from error


def _matlab_offset(file: Path, num_leads: int) -> int | None:
    """Returns where samples begin in a MATLAB v4 int16 matrix with one row a lead, else None."""
    with open(file, "rb") as stream:
        head = stream.read(20)
    if len(head) < 20:
        raise RecordError(file, "signal file", f"truncated after {len(head)} bytes")
    kind, rows, _, imaginary, name_length = struct.unpack("<5i", head)
    # Type 30: little-endian, full matrix, int16, stored column by column.
    return 20 + name_length if (kind, rows, imaginary) == (30, num_leads, 0) else None


def _read_samples(
    header: RecordHeader, file: Path, offset: int, num_samples: int | None
) -> np.ndarray:
    """Reads format 16: int16 samples, little-endian, one sample of each lead after another."""
    num_leads, held = len(header.leads), file.stat().st_size - offset
    if num_samples is None:
        num_samples = max(held, 0) // (2 * num_leads)
    if held != 2 * num_leads * num_samples:
        reason = (
            f"{max(held, 0)} bytes of samples; {num_leads} leads of {num_samples} samples "
            f"need {2 * num_leads * num_samples}"
        )
        raise RecordError(file, "signal file", reason)
    samples = np.fromfile(file, "<i2", offset=offset)
    return np.ascontiguousarray(samples.reshape(num_samples, num_leads).T)


def _read_matlab(header: RecordHeader, file: Path, num_samples: int | None) -> np.ndarray:
    """Reads the matrix `val` of a MATLAB file of another version, type or orientation."""
    import scipy.io

    try:
        signal = scipy.io.loadmat(file)["val"]
    except (ValueError, TypeError, KeyError, NotImplementedError, scipy.io.matlab.MatReadError):
        reason = "truncated, or no MATLAB file with a matrix 'val'"
        raise RecordError(file, "signal file", reason) from None
    num_leads = len(header.leads)
    if signal.ndim == 2 and signal.shape[0] != num_leads and signal.shape[1] == num_leads:
        signal = signal.T
    return _as_int16(header, file, signal, num_samples, invalid=MISSING)


# WFDB's storage formats and their value of an invalid sample (signal(5)); 8 and 61 have none.
_INVALID = {"80": -128, "212": -2048, "310": -512, "311": -512, "24": -(2**23), "32": -(2**31)}
_INVALID |= dict.fromkeys(("8", "16", "61", "160"), MISSING)


def _read_wfdb(header: RecordHeader, storage: Storage) -> np.ndarray:
    """Reads any other storage format through wfdb."""
    import wfdb

    forms = [re.split(r"\D", form)[0] for form in storage.formats]
    if unknown := set(forms) - set(_INVALID):
        reason = f"storage format {min(unknown)!r} is none of {', '.join(_INVALID)}"
        raise RecordError(header.path, "signal line", reason)
    try:
        record = wfdb.rdrecord(str(header.path.with_suffix("")), physical=False, return_res=32)
    except (ValueError, TypeError, LookupError, wfdb.io.header.HeaderSyntaxError) as error:
        reason = f"wfdb can't read it: {str(error).splitlines()[:1]}"
        raise RecordError(header.path, "signal", reason) from error
    signal = np.asarray(record.d_signal).T
    invalid = np.array([_INVALID[form] for form in forms])[:, None]
    return _as_int16(header, header.path, signal, storage.num_samples, invalid=invalid)


def _as_int16(
    header: RecordHeader,
    file: Path,
    signal: np.ndarray,
    num_samples: int | None,
    *,
    invalid: np.ndarray | int,
) -> np.ndarray:
    """Checks a signal against its header and the range of 16 bits."""
    expected = (len(header.leads), num_samples or signal.shape[-1])
    if signal.shape != expected:
        reason = f"its shape is {signal.shape}; the header says {expected}"
        raise RecordError(file, "signal", reason)
    missing = ~np.isfinite(signal) | (signal == invalid)
    values = np.where(missing, 0, signal)
    if np.abs(values).max(initial=0) > 32767 or np.any(values != np.rint(values)):
        raise RecordError(file, "signal", "samples are not integers of 16 bits (ADC units)")
    return np.where(missing, MISSING, values).astype(np.int16)
