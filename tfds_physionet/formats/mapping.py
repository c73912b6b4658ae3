"""Long files as arrays that take no memory: pages come when looked at, and can be let go."""

import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_SMALLEST_MAPPED = 1 << 27  # bytes; smaller files are read
_PIECE = 1 << 18


def read_numbers(path: Path, dtype: np.dtype | str, count: int, offset: int) -> np.ndarray:
    """Returns `count` numbers of a file from a byte on; many are mapped, and can't be written to.

    Raises:
        OSError: The file does not hold them. (One that shrinks later, while it is mapped, would
            end the process.)
    """
    dtype = np.dtype(dtype)
    if count * dtype.itemsize < _SMALLEST_MAPPED:
        numbers = np.fromfile(path, dtype, count, offset=offset)
    else:
        with open(path, "rb") as stream:
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        held = max(len(mapped) - offset, 0) // dtype.itemsize
        numbers = np.ndarray((min(count, held),), dtype, mapped, offset)
    if len(numbers) != count:
        raise OSError(f"it holds {len(numbers)} numbers of {count}")
    return numbers


def is_mapped(array: np.ndarray) -> bool:
    """Returns whether an array lies in a file."""
    return _mapping(array) is not None


def pieces(array: np.ndarray, length: int = _PIECE) -> Iterator[slice]:
    """Yields the last axis piece by piece, and lets a mapped file's pages go in between."""
    mapping = _mapping(array)
    for start in range(0, array.shape[-1], length):
        yield slice(start, start + length)
        if mapping is not None and hasattr(mapping, "madvise"):
            mapping.madvise(mmap.MADV_DONTNEED)


def _mapping(array: np.ndarray) -> mmap.mmap | None:
    base: object = array
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
