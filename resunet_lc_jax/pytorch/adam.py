"""What an optimiser's state in a PyTorch file says, where it is one Adam's over the network."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jax.numpy import bfloat16

from resunet_lc_jax.pytorch import pickles
from resunet_lc_jax.pytorch.files import REMEDY, TorchFileError
from resunet_lc_jax.pytorch.names import is_parameter

StateDict = Mapping[str, np.ndarray]

TYPES = tuple(map(np.dtype, (np.float32, np.float64, np.float16, bfloat16)))
"""The types of weights and moments that are taken."""

MOMENTS = ("exp_avg", "exp_avg_sq")

LAST_STEP = 2**31 - 1
"""A run counts its steps in 32 bits."""

# What Adam is set to here; a group of another optimiser lacks one of these.
_ADAM = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0, "amsgrad": False, "maximize": False}


@dataclasses.dataclass(frozen=True)
class AdamState:
    """torch.optim.Adam's moments by parameter name, after `step` updates."""

    exp_avg: StateDict
    exp_avg_sq: StateDict
    step: int
    learning_rate: float = 1e-3


class NotAdam(Exception):
    """Why an optimiser's state does not go on here."""


def read_adam(path: Path, optimizer: Any, state_dict: StateDict, notes: list[str]) -> AdamState:
    """Adam's state by parameter name.

    Raises:
        TorchFileError: for a step that no Adam takes.
        NotAdam: where it is another optimiser's, or does not belong to these weights.
    """
    if isinstance(optimizer, Sequence) and len(optimizer) == 1:  # Lightning keeps a list
        optimizer = optimizer[0]
    names = [name for name in state_dict if is_parameter(name)]
    if not isinstance(optimizer, Mapping) or not names:
        raise NotAdam("it is not one optimiser's")
    if set(optimizer) <= {*MOMENTS, "step", "learning_rate"}:  # this project's, by name
        rate, steps = optimizer.get("learning_rate"), [optimizer.get("step")]
        moments = [optimizer.get(key, {}) for key in MOMENTS]
    else:
        group, entries = _numbered(optimizer, len(names))
        rate, steps = group["lr"], [entry["step"] for entry in entries]
        moments = [
            {name: entry[key] for name, entry in zip(names, entries, strict=True)}
            for key in MOMENTS
        ]
        found = {key: _setting(group.get(key, usual)) for key, usual in _ADAM.items()}
        other = {key: value for key, value in found.items() if value != _ADAM[key]}
        if other:
            settings = ", ".join(f"{key}={value}" for key, value in other.items())
            notes.append(f"Adam goes on here without the file's {settings}")
    if not all(isinstance(by_name, Mapping) for by_name in moments):
        raise NotAdam("its moments have no names")
    try:
        arrays = [{n: pickles.as_array(v) for n, v in by_name.items()} for by_name in moments]
    except ValueError as error:
        raise NotAdam(f"one of its moments is {error}") from error
    if any(set(by_name) != set(names) for by_name in arrays):
        raise NotAdam("it has moments for other parameters than the network's")
    for by_name in arrays:
        for name in names:
            if by_name[name].shape != state_dict[name].shape or by_name[name].dtype not in TYPES:
                raise NotAdam(f"its moments of {name} have another shape or type")
    counts = [_step(path, step) for step in steps]
    if len(set(counts)) != 1:
        raise NotAdam(f"its parameters stand at steps from {min(counts)} to {max(counts)}")
    if (learning_rate := _number(rate)) is None or not 0 <= learning_rate < math.inf:
        raise NotAdam(f"its learning rate is {learning_rate}")
    exp_avg, exp_avg_sq = arrays
    return AdamState(exp_avg, exp_avg_sq, counts[0], learning_rate)


def _step(path: Path, step: Any) -> int:
    if (count := whole_number(step)) is None or not 0 <= count <= LAST_STEP:
        raise TorchFileError(
            f"{path}: Adam's step is {_setting(step)}; a whole number from 0 to {LAST_STEP:,} is "
            f"wanted: {REMEDY}, without the optimiser"
        )
    return count


def _numbered(optimizer: Mapping[Any, Any], parameters: int) -> tuple[Mapping, list[Mapping]]:
    """Adam's group and its entries in the model's order, which is also the state_dict's."""
    groups, state = optimizer.get("param_groups"), optimizer.get("state")
    if not isinstance(groups, Sequence) or not isinstance(state, Mapping) or len(groups) != 1:
        raise NotAdam("not one group of parameters")
    group = groups[0]
    if not isinstance(group, Mapping) or not {"lr", "params", *_ADAM} - {"maximize"} <= set(group):
        raise NotAdam("not Adam's")
    numbers = group["params"]
    whole = isinstance(numbers, Sequence) and all(isinstance(number, int) for number in numbers)
    if not whole or len(numbers) != parameters:
        raise NotAdam(f"not one Adam over all {parameters} parameters")
    if group.get("maximize"):
        raise NotAdam("it maximises")
    entries = [state.get(number) for number in numbers]
    known = [e for e in entries if isinstance(e, Mapping) and {"step", *MOMENTS} <= set(e)]
    if len(known) < parameters:
        raise NotAdam(f"{parameters - len(known)} of {parameters} parameters have no moments")
    return group, known


def _number(value: Any) -> float | None:
    """A number, whether Python's, NumPy's or a tensor; None for anything else."""
    try:
        value = value.item() if hasattr(value, "item") else value
        return None if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None


def _setting(value: Any) -> Any:
    """An optimiser's setting as plain numbers, whatever held them."""
    if isinstance(value, tuple | list):
        return tuple(map(_setting, value))
    return value if isinstance(value, bool) else _number(value)


def whole_number(value: Any) -> int | None:
    """A whole number, or None."""
    number = _number(value)
    return int(number) if number is not None and number.is_integer() else None
