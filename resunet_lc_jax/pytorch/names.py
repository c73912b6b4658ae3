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
# What PyTorch calls the numbers of a layer.
_LEAVES = {"in_proj_weight", "in_proj_bias", "weight", "bias"}
_LEAVES |= {"running_mean", "running_var", "num_batches_tracked"}
_LAYERS = set(_ORDER) - _LEAVES
# What torch.compile, DataParallel, FSDP and activation checkpointing put before a module's names.
_WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


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
        base, number = _numbered(part)
        ranks.append((_ORDER.index(base or _ORDER[0]), number))
    return tuple(ranks)


def _numbered(part: str) -> tuple[str, int]:
    """A part of a name without its number, and the number."""
    if part not in _ORDER and (match := re.fullmatch(r"(\w*?)_?(\d{1,9})", part)):
        return match[1], int(match[2])
    return part, 0


def split_wrappers(name: str) -> tuple[str, str] | None:
    """What wrappers put into a name ('model.module.'), and the name as the network has it.

    None for a name in which no layer of a network here occurs.
    """
    parts = name.split(".")
    start = next((n for n, part in enumerate(parts) if _numbered(part)[0] in _LAYERS), None)
    if start is None:
        return None
    taken = parts[:start] + [part for part in parts[start:] if part in _WRAPPERS]
    own = [part for part in parts[start:] if part not in _WRAPPERS]
    return "".join(f"{part}." for part in taken), ".".join(own)


def printable(text: str) -> str:
    """A text from a file as one line that is not too long."""
    text = "".join(c if c.isprintable() else "?" for c in text[:1000])
    return text + "..." if len(text) == 1000 else text


def is_parameter(name: str) -> bool:
    """Whether a state_dict's entry is a parameter, which an optimiser sees, or a buffer."""
    return name.rpartition(".")[2] not in ("running_mean", "running_var", "num_batches_tracked")


def canonical(name: str, model_name: str) -> str:
    """The name that we use, where files have another one for the same layer."""
    # As published, res2d_maxpool defines fc_1 and calls fc; files have either.
    return re.sub(r"^fc_1\.", "fc.", name) if model_name == "res2d_maxpool" else name
