"""Reads a numeric matrix of a MATLAB file of version 4, 5 or 7.

A reader of our own: scipy's can be made to end the process by one changed byte. Every size is
checked against the file before anything is allocated. Version 7.3 (HDF5) is told, not read.
"""

import itertools
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfds_physionet.errors import RecordError
from tfds_physionet.formats.mapping import read_numbers

_FIELD = "signal file"
_LARGEST = 1 << 28
_MOST_MATRICES = 1000
_HEAD = 4096  # bytes that hold a matrix's type, size and name
_TYPES_4 = ("f8", "f4", "i4", "i2", "u2", "u1")
_TYPES_5 = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_MATRIX, _COMPRESSED = 14, 15
_CLASSES = {
    1: "a cell array",
    2: "a struct",
    3: "an object",
    4: "text (char)",
    5: "a sparse matrix",
}
_CLASSES |= {16: "a function", 17: "an object"}
_CONTENTS = (
    (b"\x89HDF", "a MATLAB 7.3 (HDF5) file; save it with -v7"),
    (b"MATLAB 7.3", "a MATLAB 7.3 (HDF5) file; save it with -v7"),
    (b"<", "an HTML or XML page, not MATLAB's"),
    (b"{", "JSON, not MATLAB's"),
    (b"PK", "a zip archive; unpack it"),
    (b"\x1f\x8b", "a gzip file; unpack it"),
    (b"\x93NUMPY", "a NumPy array; save it with scipy.io.savemat"),
    (b"version https://git-lfs", "a pointer of git LFS, not the file itself"),
)


@dataclass(frozen=True)
class Matrix:
    """A numeric matrix in a file, which stores it column by column.

    Attributes:
        shape: Its sizes: rows, columns, and what else there is.
        dtype: Of the numbers as stored.
        offset: Where they begin, in bytes of the file or of the decompressed element.
        element: Where the compressed element lies: (first byte, bytes); None for plain ones.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int
    element: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Entry:
    """A variable: its name, and its matrix or what it is instead."""

    name: str
    content: Matrix | str


def find_matrix(path: Path, size: int, name: str) -> Matrix:
    """Returns where a file of `size` bytes holds the numeric matrix `name` [row, column].

    Raises:
        RecordError: It is no MATLAB file, or damaged, or the matrix is none of numbers.
    """
    found: list[str] = []
    for entry in _entries(path, size):
        if entry.name != name:
            found.append(entry.name)
            continue
        what = entry.content
        if not isinstance(what, str) and len(what.shape) != 2:
            what = f"an array of {len(what.shape)} dimensions"
        if isinstance(what, str):
            raise RecordError(path, _FIELD, f"its {name} is {what}; numbers are wanted")
        return what
    listed = f"its matrices are {', '.join(found[:5])}" if found else "it holds no matrix"
    raise RecordError(path, _FIELD, f"{listed}; {name} is wanted")


def list_arrays(path: Path, size: int) -> dict[str, Matrix]:
    """Returns the arrays of numbers in a file of `size` bytes, of any number of dimensions.

    Raises:
        RecordError: It is no MATLAB file, or damaged.
    """
    entries = _entries(path, size)
    return {entry.name: entry.content for entry in entries if isinstance(entry.content, Matrix)}


def _entries(path: Path, size: int) -> Iterator[_Entry]:
    with open(path, "rb") as stream:
        head = stream.read(128)
    version = _version(path, head)
    entries = _entries_4(path, size, version) if version in "<>" else _entries_5(path, size, head)
    return itertools.islice(entries, _MOST_MATRICES)


def read_matrix(path: Path, matrix: Matrix) -> np.ndarray:
    """Returns the numbers [..., column, row]: MATLAB's order in memory.

    Raises:
        RecordError: The file is damaged.
    """
    count = math.prod(matrix.shape)
    if matrix.element is None and matrix.dtype.itemsize == 2:
        values = read_numbers(path, matrix.dtype, count, matrix.offset)
    elif count * matrix.dtype.itemsize > _LARGEST:
        reason = f"{count} numbers of {matrix.dtype} are too many; save them as int16 with -v6"
        raise RecordError(path, _FIELD, reason)
    elif matrix.element is None:
        values = read_numbers(path, matrix.dtype, count, matrix.offset)
    else:
        end = matrix.offset + count * matrix.dtype.itemsize
        data = _decompress(path, matrix.element, end, whole=True)
        values = np.frombuffer(data, matrix.dtype, count, offset=matrix.offset)
    return values.reshape(matrix.shape[::-1])


def _version(path: Path, head: bytes) -> str:
    """Returns the byte order of a version 4 file, '<' or '>'; '5' for versions 5 and 7."""
    for start, what in _CONTENTS:
        if head.lstrip().startswith(start):
            raise RecordError(path, _FIELD, f"it is {what}")
    if len(head) < 20:
        raise RecordError(path, _FIELD, f"truncated after {len(head)} bytes")
    for order in "<>":
        kind = struct.unpack(f"{order}i", head[:4])[0]
        if 0 <= kind < 5000 and kind // 100 % 10 == 0 and kind % 10 < 3 and kind // 10 % 10 < 6:
            return order
    if len(head) == 128 and head[126:] in (b"IM", b"MI"):
        return "5"
    raise RecordError(path, _FIELD, f"it is no MATLAB file: it begins with {head[:12]!r}")


def _checked(path: Path, sizes: tuple[int, ...], itemsize: int, held: int) -> None:
    """Refuses a matrix that its file cannot hold."""
    needed = math.prod(sizes) * itemsize
    if min(sizes) < 0 or needed > held:
        reason = f"truncated or damaged: a matrix of {sizes[0]} x {sizes[-1]} in {held} bytes"
        raise RecordError(path, _FIELD, reason)


def _entries_4(path: Path, size: int, order: str) -> Iterator[_Entry]:
    start = 0
    with open(path, "rb") as stream:
        while start + 20 <= size:
            stream.seek(start)
            kind, rows, columns, imaginary, length = struct.unpack(f"{order}5i", stream.read(20))
            place, precision, form = kind // 1000, kind // 10 % 10, kind % 10
            if not (0 <= place < 2 and kind // 100 % 10 == 0 and precision < 6 and form < 3):
                raise RecordError(path, _FIELD, f"damaged: matrix type {kind}")
            if not 0 < length <= min(_HEAD, size - start - 20):
                raise RecordError(path, _FIELD, f"truncated or damaged: a name of {length} bytes")
            name = stream.read(length).partition(b"\0")[0].decode("latin-1")
            dtype = np.dtype(order + _TYPES_4[precision])
            offset = start + 20 + length
            parts = 2 if imaginary else 1
            _checked(path, (rows, columns), dtype.itemsize * parts, size - offset)
            what = ("complex numbers" if imaginary else "", "text (char)", "a sparse matrix")[form]
            yield _Entry(name, what or Matrix((rows, columns), dtype, offset))
            start = offset + rows * columns * dtype.itemsize * parts


def _entries_5(path: Path, size: int, head: bytes) -> Iterator[_Entry]:
    order = "<" if head[126:] == b"IM" else ">"
    start = 128
    with open(path, "rb") as stream:
        while start + 8 <= size:
            stream.seek(start)
            kind, length = struct.unpack(f"{order}2I", stream.read(8))
            if kind not in (_MATRIX, _COMPRESSED) or length > size - start - 8:
                reason = f"truncated or damaged: an element of type {kind} and {length} bytes"
                raise RecordError(path, _FIELD, reason)
            if kind == _MATRIX:
                yield _entry(path, order, stream.read(min(length, _HEAD)), start + 8, length, None)
            else:
                element = (start + 8, length)
                data = _decompress(path, element, _HEAD, whole=False)
                inner, held = struct.unpack(f"{order}2I", data[:8].ljust(8, b"\0"))
                if inner != _MATRIX:
                    raise RecordError(path, _FIELD, f"damaged: an element of type {inner}")
                yield _entry(path, order, data[8:], 8, held, element)
            start += 8 + length


def _entry(
    path: Path, order: str, head: bytes, place: int, length: int, element: tuple[int, int] | None
) -> _Entry:
    """Parses a matrix element from its first bytes, which lie at `place`."""
    flags_start, flags_length, _, after = _tag(path, order, head, 0)
    dims_start, dims_length, _, after = _tag(path, order, head, after)
    name_start, name_length, _, after = _tag(path, order, head, after)
    if flags_length < 4 or dims_length % 4 or after > len(head):
        raise RecordError(path, _FIELD, "damaged: no matrix can be told")
    flags = struct.unpack_from(f"{order}I", head, flags_start)[0]
    dims = struct.unpack_from(f"{order}{dims_length // 4}i", head, dims_start)
    name = head[name_start : name_start + name_length].decode("latin-1")
    what = _CLASSES.get(flags & 0xFF) or ("complex numbers" if flags & 0x800 else "")
    if not what and not 2 <= len(dims) <= 32:
        what = f"an array of {len(dims)} dimensions"
    if what:
        return _Entry(name, what)
    data_start, data_length, kind, _ = _tag(path, order, head, after)
    if kind not in _TYPES_5 or data_start + data_length > length:
        raise RecordError(path, _FIELD, f"damaged: numbers of type {kind}, {data_length} bytes")
    dtype = np.dtype(order + _TYPES_5[kind])
    # Deflate packs no more than 1032 bytes into one.
    held = min(data_length, 1032 * element[1]) if element else data_length
    _checked(path, dims, dtype.itemsize, held)
    return _Entry(name, Matrix(dims, dtype, place + data_start, element))


def _tag(path: Path, order: str, head: bytes, start: int) -> tuple[int, int, int, int]:
    """Returns (first byte, bytes, type, where the next begins) of a sub-element."""
    if start + 8 > len(head):
        raise RecordError(path, _FIELD, "truncated or damaged: a matrix without its sizes")
    kind, length = struct.unpack_from(f"{order}2I", head, start)
    if kind >> 16:  # up to four bytes within the tag
        return start + 4, min(kind >> 16, 4), kind & 0xFFFF, start + 8
    return start + 8, length, kind, start + 8 + -(-length // 8) * 8


def _decompress(path: Path, element: tuple[int, int], count: int, *, whole: bool) -> bytes:
    """Returns the first `count` bytes of a compressed element; `whole` checks all of its sum."""
    with open(path, "rb") as stream:
        stream.seek(element[0])
        packed = stream.read(element[1] if whole else min(element[1], 2 * _HEAD))
    try:
        inflater = zlib.decompressobj()
        data = inflater.decompress(packed, count)
        # A few bytes may follow that fill up the last eight.
        if whole:
            inflater.decompress(inflater.unconsumed_tail, _HEAD)
    except zlib.error as error:
        raise RecordError(path, _FIELD, f"damaged: it can't be decompressed ({error})") from error
    if whole and (len(data) < count or not inflater.eof):
        raise RecordError(path, _FIELD, "truncated or damaged: its compressed matrix is not whole")
    return data


def plain_int16(path: Path) -> tuple[int, int, int]:
    """Returns (rows, columns, first byte) of a file's int16 matrix of version 4, else zeros."""
    with open(path, "rb") as stream:
        head = stream.read(20)
    if len(head) < 20:
        return 0, 0, 0
    kind, rows, columns, imaginary, name_length = struct.unpack("<5i", head)
    # Type 30: little-endian, full, int16.
    return (rows, columns, 20 + name_length) if (kind, imaginary) == (30, 0) else (0, 0, 0)
