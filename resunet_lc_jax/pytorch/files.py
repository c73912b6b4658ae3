"""Files that hold PyTorch weights: .pt and .pth (torch.save), .safetensors, .npz.

Only .pt and .pth files need PyTorch, only .safetensors files safetensors (the extra 'torch');
each is imported when such a file is met. What the weights mean here is in `torch_weights`.
"""

import dataclasses
import importlib
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from resunet_lc_jax.pytorch.names import is_parameter

StateDict = Mapping[str, np.ndarray]

_MODEL_KEYS = ("model", "state_dict", "model_state_dict")
_OPTIMIZER_KEYS = ("optimizer", "optimizer_state_dict")
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclasses.dataclass(frozen=True)
class AdamState:
    """torch.optim.Adam's moments by parameter name, after `step` updates."""

    exp_avg: StateDict
    exp_avg_sq: StateDict
    step: int
    learning_rate: float = 1e-3


@dataclasses.dataclass(frozen=True)
class TorchCheckpoint:
    """What a checkpoint holds; notes: sentences on what was changed or left out in reading."""

    state_dict: StateDict
    optimizer: AdamState | None = None
    step: int | None = None
    epoch: int | None = None
    notes: tuple[str, ...] = ()


def read_checkpoint(path: str | Path) -> TorchCheckpoint:
    """Reads a state_dict, with the optimiser's state, step and epoch where they are there.

    A .pt or .pth file holds a state_dict or a dict with one as 'model', 'state_dict' or
    'model_state_dict', and 'optimizer' or 'optimizer_state_dict', 'step', 'epoch'. The other
    kinds hold arrays by name, and the rest as `write_checkpoint` writes it.

    Raises:
        ValueError: for another kind of file or content.
        ImportError: where the extra 'torch' is needed and not installed.
        OSError: where there is no such file.
    """
    path = Path(path)
    if _kind(path) == "torch":
        content = _load_torch(path)
    elif _kind(path) == "safetensors":
        content = _nested(_needed("safetensors.numpy", path).load_file(path))
    else:
        with np.load(path) as arrays:
            content = _nested(dict(arrays))

    given = next((content[k] for k in _MODEL_KEYS if isinstance(content.get(k), Mapping)), content)
    if not given or not all(hasattr(value, "shape") for value in given.values()):
        found = ", ".join(str(key) for key in list(content)[:10]) or "nothing"
        raise ValueError(
            f"{path}: no state_dict, bare or as {' or '.join(map(repr, _MODEL_KEYS))}; there is "
            f"{found}. Save with torch.save({{'model': model.state_dict()}}, path)"
        )
    state_dict, notes = {name: _array(value) for name, value in given.items()}, []
    if all(name.startswith("module.") for name in state_dict):
        state_dict = {name.removeprefix("module."): v for name, v in state_dict.items()}
        notes.append("DataParallel's prefix 'module.' was taken off every name")

    optimizer = next((content[k] for k in _OPTIMIZER_KEYS if content.get(k) is not None), None)
    if optimizer is not None and not isinstance(optimizer, AdamState):
        optimizer = _adam_by_name(optimizer, state_dict)
        if optimizer is None:
            notes.append("the optimiser's state was left out: not one Adam over all parameters")
    step, epoch = (None if content.get(k) is None else int(content[k]) for k in ("step", "epoch"))
    return TorchCheckpoint(state_dict, optimizer, step, epoch, tuple(notes))


def write_checkpoint(path: str | Path, checkpoint: TorchCheckpoint) -> None:
    """Writes a checkpoint in the form that the path's suffix names; whole or not at all.

    A .pt or .pth file is a dict of 'model' and, where known, 'optimizer' (loadable into a
    torch.optim.Adam over the model's parameters), 'step', 'epoch'. The other kinds hold the
    state_dict's arrays by name and the rest under 'optimizer/', 'step', 'epoch'.

    Raises:
        ValueError: for another suffix.
        ImportError: where the extra 'torch' is needed and not installed.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.part")
    try:
        if _kind(path) == "torch":
            _needed("torch", path).save(_torch_content(checkpoint), beside)
        elif _kind(path) == "safetensors":
            _needed("safetensors.numpy", path).save_file(_flat(checkpoint), beside)
        else:
            with beside.open("wb") as file:
                np.savez(file, **_flat(checkpoint))
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _kind(path: Path) -> str:
    kinds = {".pt": "torch", ".pth": "torch", ".safetensors": "safetensors", ".npz": "npz"}
    if path.suffix not in kinds:
        raise ValueError(f"{path}: the suffix must be one of {', '.join(kinds)}")
    return kinds[path.suffix]


def _needed(module: str, path: Path) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(
            f"{path}: {path.suffix} files need {package}: pip install 'resunet_lc_jax[torch]'"
        ) from error


def _load_torch(path: Path) -> Mapping[str, Any]:
    torch = _needed("torch", path)
    remedy = "In PyTorch, save it anew with torch.save({'model': model.state_dict()}, path)"
    with path.open("rb") as file:
        if file.read(2) not in (b"PK", b"\x80\x02"):  # a zip archive, or a pickle as of old
            raise ValueError(f"{path}: not a file that torch.save wrote. {remedy}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path}: not a file of tensors alone ({reason}). {remedy}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: holds a {type(content).__name__}, not a dict with a state_dict")
    return content


def _array(tensor: Any) -> np.ndarray:
    if not isinstance(tensor, np.ndarray):
        # NumPy has no bfloat16; float32 holds each of its values.
        tensor = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    return np.array(tensor)


def _adam_by_name(optimizer: Mapping[str, Any], state_dict: StateDict) -> AdamState | None:
    """Adam's state by name from an optimiser's state_dict, or None where it is another's.

    PyTorch numbers the parameters in the model's order, which is also the state_dict's.
    """
    names = [name for name in state_dict if is_parameter(name)]
    groups, state = optimizer.get("param_groups", ()), optimizer.get("state", {})
    if len(groups) != 1 or len(groups[0]["params"]) != len(names):
        return None
    entries = [state.get(number, {}) for number in groups[0]["params"]]
    if any(not {"step", *_MOMENTS} <= set(entry) for entry in entries):
        return None
    exp_avg, exp_avg_sq = (
        {name: _array(entry[key]) for name, entry in zip(names, entries, strict=True)}
        for key in _MOMENTS
    )
    if any(exp_avg[name].shape != state_dict[name].shape for name in names):
        return None
    return AdamState(exp_avg, exp_avg_sq, int(entries[0]["step"]), float(groups[0]["lr"]))


def _torch_content(checkpoint: TorchCheckpoint) -> dict[str, Any]:
    import torch

    content: dict[str, Any] = {
        "model": {name: torch.tensor(array) for name, array in checkpoint.state_dict.items()},
        "step": checkpoint.step,
        "epoch": checkpoint.epoch,
    }
    if (adam := checkpoint.optimizer) is not None:
        names = [name for name in checkpoint.state_dict if is_parameter(name)]
        # An optimiser of the installed PyTorch knows which options its state_dict has.
        optimizer = torch.optim.Adam([content["model"][name] for name in names])
        optimizer_state = optimizer.state_dict()
        optimizer_state["param_groups"][0]["lr"] = adam.learning_rate
        optimizer_state["state"] = {
            number: {
                "step": torch.tensor(float(adam.step)),
                "exp_avg": torch.tensor(adam.exp_avg[name]),
                "exp_avg_sq": torch.tensor(adam.exp_avg_sq[name]),
            }
            for number, name in enumerate(names)
        }
        content["optimizer"] = optimizer_state
    return {key: value for key, value in content.items() if value is not None}


def _flat(checkpoint: TorchCheckpoint) -> dict[str, Any]:
    """All of a checkpoint as arrays by name."""
    arrays: dict[str, Any] = dict(checkpoint.state_dict)
    if (adam := checkpoint.optimizer) is not None:
        for key in _MOMENTS:
            for name, array in getattr(adam, key).items():
                arrays[f"optimizer/{key}/{name}"] = array
        arrays["optimizer/step"] = np.array(adam.step)
        arrays["optimizer/learning_rate"] = np.array(adam.learning_rate)
    for key in ("step", "epoch"):
        if (value := getattr(checkpoint, key)) is not None:
            arrays[key] = np.array(value)
    return arrays


def _nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The inverse of `_flat`, as the content of a .pt file."""
    content: dict[str, Any] = {key: arrays[key] for key in ("step", "epoch") if key in arrays}
    content["model"] = {
        name: array
        for name, array in arrays.items()
        if name not in content and not name.startswith("optimizer/")
    }
    if "optimizer/step" in arrays:
        exp_avg, exp_avg_sq = (
            {
                name.removeprefix(f"optimizer/{key}/"): array
                for name, array in arrays.items()
                if name.startswith(f"optimizer/{key}/")
            }
            for key in _MOMENTS
        )
        rate = float(arrays["optimizer/learning_rate"])
        content["optimizer"] = AdamState(exp_avg, exp_avg_sq, int(arrays["optimizer/step"]), rate)
    return content
