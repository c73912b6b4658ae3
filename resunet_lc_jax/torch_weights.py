"""PyTorch state_dicts to this project's variables and back, exactly.

The parameters' tree follows the PyTorch names, so that a few rules suffice in place of tables.
Files are read and written in `torch_files`; this module needs no PyTorch.
"""

import re
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

Variables = Mapping[str, Any]
StateDict = Mapping[str, np.ndarray]

# Our dotted path -> PyTorch's name, one after the other.
_RENAMES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\b(encoders|decoders|convs|bns)_(\d+)\b", r"\1.\2"),
        (r"\b((?:encoders|decoders)\.\d+|bottleneck|shortcut)\.conv\.", r"\1.0."),
        (r"\b((?:encoders|decoders)\.\d+|bottleneck|shortcut)\.bn\.", r"\1.1."),
        (r"\bskip_connection\.", "skip_connection.1."),
        (r"\.in_proj\.", ".in_proj_"),
        (r"(?:kernel|scale)$", "weight"),
        (r"\b(mean|var)$", r"running_\1"),
    )
)
# PyTorch lists modules in the order of their definition, which its optimiser's indices follow.
_ORDER = (
    "inconv conv bn conv1 bn1 conv1_1 bn1_1 conv2 bn2 encoders decoders bottleneck convs bns conv3 "
    "bn3 layer1 layer2 attention conv_h conv_w shortcut skip_connection idfunc_1 rub rb resblock1d "
    "MyNet mha lc conv2_1 bn2_1 conv2_2 bn2_2 fuse_weight fc fc_1 lin ch_fc1 ch_bn ch_fc2 "
    "in_proj_weight in_proj_bias out_proj weight bias running_mean running_var num_batches_tracked"
).split()


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
    given = {_canonical(name, model_name): name for name in state_dict}
    leaves, tree = jax.tree_util.tree_flatten_with_path(template)
    wanted = {torch_name(path): (path, leaf) for path, leaf in leaves}
    _check(state_dict, given, wanted, model_name)
    arrays = [
        _from_torch(path, np.asarray(state_dict[given[name]])).astype(leaf.dtype)
        for name, (path, leaf) in wanted.items()
    ]
    return jax.tree_util.tree_unflatten(tree, arrays)


def to_state_dict(
    variables: Variables,
    *,
    num_batches_tracked: int | Mapping[str, int] = 0,
    head_name: str = "fc",
) -> dict[str, np.ndarray]:
    """The state_dict of a network, in PyTorch's order, loadable with strict=True.

    Args:
        variables: {'params', 'batch_stats'}; also any tree shaped like {'params'} alone.
        num_batches_tracked: BatchNorm's count of steps, the same for all layers or by the full
            PyTorch name (see `batches_tracked`).
        head_name: what the network's 'fc' is called: res2d_maxpool's is 'fc_1' in some files.

    Returns:
        Arrays by their PyTorch names.
    """
    leaves = jax.tree_util.tree_flatten_with_path(variables)[0]
    arrays = {torch_name(path): to_torch(path, np.asarray(leaf)) for path, leaf in leaves}
    for name in [name for name in arrays if name.endswith(".running_mean")]:
        name = name.removesuffix("running_mean") + "num_batches_tracked"
        count = num_batches_tracked
        arrays[name] = np.array(count if isinstance(count, int) else count[name], np.int64)
    ordered = {name: arrays[name] for name in sorted(arrays, key=_rank)}
    return {re.sub(r"^fc\.", f"{head_name}.", name): array for name, array in ordered.items()}


def batches_tracked(state_dict: StateDict) -> dict[str, int]:
    """The counts of steps that a state_dict's BatchNorm layers keep, by name."""
    return {
        name: int(array)
        for name, array in state_dict.items()
        if name.endswith(".num_batches_tracked")
    }


def head_name(state_dict: StateDict, model_name: str) -> str:
    """What a state_dict calls the last layer of `model_name`, for `to_state_dict`."""
    aliased = (name for name in state_dict if _canonical(name, model_name) != name)
    return next(aliased, "fc.").split(".")[0]


def torch_name(path: tuple[Any, ...]) -> str:
    """PyTorch's name of a leaf of the variables; path: as jax.tree_util gives it."""
    name = ".".join(entry.key for entry in path[1:])
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    return name


def to_torch(path: tuple[Any, ...], array: np.ndarray) -> np.ndarray:
    """A leaf of the variables in PyTorch's axis order."""
    return np.ascontiguousarray(array.transpose(_axes(path, array.ndim)))


def _from_torch(path: tuple[Any, ...], array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.transpose(np.argsort(_axes(path, array.ndim))))


def _axes(path: tuple[Any, ...], ndim: int) -> tuple[int, ...]:
    """Our axes in PyTorch's order: [*kernel, in, out] -> [out, in, *kernel]."""
    if ndim < 2:
        return tuple(range(ndim))
    inputs, outputs, kernel = ndim - 2, ndim - 1, tuple(range(ndim - 2))
    if any(entry.key.startswith("decoders_") for entry in path):  # transposed convolutions
        return (inputs, outputs, *kernel)
    return (outputs, inputs, *kernel)


def _canonical(name: str, model_name: str) -> str:
    # As published, res2d_maxpool defines fc_1 and calls fc; files have either.
    return re.sub(r"^fc_1\.", "fc.", name) if model_name == "res2d_maxpool" else name


def _rank(name: str) -> tuple[tuple[int, int], ...]:
    ranks = []
    for part in name.split("."):
        base, number = part, 0
        if part.isdigit():
            base, number = _ORDER[0], int(part)
        elif part not in _ORDER and (match := re.fullmatch(r"(\w+?)_?(\d+)", part)):
            base, number = match[1], int(match[2])
        ranks.append((_ORDER.index(base), number))
    return tuple(ranks)


def _check(
    state_dict: StateDict,
    given: Mapping[str, str],
    wanted: Mapping[str, tuple[Any, Any]],
    model_name: str,
) -> None:
    """Raises ValueError unless state_dict has exactly the wanted names and shapes."""
    lines = [f"missing: {name}" for name in wanted if name not in given]
    unexpected = [
        original
        for name, original in given.items()
        if name not in wanted and not name.endswith("num_batches_tracked")
    ]
    lines += [f"unexpected: {name}" for name in unexpected]
    misshaped = set()
    for name, (path, leaf) in wanted.items():
        axes = _axes(path, len(leaf.shape))
        expected = tuple(leaf.shape[axis] for axis in axes)
        if name in given and state_dict[given[name]].shape != expected:
            misshaped.add(name)
            found = state_dict[given[name]].shape
            lines.append(f"shape: {given[name]} is {found} in the file, {expected} here")
    if lines:
        heading = f"the PyTorch weights do not fit {model_name} as configured{_cause(misshaped)}:"
        raise ValueError("\n  ".join([heading, *lines]))


def _cause(misshaped: set[str]) -> str:
    """A likely reason for wrong shapes, from the layers that have them."""
    layers = {name.rpartition(".")[0] for name in misshaped}
    if not layers:
        return " (another network?)"
    if layers <= {"fc", "lin", "fc_1", "ch_fc1", "ch_fc2"}:
        return " (another number of classes?)"
    if layers == {"lc.conv2_2"}:
        return " (another signal length?)"
    if layers <= {"lc.conv2_1", "lc.conv2_2", "inconv.conv", "conv1", "conv", "fc_1"}:
        return " (another number of leads?)"
    return " (another width?)"
