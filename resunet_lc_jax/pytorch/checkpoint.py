"""What a PyTorch checkpoint says: the network's weights, Adam's state, step and epoch."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from resunet_lc_jax.pytorch import pickles
from resunet_lc_jax.pytorch.adam import (
    MOMENTS,
    TYPES,
    AdamState,
    NotAdam,
    StateDict,
    read_adam,
    whole_number,
)
from resunet_lc_jax.pytorch.files import (
    REMEDY,
    TorchFileError,
    read_content,
    writable,
    write_content,
)
from resunet_lc_jax.pytorch.names import is_parameter, printable, split_wrappers

_MODEL_KEYS = ("model", "state_dict", "model_state_dict")
_OPTIMIZER_KEYS = ("optimizer", "optimizer_state_dict", "optimizer_states")


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

    A file of torch.save holds a state_dict, or a dict with one as 'model', 'state_dict' or
    'model_state_dict', and 'optimizer', 'optimizer_state_dict' or 'optimizer_states', 'step',
    'epoch'. The other kinds hold arrays by name, and the rest as `write_checkpoint` writes it.

    Raises:
        TorchFileError: for another kind of file or content; one sentence with the file's name.
        ImportError: where PyTorch is needed and not installed.
        OSError: where there is no such file.
    """
    path = Path(path)
    content, notes = read_content(path)
    if all(isinstance(value, np.ndarray) for value in content.values()):
        content = _nested(content)
    given = next((content[k] for k in _MODEL_KEYS if isinstance(content.get(k), Mapping)), content)
    if not any(pickles.is_tensor(value) for value in given.values()):
        found = ", ".join(str(key)[:50] for key in list(given)[:10]) or "nothing"
        raise TorchFileError(
            f"{path} has no state_dict, bare or as {' or '.join(map(repr, _MODEL_KEYS))}; there is "
            f"{found}: {REMEDY}"
        )
    tensors = _unwrapped(path, given, notes)
    state_dict = {name: _weight(path, name, value) for name, value in tensors.items()}
    if types := sorted({str(v.dtype) for v in state_dict.values()} - {"float32", "int64"}):
        notes.append(f"there are weights of {', '.join(types)}; a run keeps float32")

    adam = None
    optimizer = next((content[k] for k in _OPTIMIZER_KEYS if content.get(k) is not None), None)
    if optimizer is not None:
        try:
            adam = read_adam(path, optimizer, state_dict, notes)
        except NotAdam as reason:
            notes.append(f"the optimiser's state was left out: {reason}")
    step, epoch = (whole_number(content.get(key)) for key in ("step", "epoch"))
    return TorchCheckpoint(state_dict, adam, step, epoch, tuple(map(printable, notes)))


def write_checkpoint(path: str | Path, checkpoint: TorchCheckpoint) -> None:
    """Writes a checkpoint in the form that the path's suffix names; whole or not at all.

    A .pt or .pth file is a dict of 'model' and, where known, 'optimizer' (loadable into a
    torch.optim.Adam over the model's parameters), 'step', 'epoch'. The other kinds hold the
    state_dict's arrays by name and the rest under 'optimizer/', 'step', 'epoch'.

    Raises:
        ValueError: for another suffix, or a folder.
        ImportError: where PyTorch is needed and not installed.
    """
    path = writable(Path(path))
    adam = checkpoint.optimizer
    counts = {key: getattr(checkpoint, key) for key in ("step", "epoch")}
    counts = {key: value for key, value in counts.items() if value is not None}
    if path.suffix in (".pt", ".pth"):
        content: dict[str, Any] = {"model": checkpoint.state_dict, **counts}
        if adam is not None:
            names = [name for name in checkpoint.state_dict if is_parameter(name)]
            content["optimizer"] = {
                "state": {
                    number: {
                        "step": np.array(adam.step, np.float32),
                        "exp_avg": adam.exp_avg[name],
                        "exp_avg_sq": adam.exp_avg_sq[name],
                    }
                    for number, name in enumerate(names)
                },
                "param_groups": [pickles.adam_group(path, len(names), adam.learning_rate)],
            }
    else:
        content = dict(checkpoint.state_dict)
        if adam is not None:
            for key in MOMENTS:
                moments = getattr(adam, key).items()
                content |= {f"optimizer/{key}/{name}": array for name, array in moments}
            content["optimizer/step"] = np.array(adam.step)
            content["optimizer/learning_rate"] = np.array(adam.learning_rate)
        content |= {key: np.array(value) for key, value in counts.items()}
    write_content(path, content)


def _nested(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Arrays by name, as `write_checkpoint` flattens them, in a .pt file's form."""
    content: dict[str, Any] = {key: arrays[key] for key in ("step", "epoch") if key in arrays}
    optimizer: dict[str, Any] = {}
    model = content["model"] = {}
    for name, array in arrays.items():
        parts = name.split("/")
        if parts[0] == "optimizer" and len(parts) == 3:
            optimizer.setdefault(parts[1], {})[parts[2]] = array
        elif parts[0] == "optimizer" and len(parts) == 2:
            optimizer[parts[1]] = array
        elif name not in content:
            model[name] = array
    return content | ({"optimizer": optimizer} if optimizer else {})


def _unwrapped(path: Path, given: Mapping[Any, Any], notes: list[str]) -> dict[str, Any]:
    """The network's own entries by their own names, without what wrappers put before them."""
    if odd := [name for name in given if not isinstance(name, str)]:
        raise TorchFileError(f"{path}: a state_dict's names are strings, not {odd[0]!r}; {REMEDY}")
    split = {name: split_wrappers(name) for name in given}
    wrappers = sorted({found[0] for found in split.values() if found is not None})
    own = {name: found[1] for name, found in split.items() if found is not None}
    if repeated := [name for name, times in Counter(own.values()).items() if times > 1]:
        places = [name for name, rest in own.items() if rest == repeated[0]]
        raise TorchFileError(
            f"{path} holds several networks ({' and '.join(places)}); save the one that is meant"
        )
    if not any(wrappers):
        return dict(given)
    notes.append(f"taken off the names of the weights: {', '.join(filter(None, wrappers))}")
    if rest := [name for name in given if name not in own]:
        notes.append(f"left out, beside the network: {', '.join(rest[:5])}")
    return {rest: given[name] for name, rest in own.items()}


def _weight(path: Path, name: str, value: Any) -> np.ndarray:
    """An entry of a state_dict as an array of a type that is taken, without a copy."""
    try:
        array = pickles.as_array(value)
        if name.endswith("num_batches_tracked"):
            if (count := whole_number(array)) is None or not 0 <= count < 2**63:
                raise ValueError("no count of steps")
            return np.array(count, np.int64)
        if array.dtype not in TYPES:
            raise ValueError(str(array.dtype))
    except ValueError as error:
        raise TorchFileError(
            f"{path}: {name} is {error}; weights are {', '.join(map(str, TYPES))}, so {REMEDY}"
        ) from error
    return array
