"""Exact, fast forms of the networks' convolutions, in the layout [B, L, T, C].

XLA has no fast path on CPUs for the kernel gradient of a strided or an input-dilated convolution.
Both have an exact equivalent of stride 1: neighbouring time steps become channels, which in this
layout is a reshape that moves no memory. Kernels keep their natural layout [kh, kw, in, out], so
weights still come and go unchanged. One-dimensional networks use L = 1.

Large layers have two forms, chosen by `Numerics.form`: XLA's own, and that for CPUs, Winograd's
along the leads where it applies, with kernel gradients in blocks that stay in the cache.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from resunet_lc_jax.models import direct, winograd
from resunet_lc_jax.models.numerics import Numerics
from resunet_lc_jax.models.shapes import Kernel, Maps, NewMaps

# Large enough for the form for CPUs: smaller layers would not win back the time to compile it.
_LARGE_POSITIONS = 12 * 64  # of an example
_LARGE_CHANNELS = 64


def conv(x: Maps, kernel: Kernel, numerics: Numerics, *, padding: int | None = None) -> NewMaps:
    """Convolution (correlation) of stride 1, zero-padded along both axes.

    Args:
        x: [B, L, T, C].
        kernel: [kh, kw, C, O], kh odd.
        numerics: precision and form.
        padding: zeros on either side of the time axis; None is kw // 2 ('same' for odd kw).
    """
    time = kernel.shape[1] // 2 if padding is None else padding
    return _stride1(x, kernel, (time, time), numerics)


def strided_conv(
    x: Maps, kernel: Kernel, numerics: Numerics, *, stride: int = 2, padding: int | None = None
) -> NewMaps:
    """Convolution with a stride along time, as a convolution of stride 1 over groups of samples.

    A group of `stride` samples becomes one time step with `stride * C` channels. The kernel gets
    zero taps in front, so that its first group starts on a group of samples, and at its end, so
    that it is a whole number of groups.

    Args:
        x: [B, L, T, C]; a T that `stride` does not divide gets zeros on the right.
        kernel: [kh, kw, C, O], kh odd.
        numerics: precision and form.
        stride: along time.
        padding: zeros on either side of the time axis; None is kw // 2.

    Returns:
        [B, L, (T + 2 * padding - kw) // stride + 1, O].
    """
    batch, leads, length, channels = x.shape
    height, width, _, features = kernel.shape
    padding = width // 2 if padding is None else padding
    steps = (length + 2 * padding - width) // stride + 1

    front = -padding % stride
    taps = -(-(front + width) // stride)
    kernel = jnp.pad(kernel, ((0, 0), (front, taps * stride - front - width), (0, 0), (0, 0)))
    kernel = kernel.reshape(height, taps, stride * channels, features)

    x = jnp.pad(x, ((0, 0), (0, 0), (0, -length % stride), (0, 0)))
    x = x.reshape(batch, leads, -1, stride * channels)
    left = (padding + front) // stride
    right = steps + taps - 1 - left - x.shape[2]
    return _stride1(x, kernel, (left, right), numerics)


def transposed_conv(x: Maps, kernel: Kernel, numerics: Numerics) -> NewMaps:
    """Transposed convolution that doubles the length, as one convolution and a reshape.

    The same as PyTorch's ConvTranspose2d with stride (1, 2), padding (kh // 2, kw // 2) and
    output_padding (0, 1): even output samples see every second tap of the reversed kernel, from
    the first, and odd ones the others.

    Args:
        x: [B, L, T, C].
        kernel: [kh, kw, C, O], kh odd, kw one of 1, 5, 9, ...; not reversed.
        numerics: precision and form.

    Returns:
        [B, L, 2 * T, O].
    """
    batch, leads, length, _ = x.shape
    height, width, channels, features = kernel.shape
    if width % 4 != 1:
        raise ValueError(f"transposed_conv takes kernels 1, 5, 9, ... wide, not {width}")
    kernel = kernel[::-1, ::-1]
    even = kernel[:, 0::2]
    odd = jnp.pad(kernel[:, 1::2], ((0, 0), (1, 0), (0, 0), (0, 0)))
    both = jnp.stack([even, odd], axis=3).reshape(height, -1, channels, 2 * features)
    y = conv(x, both, numerics)
    return y.reshape(batch, leads, 2 * length, features)


def average_pool(x: Maps) -> Float[Array, "B L t C"]:
    """Mean of each pair of samples: [B, L, T, C] -> [B, L, T // 2, C] (an odd last one is lost)."""
    batch, leads, length, channels = x.shape
    pairs = x[:, :, : length // 2 * 2].reshape(batch, leads, length // 2, 2, channels)
    return pairs.mean(axis=3)


def _stride1(x: Maps, kernel: Kernel, padding: tuple[int, int], numerics: Numerics) -> NewMaps:
    if kernel.shape[:2] == (1, 1) and padding == (0, 0):
        return jnp.matmul(x, kernel[0, 0], precision=numerics.precision)
    if numerics.form == "plain":
        return direct.conv(*_in_order(x, kernel), padding, numerics.precision)
    large = x.shape[1] * x.shape[2] >= _LARGE_POSITIONS and min(kernel.shape[2:]) >= _LARGE_CHANNELS
    if large:
        return _conv_for_cpus(x, kernel, padding, numerics.precision)
    return direct.conv(x, kernel, padding, numerics.precision)


@jax.custom_vjp
def _in_order(x: Maps, kernel: Kernel) -> tuple[Maps, Kernel]:
    """Both as they are; in the backward pass the gradient of x waits for the kernel's.

    Only the optimiser needs a kernel's gradient. Left to itself, XLA computes those of a program
    for several GPUs last, and keeps until then what they are computed from.
    """
    return x, kernel


def _in_order_forward(x: Any, kernel: Any) -> tuple[tuple[Array, Array], tuple[()] | None]:
    waits = x.perturbed and kernel.perturbed  # the first layer's x has no gradient
    return (x.value, kernel.value), () if waits else None


def _in_order_backward(
    waits: tuple[()] | None, gradients: tuple[Array, Array]
) -> tuple[Array, Array]:
    return gradients if waits is None else lax.optimization_barrier(gradients)


_in_order.defvjp(_in_order_forward, _in_order_backward, symbolic_zeros=True)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv_for_cpus(
    x: Array, kernel: Array, padding: tuple[int, int], precision: lax.PrecisionLike
) -> Array:
    if _has_winograd(x, kernel, precision):
        return winograd.conv(x, kernel, padding)
    return direct.conv(x, kernel, padding, precision)


def _conv_for_cpus_forward(
    x: Array, kernel: Array, padding: tuple[int, int], precision: lax.PrecisionLike
) -> tuple[Array, tuple[Array, Array]]:
    return _conv_for_cpus(x, kernel, padding, precision), (x, kernel)


def _conv_for_cpus_backward(
    padding: tuple[int, int],
    precision: lax.PrecisionLike,
    residuals: tuple[Array, Array],
    cotangent: Array,
) -> tuple[Array, Array]:
    x, kernel = residuals
    if _has_winograd(x, kernel, precision):
        return winograd.gradients(x, kernel, cotangent, padding)
    return direct.gradients(x, kernel, cotangent, padding, precision)


_conv_for_cpus.defvjp(_conv_for_cpus_forward, _conv_for_cpus_backward)


def _has_winograd(x: Array, kernel: Array, precision: lax.PrecisionLike) -> bool:
    """Whether Winograd's form applies, and its rounding is not ruled out."""
    fits = kernel.shape[0] == 3 and x.shape[1] % winograd.TILE == 0 and x.dtype.itemsize >= 4
    return fits and precision in (None, lax.Precision.DEFAULT)
