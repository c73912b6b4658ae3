"""Folds what evaluation need not compute into the kernels: the same function, fewer passes.

BatchNorm with its running statistics is a factor and a shift of each channel: the factor goes into
the convolution before it, the shift becomes that convolution's bias. A 1x1 convolution that is
followed by another convolution, with nothing in between, becomes part of the other's kernel; zero
padding is no obstacle, as it maps zeros to zeros.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from resunet_lc_jax.models.layers import EPSILON
from resunet_lc_jax.models.network import Network

Path = tuple[str, ...]


def fold(
    model: Network, variables: dict[str, Any], *, length: int
) -> tuple[Network, dict[str, Any]]:
    """The network for evaluation alone, and its variables; a network without such layers stays.

    They give the same outputs for signals of this length but for rounding (1e-5 of the logits). In
    less than float32 they are the ones given: rounded, folded kernels would be others.
    """
    if jnp.dtype(model.numerics.dtype).itemsize < 4:
        return model, variables
    folded = model.clone(numerics=replace(model.numerics, folded=True))
    template = jax.eval_shape(
        folded.init,
        jax.random.key(0),
        jnp.zeros((1, model.num_leads, length)),
        jnp.ones((1, model.num_leads)),
    )
    given, wanted = traverse_util.flatten_dict(variables), traverse_util.flatten_dict(template)
    # The 1x1 kernels first: BatchNorm scales the product's output channels.
    found = {path: np.asarray(value, np.float64) for path, value in given.items()}
    for path in sorted(given.keys() - wanted.keys()):
        if path[-2:] == ("idfunc_1", "kernel"):
            follower = _next_kernel(path)
            found[follower] = np.einsum("ci,hwio->hwco", found[path][0, 0], found[follower])
    for path in wanted.keys() - given.keys():
        _fold_norm(found, path)
    dtypes = {path: leaf.dtype for path, leaf in wanted.items()}
    flat = {path: jnp.asarray(found[path], dtype) for path, dtype in dtypes.items()}
    return folded, traverse_util.unflatten_dict(flat)


def _next_kernel(path: Path) -> Path:
    """Of the convolution that takes what the 1x1 convolution at this path gives."""
    collection, block, *_ = path
    name, number = block.rsplit("_", 1)
    return (collection, f"{name}_{int(number) + 1}", "conv1", "kernel")


def _fold_norm(found: dict[Path, np.ndarray], bias: Path) -> None:
    """Folds the BatchNorm behind a convolution into its kernel and this new bias."""
    _, *module, conv, _ = bias
    norm = (*module, conv.replace("conv", "bn", 1))
    deviation = np.sqrt(found["batch_stats", *norm, "var"] + EPSILON)
    factor = found["params", *norm, "scale"] / deviation
    found[*bias[:-1], "kernel"] = found[*bias[:-1], "kernel"] * factor
    shift = found["batch_stats", *norm, "mean"] * factor
    found[bias] = found["params", *norm, "bias"] - shift
