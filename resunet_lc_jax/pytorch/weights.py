"""PyTorch checkpoints to this project's variables and back, exactly.

Files are read and written in `torch_files`, names and axes are known in `torch_names`.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from resunet_lc_jax.pytorch.files import (
    AdamState,
    StateDict,
    TorchCheckpoint,
    read_checkpoint,
    write_checkpoint,
)
from resunet_lc_jax.pytorch.names import canonical, likely_cause, torch_axes, torch_name, torch_rank

__all__ = [
    "AdamState",
    "TorchCheckpoint",
    "batches_tracked",
    "from_moments",
    "head_name_of",
    "read_checkpoint",
    "to_moments",
    "to_state_dict",
    "to_variables",
    "write_checkpoint",
]

Variables = Mapping[str, Any]


def to_variables(state_dict: StateDict, template: Variables, model_name: str) -> dict[str, Any]:
    """Variables of a network from a PyTorch state_dict.

    Args:
        state_dict: arrays by their PyTorch names; 'num_batches_tracked' is left out.
        template: {'params', 'batch_stats'} of the network (arrays or ShapeDtypeStructs): the
            structure, shapes and dtypes of the result.
        model_name: the network's name, for its aliases and for errors.

    Returns:
        Variables like the template, as NumPy arrays.

    Raises:
        ValueError: listing every missing, unexpected and misshaped name.
    """
    given = {canonical(name, model_name): array for name, array in state_dict.items()}
    leaves, tree = jax.tree_util.tree_flatten_with_path(template)
    wanted = {torch_name(path): (path, leaf) for path, leaf in leaves}
    lines = [f"missing: {name}" for name in wanted if name not in given]
    lines += [
        f"unexpected: {name}"
        for name in given
        if name not in wanted and not name.endswith("num_batches_tracked")
    ]
    arrays, misshaped = [], set()
    for name in wanted.keys() & given.keys():
        path, leaf = wanted[name]
        expected = tuple(leaf.shape[axis] for axis in torch_axes(path, len(leaf.shape)))
        if np.shape(given[name]) != expected:
            misshaped.add(name)
            lines.append(f"shape: {name} is {np.shape(given[name])} there, {expected} here")
    if lines:
        heading = f"the PyTorch weights do not fit {model_name} as configured"
        raise ValueError("\n  ".join([f"{heading} ({likely_cause(misshaped)}?):", *sorted(lines)]))
    for name, (path, leaf) in wanted.items():
        axes = np.argsort(torch_axes(path, len(leaf.shape)))
        arrays.append(np.ascontiguousarray(given[name].transpose(axes), leaf.dtype))
    return jax.tree_util.tree_unflatten(tree, arrays)


def to_state_dict(
    variables: Variables,
    *,
    num_batches_tracked: int | Mapping[str, int] = 0,
    head_name: str = "fc",
) -> dict[str, np.ndarray]:
    """The state_dict of a network, in PyTorch's order, loadable with strict=True.

    Args:
        variables: {'params', 'batch_stats'}, or {'params'} alone (also of gradients, moments).
        num_batches_tracked: BatchNorm's count of steps, the same for all layers or by the full
            PyTorch name (see `batches_tracked`).
        head_name: what the layer 'fc' is to be called (see `head_name_of`).

    Returns:
        Arrays by their PyTorch names.
    """
    arrays = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(variables)[0]:
        axes = torch_axes(path, np.ndim(leaf))
        arrays[torch_name(path)] = np.ascontiguousarray(np.asarray(leaf).transpose(axes))
    for name in [name for name in arrays if name.endswith(".running_mean")]:
        name = name.removesuffix("running_mean") + "num_batches_tracked"
        count = num_batches_tracked
        arrays[name] = np.array(count if isinstance(count, int) else count[name], np.int64)
    ordered = {name: arrays[name] for name in sorted(arrays, key=torch_rank)}
    return {re.sub(r"^fc\.", f"{head_name}.", name): array for name, array in ordered.items()}


def batches_tracked(state_dict: StateDict) -> dict[str, int]:
    """The counts of steps that a state_dict's BatchNorm layers keep, by name."""
    names = [name for name in state_dict if name.endswith(".num_batches_tracked")]
    return {name: int(state_dict[name]) for name in names}


def head_name_of(state_dict: StateDict, model_name: str) -> str:
    """What a state_dict calls the layer 'fc': res2d_maxpool's is 'fc_1' in some files."""
    aliased = (name for name in state_dict if canonical(name, model_name) != name)
    return next(aliased, "fc.").split(".")[0]


def to_moments(adam: AdamState, params: Variables, model_name: str) -> tuple[Any, Any, int]:
    """optax.adam's (mu, nu, count) from PyTorch's state; params: the network's, as template."""
    mu, nu = (
        to_variables(moments, {"params": params}, model_name)["params"]
        for moments in (adam.exp_avg, adam.exp_avg_sq)
    )
    return mu, nu, adam.step


def from_moments(
    mu: Variables, nu: Variables, count: int, *, learning_rate: float, head_name: str = "fc"
) -> AdamState:
    """PyTorch's state from optax.adam's mu, nu (trees like params) and count."""
    exp_avg, exp_avg_sq = (
        to_state_dict({"params": moments}, head_name=head_name) for moments in (mu, nu)
    )
    return AdamState(exp_avg, exp_avg_sq, int(count), learning_rate)
