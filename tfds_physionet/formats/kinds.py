"""Tells of a file by its first bytes what it is; a suffix only says where to expect an ECG."""

import re
import struct
from pathlib import Path

from tfds_physionet.errors import RecordError, file_size, unreadable

CLINICAL = {
    "aecg": "HL7 aECG",
    "philips": "Philips XML",
    "muse": "GE MUSE XML",
    "mortara": "Mortara XML",
    "dicom": "DICOM",
    "scp": "SCP-ECG",
    "edf": "EDF",
    "ishne": "ISHNE",
}
"""Kinds that are read through ecgdatakit, and their names."""
XML = ("aecg", "philips", "muse", "mortara")
ARRAYS = ("npy", "npz", "hdf5", "mat", "csv")
# A file so named is meant to be an ECG: one that is none is an error.
_SUFFIXES = frozenset(".xml .dcm .dicom .scp .edf .ecg .ishne .npy .npz .h5 .hdf5 .mat".split())
_TABLES = (".csv", ".tsv")
_HEAD = 4096
_MAGIC = {b"\x93NUMPY": "npy", b"PK\x03\x04": "npz", b"ISHNE1.0": "ishne"}
_MAGIC |= {b"0       ": "edf", b"\xffBIOSEMI": "edf"}
_HDF5 = b"\x89HDF\r\n\x1a\n"
_ELEMENTS = (
    (re.compile(r"<(?:[\w.-]+:)?AnnotatedECG\b"), "aecg"),
    (re.compile(r"<restingecgdata\b"), "philips"),
    (re.compile(r"<RestingECG[\s>]", re.IGNORECASE), "muse"),
    (re.compile(r"<ECG[\s>]"), "mortara"),
)
_OTHERS = (
    (
        b"<",
        "an XML or HTML page of no ECG format that is read (HL7 aECG, Philips, GE MUSE, Mortara)",
    ),
    (b"{", "JSON"),
    (b"\x1f\x8b", "a gzip file; unpack it"),
    (b"version https://git-lfs", "a pointer of git LFS, not the file itself"),
)


def kind_of(path: Path) -> str:
    """Returns the kind of a file: one of CLINICAL or ARRAYS.

    Raises:
        RecordError: It can't be read or is none of them.
    """
    if file_size(path, "file") == 0:
        raise RecordError(path, "file", "it is empty")
    try:
        with open(path, "rb") as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise unreadable(path, "file", error) from error
    kind = _by_content(head)
    if kind is None and path.suffix.lower() == ".mat":
        return "mat"  # version 4 has no mark; its reader says what is wrong
    if kind is None and path.suffix.lower() in _TABLES and b"\0" not in head:
        return "csv"
    if kind is None:
        told = next((what for start, what in _OTHERS if _text(head).startswith(start)), "")
        raise RecordError(path, "file", f"it is {told or 'of no format that is read'}")
    return kind


def is_meant(path: Path) -> bool:
    """Returns whether a file below a folder is meant to be an ECG: by its suffix or its content.

    Of tables, which may hold anything, nothing is said here.
    """
    if path.suffix.lower() in _SUFFIXES:
        return True
    try:
        return kind_of(path) not in ("npz", "csv")
    except RecordError:
        return False


def has_suffix(suffix: str) -> bool:
    """Returns whether a suffix is one of the formats that are read."""
    return suffix.lower() in _SUFFIXES or suffix.lower() in _TABLES


def is_table(path: Path) -> bool:
    """Returns whether a file is a table by its suffix."""
    return path.suffix.lower() in _TABLES


def _by_content(head: bytes) -> str | None:
    for start, kind in _MAGIC.items():
        if head.startswith(start):
            return kind
    if head[128:132] == b"DICM":
        return "dicom"
    if head.startswith(_HDF5) or head[512 : 512 + len(_HDF5)] == _HDF5:
        return "hdf5"  # MATLAB 7.3 puts 512 bytes of its own before it
    if head.startswith(b"MATLAB 5.0") and head[126:128] in (b"IM", b"MI"):
        return "mat"
    if _is_scp(head):
        return "scp"
    text = _text(head)
    if text.startswith(b"<"):
        return next((k for pattern, k in _ELEMENTS if pattern.search(text.decode("latin-1"))), None)
    return None


def _text(head: bytes) -> bytes:
    """Returns the beginning of a text in one byte a sign, without byte order mark and blanks."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head[: len(head) // 2 * 2].decode("utf-16", "replace").encode("latin-1", "replace")
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()


def _is_scp(head: bytes) -> bool:
    """A record starts with checksum and size, then section 0, whose first pointer is to itself."""
    if len(head) < 32:
        return False
    size, section, length = struct.unpack_from("<IxxHI", head, 2)
    pointer, place = struct.unpack_from("<H4xI", head, 22)
    return section == 0 and 26 <= length <= size and pointer == 0 and place == 7
