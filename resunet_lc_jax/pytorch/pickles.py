"""What torch.save wrote, read without running anything in it, and written; needs PyTorch.

PyTorch is imported when such a file is met.
"""

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from jax.numpy import bfloat16

# Earlier releases run code of some files in spite of weights_only=True (CVE-2025-32434).
_OLDEST = (2, 6)
_NUMPY_HAS = ("float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool")


class LeftOut:
    """Stands where a file has an object of a class that PyTorch does not vouch for."""

    def __new__(cls, *arguments: Any) -> "LeftOut":
        """Takes whatever its original took."""
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Forgets what its original would have been."""


def _left_out(name: str) -> type[LeftOut]:
    """A stand-in for what has this name, which PyTorch looks up by module and class."""
    module, _, kind = name.rpartition(".")
    return type(kind, (LeftOut,), {"__module__": module})


def load(path: Path) -> tuple[dict[Any, Any], list[str]]:
    """The dict in a file of torch.save, tensors included, and notes on what was left out.

    Raises:
        ValueError: for a file that holds no dict; what PyTorch raises otherwise.
        ImportError: where PyTorch is not installed, or too old to be safe.
    """
    torch, notes = _torch(path), []
    try:
        unknown = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except ValueError:  # a file as PyTorch wrote it before 1.6
        unknown = []
    with torch.serialization.safe_globals([_left_out(name) for name in unknown]):
        content = torch.load(path, map_location="cpu", weights_only=True)
    if unknown:
        notes.append(f"left out, since only tensors are read: {', '.join(unknown[:5])}")
    if isinstance(content, LeftOut):
        raise ValueError(f"it holds an object of {', '.join(unknown[:3])}, not a dict of tensors")
    if not isinstance(content, Mapping):
        raise ValueError(f"it holds a {type(content).__name__}, not a dict of tensors")
    return dict(content), notes


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a dict with torch.save; the arrays anywhere in it become tensors.

    Raises:
        ImportError: where PyTorch is not installed, or too old.
    """
    torch = _torch(path)

    def tensors(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: tensors(entry) for key, entry in value.items()}
        return torch.tensor(value) if isinstance(value, np.ndarray) else value

    torch.save(tensors(content), path)


def adam_group(path: Path, parameters: int, learning_rate: float) -> dict[str, Any]:
    """Adam's group of parameters, with the options that the installed PyTorch's Adam has."""
    torch = _torch(path)
    adam = torch.optim.Adam([torch.zeros(()) for _ in range(parameters)], lr=learning_rate)
    return dict(adam.state_dict()["param_groups"][0])


def as_array(value: Any) -> np.ndarray:
    """An array of a tensor's own numbers, without a copy; arrays as they are.

    Raises:
        ValueError: for what has no floating-point or whole numbers; the message continues 'it is'.
    """
    if isinstance(value, np.ndarray):
        return value
    if not is_tensor(value):
        raise ValueError(f"a {type(value).__name__}, not a tensor")
    kind = str(value.dtype).removeprefix("torch.")
    if value.device.type != "cpu":
        raise ValueError(f"on the device {value.device.type!r}, where it has no values")
    if value.is_nested or "strided" not in str(value.layout):
        raise ValueError(f"a sparse or nested tensor ({str(value.layout).removeprefix('torch.')})")
    if value.is_quantized:
        raise ValueError(f"quantised ({kind})")
    value = value.detach()
    if kind == "bfloat16":  # NumPy's is ml_dtypes', of the same bits
        import torch

        return value.view(torch.int16).numpy().view(bfloat16)
    if kind not in _NUMPY_HAS:
        raise ValueError(kind)
    return np.asarray(value.numpy())


def is_tensor(value: Any) -> bool:
    """Whether a value of a file is a tensor or an array; PyTorch need not be there."""
    return isinstance(value, np.ndarray) or all(hasattr(value, a) for a in ("layout", "is_nested"))


def _torch(path: Path) -> ModuleType:
    remedy = "pip install 'resunet_lc_jax[torch]'"
    try:
        import torch
    except ImportError as error:
        raise ImportError(f"{path}: files of torch.save need PyTorch: {remedy}") from error
    found = torch.__version__
    if tuple(map(int, found.split(".")[:2])) < _OLDEST:
        raise ImportError(f"{path}: PyTorch {found} does not read files safely; {remedy} -U")
    return torch
