"""Opens files of arrays: .npy, .npz, .mat (all versions), HDF5; nothing in one is ever run.

Sizes are compared with the file before anything is allocated.
"""

import functools
import io
import math
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tfds_physionet.errors import RecordError, file_size
from tfds_physionet.formats import matlab

_FIELD = "array"
_LARGEST = 1 << 28  # bytes of an array that has to be unpacked as a whole
# An array with such a name goes before others.
_NAMES = ("tracings", "val", "ecg", "signal", "signals", "data", "x", "X", "arr_0")
_NO_H5PY = "HDF5 needs h5py; install it with: pip install 'resunet_lc_jax[clinical]'"


@dataclass(frozen=True, eq=False)
class OpenArray:
    """An array of numbers in a file.

    Attributes:
        shape: One to three sizes.
        read: Returns the array at an index of its first axis, or all of it for None.
        ids: What the file calls each entry of the first axis; empty where it does not.
        name: The array's name in its file.
    """

    shape: tuple[int, ...]
    read: Callable[[int | None], np.ndarray]
    ids: tuple[str, ...] = ()
    name: str = ""


def open_array(path: Path, kind: str, variable: str) -> OpenArray:
    """Opens the array that a file holds, or the one of several that `variable` names.

    Raises:
        RecordError: There is none, the file is damaged, or it claims more than it holds.
    """
    size = file_size(path, _FIELD)
    try:
        if kind == "npy":
            return _open_npy(path, size)
        if kind == "npz":
            return _open_npz(path, variable)
        if kind == "hdf5":
            return _open_hdf5(path, variable)
        return _open_matlab(path, size, variable)
    except RecordError:
        raise
    except Exception as error:  # NumPy, zipfile, tokenize, zlib and h5py raise what they like
        reason = f"it is damaged: {error or type(error).__name__}"
        raise RecordError(path, _FIELD, reason) from error


def _choose(path: Path, shapes: Mapping[str, tuple[int, ...]], variable: str) -> str:
    """Returns the name of the array to take: the one named, of a usual name, or the largest."""
    if variable:
        if variable not in shapes:
            reason = f"it has no array {variable!r}; it has {', '.join(list(shapes)[:5]) or 'none'}"
            raise RecordError(path, _FIELD, reason)
        return variable
    fit = {name: shape for name, shape in shapes.items() if 1 <= len(shape) <= 3}
    if not fit:
        raise RecordError(path, _FIELD, "it holds no array of numbers with 1 to 3 dimensions")
    usual = next((name for name in _NAMES if name in fit), None)
    return usual or max(fit, key=lambda name: math.prod(fit[name]))


def _checked(path: Path, dtype: np.dtype, shape: tuple[int, ...], held: int) -> None:
    """Refuses what is no array of numbers, or more than there are bytes for."""
    if dtype.kind not in "iufb" or dtype.itemsize > 8:
        raise RecordError(path, _FIELD, f"it holds {dtype}; real numbers are wanted")
    needed = math.prod(shape) * dtype.itemsize
    if needed > held:
        reason = f"it claims {' x '.join(map(str, shape))} numbers, {needed} bytes, and has {held}"
        raise RecordError(path, _FIELD, reason)


def _npy_header(stream: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(stream)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"version {version[0]}.{version[1]} of NumPy's format")
    return read(stream)


def _open_npy(path: Path, size: int) -> OpenArray:
    with open(path, "rb") as stream:
        shape, by_column, dtype = _npy_header(stream)
        start = stream.tell()
    _checked(path, dtype, shape, size - start)

    def read(index: int | None) -> np.ndarray:
        mapped: Any = np.memmap(path, dtype, "r", start, shape, "F" if by_column else "C")
        return np.array(mapped if index is None else mapped[index])

    return OpenArray(shape, read)


def _open_npz(path: Path, variable: str) -> OpenArray:
    shapes, sizes = {}, {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist()[:1000]:
            if not member.filename.endswith(".npy"):
                continue
            with archive.open(member) as stream:
                shape, _, dtype = _npy_header(io.BytesIO(stream.read(1 << 14)))
            if dtype.kind in "iufb":
                name = member.filename.removesuffix(".npy")
                shapes[name], sizes[name] = shape, (dtype, member.file_size)
    name = _choose(path, shapes, variable)
    dtype, held = sizes[name]
    _bounded(path, held)
    _checked(path, dtype, shapes[name], held)
    return _whole(shapes[name], name, path, "npz")


def _bounded(path: Path, held: int) -> None:
    if held > _LARGEST:
        reason = f"its array unpacks to {held} bytes; the most is {_LARGEST}; save it as .npy"
        raise RecordError(path, _FIELD, reason)


def _open_matlab(path: Path, size: int, variable: str) -> OpenArray:
    arrays = matlab.list_arrays(path, size)
    name = _choose(path, {name: matrix.shape for name, matrix in arrays.items()}, variable)
    _bounded(path, math.prod(arrays[name].shape) * arrays[name].dtype.itemsize)
    return _whole(arrays[name].shape, name, path, "mat")


def _whole(shape: tuple[int, ...], name: str, path: Path, kind: str) -> OpenArray:
    """Of an array that can be read as a whole only: kept for its next ECG, if it has several."""

    def read(index: int | None) -> np.ndarray:
        if index is None:
            return _load(path, kind, name)
        return np.array(_kept(path, kind, name, os.stat(path).st_mtime_ns)[index])

    return OpenArray(shape, read, (), name)


@functools.lru_cache(maxsize=1)
def _kept(path: Path, kind: str, name: str, changed: int) -> np.ndarray:
    return _load(path, kind, name)


def _load(path: Path, kind: str, name: str) -> np.ndarray:
    if kind == "mat":
        size = file_size(path, _FIELD)
        return matlab.read_matrix(path, matlab.list_arrays(path, size)[name]).T
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
        shape, by_column, dtype = _npy_header(stream)  # type: ignore[arg-type]
        _checked(path, dtype, shape, _LARGEST)
        data = stream.read(math.prod(shape) * dtype.itemsize)
        while stream.read(1 << 16):  # to the end, where the checksum is compared
            pass
    return np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")


def _open_hdf5(path: Path, variable: str) -> OpenArray:
    try:
        import h5py
    except ImportError as error:
        raise RecordError(path, _FIELD, _NO_H5PY) from error
    with h5py.File(path, "r") as file:
        sets = {
            name: found for name in list(file)[:1000] if (found := _plain_set(h5py, file, name))
        }
        shapes = {name: found.shape for name, found in sets.items() if found.dtype.kind in "iufb"}
        name = _choose(path, shapes, variable)
        chosen, ids = sets[name], sets.get("exam_id")
        # A compressed one may unpack to much more than the file; only what is asked for is read.
        each = math.prod(chosen.shape[1:] if chosen.ndim == 3 else chosen.shape)
        each = max(each, math.prod(chosen.chunks or ()))
        _bounded(path, each * chosen.dtype.itemsize)
        by_column = bool(file[name].attrs.get("MATLAB_class"))  # MATLAB's last axis is HDF5's first
        known: tuple[str, ...] = ()
        if ids is not None and ids.ndim == 1 and ids.shape[0] == chosen.shape[0] < 10_000_000:
            known = tuple(_text(value) for value in ids[:].tolist())
        shape = tuple(chosen.shape[::-1] if by_column else chosen.shape)

    def read(index: int | None) -> np.ndarray:
        with h5py.File(path, "r") as file:
            if by_column:
                whole = file[name][()].T
                return whole if index is None else whole[index]
            return np.asarray(file[name][()] if index is None else file[name][index])

    return OpenArray(shape, read, known, name)


def _plain_set(h5py: Any, file: Any, name: str) -> Any:
    """Returns a data set of a file's own; None where it is something else or lies elsewhere."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return None
    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or found.is_virtual or found.external:
        return None
    return found if found.dtype.kind in "iufbSO" else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
