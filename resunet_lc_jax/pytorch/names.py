"""What PyTorch calls each variable, in which axis order, and in which sequence it lists them.

The parameters' tree follows the PyTorch names, so that a few rules suffice in place of tables.
"""

import re
from typing import Any

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


def torch_name(path: tuple[Any, ...]) -> str:
    """PyTorch's name of a leaf; path: as jax.tree_util gives it, from the collection on."""
    name = ".".join(entry.key for entry in path[1:])
    for pattern, replacement in _RENAMES:
        name = pattern.sub(replacement, name)
    return name


def torch_axes(path: tuple[Any, ...], ndim: int) -> tuple[int, ...]:
    """Our axes in PyTorch's order: [*kernel, in, out] -> [out, in, *kernel]."""
    if ndim < 2:
        return tuple(range(ndim))
    inputs, outputs, kernel = ndim - 2, ndim - 1, tuple(range(ndim - 2))
    if any(entry.key.startswith("decoders_") for entry in path):  # transposed convolutions
        return (inputs, outputs, *kernel)
    return (outputs, inputs, *kernel)


def torch_rank(name: str) -> tuple[tuple[int, int], ...]:
    """A key that sorts PyTorch names as a state_dict lists them."""
    ranks = []
    for part in name.split("."):
        base, number = part, 0
        if part.isdigit():
            base, number = _ORDER[0], int(part)
        elif part not in _ORDER and (match := re.fullmatch(r"(\w+?)_?(\d+)", part)):
            base, number = match[1], int(match[2])
        ranks.append((_ORDER.index(base), number))
    return tuple(ranks)


def is_parameter(name: str) -> bool:
    """Whether a state_dict's entry is a parameter, which an optimiser sees, or a buffer."""
    return name.rpartition(".")[2] not in ("running_mean", "running_var", "num_batches_tracked")


def canonical(name: str, model_name: str) -> str:
    """The name that we use, where files have another one for the same layer."""
    # As published, res2d_maxpool defines fc_1 and calls fc; files have either.
    return re.sub(r"^fc_1\.", "fc.", name) if model_name == "res2d_maxpool" else name


def likely_cause(misshaped: set[str]) -> str:
    """A likely reason, in words, why exactly these names have other shapes."""
    layers = {name.rpartition(".")[0] for name in misshaped}
    if not layers:
        return "another network"
    if misshaped in ({"lc.conv2_2.weight"}, {"lin.weight"}):
        return "another signal length"
    if layers <= {"fc", "lin", "fc_1", "ch_fc1", "ch_fc2"}:
        return "another number of classes"
    if layers <= {"lc.conv2_1", "lc.conv2_2", "inconv.conv", "conv1", "conv", "fc_1"}:
        return "another number of leads"
    return "another width"
