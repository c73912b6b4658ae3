"""Winograd's convolution along the leads: half of the multiplications of a 3 x kw kernel.

Four leads of output are a product of polynomials in disguise (Winograd 1980; F(4, 3) in Lavin and
Gray 2016): six combinations of six leads of input each go through a convolution along time alone,
and each output lead is a combination of the six results, 6 * kw products for 4 * 3 * kw. Twelve
leads are just three such tiles. The finite points 0, 1, -1, 1/2, -2 keep rounding within a few
times that of the direct form (Barabasz et al. 2020).
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from resunet_lc_jax.models import direct
from resunet_lc_jax.models.shapes import Kernel, Maps, NewMaps

TILE = 4  # leads of output
_Tiles = Float[Array, "B tiles T C"]  # of each tile one lead
_PARTS = TILE + 2  # combinations
# With V the Vandermonde matrix of the points (the last at infinity): the kernel's three rows are
# spread by _KERNEL, the six leads that a tile sees by _INPUT, the products gathered by _OUTPUT.
_KERNEL = np.array(
    [
        [1, 0, 0],
        [1 / 3, 1 / 3, 1 / 3],
        [-1 / 3, 1 / 3, -1 / 3],
        [-16 / 15, -8 / 15, -4 / 15],
        [1 / 15, -2 / 15, 4 / 15],
        [0, 0, 1],
    ]
)
_INPUT = np.array(
    [
        [1, -1.5, -2, 1.5, 1, 0],
        [0, -1, 0.5, 2.5, 1, 0],
        [0, 1, -2.5, 0.5, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 0.5, -1, -0.5, 1, 0],
        [0, 1, -1.5, -2, 1.5, 1],
    ]
)
_OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 0.5, -2, 0], [0, 1, 1, 0.25, 4, 0], [0, 1, -1, 0.125, -8, 1]]
)


def conv(x: Maps, kernel: Kernel, padding: tuple[int, int]) -> NewMaps:
    """The same as `direct.conv`, but for rounding.

    Args:
        x: [B, L, T, C], L a multiple of `TILE`.
        kernel: [3, kw, C, O].
        padding: zeros in front of and behind the time axis; along the leads there is one each.
    """
    pairs = zip(_spread(x), _spread_kernel(kernel), strict=True)
    products = [direct.conv(part, taps, padding) for part, taps in pairs]
    return _untile([_combine(row, products) for row in _OUTPUT])


def gradients(
    x: Maps, kernel: Kernel, cotangent: NewMaps, padding: tuple[int, int]
) -> tuple[Maps, Kernel]:
    """The gradients of x and the kernel, from that of `conv`'s result."""
    rows = _tiles(cotangent)
    products = [_combine(column, rows) for column in _OUTPUT.T]
    parts, kernels = [], []
    for part, taps, product in zip(_spread(x), _spread_kernel(kernel), products, strict=True):
        parts.append(direct.input_gradient(part, taps, product, padding))
        kernels.append(direct.kernel_gradient(part, product, taps.shape[:2], padding))

    before, *inside, behind = [_combine(column, parts) for column in _INPUT.T]
    inside[-1] += _shifted(before, -1)
    inside[0] += _shifted(behind, 1)
    kernel_gradient = jnp.tensordot(_as(_KERNEL.T, kernel), jnp.concatenate(kernels), axes=1)
    return _untile(inside), kernel_gradient


def _spread_kernel(kernel: Kernel) -> list[Float[Array, "1 kw C O"]]:
    """[3, kw, C, O] -> six of [1, kw, C, O]."""
    return jnp.split(jnp.tensordot(_as(_KERNEL, kernel), kernel, axes=1), _PARTS)


def _spread(x: Maps) -> list[_Tiles]:
    """[B, L, T, C] -> six of [B, L / 4, T, C]: a tile sees its leads and one on either side."""
    inside = _tiles(x)
    rows = [_shifted(inside[-1], 1), *inside, _shifted(inside[0], -1)]
    return [_combine(row, rows) for row in _INPUT]


def _tiles(x: Maps) -> list[_Tiles]:
    """[B, L, T, C] -> four of [B, L / 4, T, C]: the first leads of the tiles, the second ones .."""
    batch, leads, time, channels = x.shape
    tiles = x.reshape(batch, leads // TILE, TILE, time, channels)
    return [tiles[:, :, place] for place in range(TILE)]


def _untile(rows: Sequence[_Tiles]) -> Maps:
    batch, tiles, time, channels = rows[0].shape
    whole = jnp.stack(rows, axis=2).reshape(batch, tiles * TILE, time, channels)
    # XLA would make it twice, and keep both: for users that see leads and for those that see tiles.
    return lax.optimization_barrier(whole)


def _shifted(row: _Tiles, by: int) -> _Tiles:
    """One tile on (by = 1) or back (-1); zeros come in."""
    return lax.pad(row, jnp.zeros((), row.dtype), ((0, 0, 0), (by, -by, 0), (0, 0, 0), (0, 0, 0)))


def _combine(weights: np.ndarray, rows: Sequence[Float[Array, "*S"]]) -> Float[Array, "*S"]:
    terms = [
        row if weight == 1 else -row if weight == -1 else row * weight.astype(row.dtype)
        for weight, row in zip(weights, rows, strict=True)
        if weight
    ]
    return sum(terms[1:], terms[0])


def _as(matrix: np.ndarray, like: Array) -> Array:
    return jnp.asarray(matrix, like.dtype)
