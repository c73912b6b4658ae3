"""Files of named arrays: .pt and .pth (torch.save), .safetensors, .npz; told by their content.

A file that is damaged, odd or hostile becomes one `TorchFileError`, before anything large is made
of it, and nothing in it is ever run. What the arrays mean is in `checkpoint`.
"""

import json
import math
import pickle
import re
import stat
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from jax.numpy import bfloat16
from safetensors.numpy import save_file

from resunet_lc_jax.pytorch import pickles
from resunet_lc_jax.pytorch.names import printable
from tfds_physionet.files import replacing

SUFFIXES = (".pt", ".pth", ".safetensors", ".npz")
"""The kinds of file that are written."""

REMEDY = "in PyTorch, save it anew with torch.save({'model': model.state_dict()}, path)"

# More than ResUNet-LC of four times the published width needs in float64 with Adam's moments.
_MOST_BYTES = 4 << 30
# Of a zip archive, its content over its own size. Weights are hardly compressible.
_MOST_EXPANSION, _SMALL = 100, 64 << 20
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": bfloat16,
    "I64": np.int64,
    "I32": np.int32,
}
# What else files that are called weights turn out to be, by their first bytes.
_OTHERS = {
    b"version https://git-lfs": "a Git LFS pointer (fetch the file itself with git lfs pull)",
    b"<": "a web page or XML",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a single array, of np.save",
    b"\x1f\x8b": "a gzip archive (unpack it)",
}
# What the readers raise on bytes that do not mean what they should.
_DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    safetensors.SafetensorError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


class TorchFileError(ValueError):
    """A PyTorch file that is not taken: one sentence with the file's name."""

    def __init__(self, message: str) -> None:
        """Keeps to one line, whatever names the file holds."""
        super().__init__(printable(message))


def read_content(path: Path) -> tuple[dict[Any, Any], list[str]]:
    """What a file holds, and sentences on what was left out.

    Returns:
        Of a file of torch.save its dict, with tensors; of the others arrays by name.

    Raises:
        TorchFileError: for another kind of file, or a damaged one.
        ImportError: where PyTorch is needed and not installed.
        OSError: where there is no such file, or it may not be read.
    """
    size = _size(path)
    with path.open("rb") as file:
        head = file.read(512)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of unusual tensors and headers: they are judged here
            content, notes = _read(path, size, head)
    except TorchFileError:
        raise
    except _DAMAGE as error:
        raise TorchFileError(
            f"{path} ({size:,} bytes) cannot be read: it is damaged, not whole or of another kind "
            f"({_reason(error)}); copy it again, or {REMEDY}"
        ) from error
    if path.suffix not in SUFFIXES:
        notes.append(f"{path.name} was taken for what it holds, whatever its suffix")
    return content, notes


def writable(path: Path) -> Path:
    """The path, if a file of one of the `SUFFIXES` can stand there.

    Raises:
        ValueError: for another suffix, or a folder.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file, as {path / 'model.pt'}")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: the suffix must be one of {', '.join(SUFFIXES)}")
    return path


def write_content(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a dict of arrays (for torch.save: of dicts of them), whole or not at all."""
    with replacing(writable(path)) as beside:
        if path.suffix == ".safetensors":
            save_file(dict(content), beside)
        elif path.suffix == ".npz":
            with beside.open("wb") as file:
                np.savez(file, **content)
        else:
            pickles.save(beside, content)


def _size(path: Path) -> int:
    """The size of a file that can be read at all."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise TorchFileError(f"{path} is a folder; name the file with the weights")
    if not stat.S_ISREG(status.st_mode):
        raise TorchFileError(f"{path} is no ordinary file; name the file with the weights")
    if status.st_size == 0:
        raise TorchFileError(f"{path} is empty; copy it again, or {REMEDY}")
    _check_total(path, status.st_size)
    return status.st_size


def _check_total(path: Path, total: int) -> None:
    if total > _MOST_BYTES:
        raise TorchFileError(
            f"{path} holds {total / 1e9:,.1f} GB; the weights of no network here, with Adam's "
            f"moments, need more than {_MOST_BYTES / 1e9:.1f} GB"
        )


def _read(path: Path, size: int, head: bytes) -> tuple[dict[Any, Any], list[str]]:
    # First, since a .safetensors file begins with its header's length: any eight bytes.
    if head[8:9] == b"{" or path.suffix == ".safetensors":
        return _read_safetensors(path, size), []
    if head.startswith(b"PK"):
        return _read_zip(path, size)
    if head.startswith(b"\x80"):
        return pickles.load(path)
    raise TorchFileError(f"{path} is {_other(head)}, not PyTorch weights; {REMEDY}")


def _other(head: bytes) -> str:
    if head[257:262] == b"ustar":
        return "a tar archive (unpack it)"
    known = (what for start, what in _OTHERS.items() if head.startswith(start))
    return next(known, f"a file that begins with {head[:8]!r}")


def _reason(error: BaseException) -> str:
    """The telling line of an error's text; PyTorch puts a long one around it."""
    text = str(error)
    if found := re.search(r"WeightsUnpickler error: (.*)", text):
        text = found[1]
    line = text.strip().partition("\n")[0][:150].rstrip(". ")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _read_zip(path: Path, size: int) -> tuple[dict[Any, Any], list[str]]:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        _check_total(path, total)
        if total > max(_SMALL, _MOST_EXPANSION * size):
            raise TorchFileError(
                f"{path} would unpack from {size:,} to {total:,} bytes, as no weights do; {REMEDY}"
            )
        names = [member.filename for member in members]
        if any(name.split("/")[-1] == "constants.pkl" for name in names):
            raise TorchFileError(
                f"{path} is a TorchScript archive, which holds a program; in PyTorch, save its "
                f"weights with torch.save({{'model': torch.jit.load(path).state_dict()}}, path)"
            )
        if any(name.split("/")[-1] == "data.pkl" for name in names):
            _check_sums(path, archive)
            return pickles.load(path)
        if names and all(name.endswith(".npy") for name in names):
            return {m.filename[:-4]: _read_npy(path, archive, m) for m in members}, []
    found = ", ".join(sorted(names)[:5]) or "nothing"
    raise TorchFileError(f"{path} is a zip archive of something else ({found}); {REMEDY}")


def _check_sums(path: Path, archive: zipfile.ZipFile) -> None:
    """Compares the checksums, which torch.load does not; 0 stands where torch.save wrote none."""
    for member in archive.infolist():
        if member.CRC:
            with archive.open(member) as file:
                while file.read(1 << 20):
                    pass


def _read_npy(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One array; its header is compared with the member's size before anything is made of it."""
    name = member.filename[:-4]
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read_header(file)
        if dtype.hasobject:
            raise TorchFileError(f"{path}: {name} holds Python objects, which are never loaded")
        if math.prod(shape) * dtype.itemsize != member.file_size - file.tell():
            raise TorchFileError(f"{path}: {name} is damaged: not as many bytes as its shape needs")
        array = np.frombuffer(file.read(), dtype).reshape(shape, order="F" if fortran else "C")
        return array.astype(dtype.newbyteorder("="), copy=False)


def _read_safetensors(path: Path, size: int) -> dict[str, np.ndarray]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > size - 8:
            raise TorchFileError(
                f"{path} is not a whole .safetensors file: its header claims {length:,} bytes, the "
                f"file has {size:,}; copy it again"
            )
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if (kind := entry["dtype"]) not in _DTYPES:
            raise TorchFileError(f"{path}: {name} is {kind}; save floating-point weights")
    entries = dict(safetensors.deserialize(path.read_bytes()))  # in no order
    return {
        name: np.frombuffer(entries[name]["data"], _DTYPES[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
    }
