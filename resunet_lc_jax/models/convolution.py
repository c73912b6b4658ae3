"""Exact, fast forms of the networks' convolutions, in the layout [B, L, T, C].

XLA has no fast path on CPUs for the kernel gradient of a strided or an input-dilated convolution.
Both have an exact equivalent of stride 1: neighbouring time steps become channels, which in this
layout is a reshape that moves no memory. Kernels keep their natural layout [kh, kw, in, out], so
weights still come and go unchanged. One-dimensional networks use L = 1.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

_LAYOUT = ("NHWC", "HWIO", "NHWC")

# XLA's kernel gradient of a large layer falls out of a CPU's cache. Taken for 64 output channels
# and a thousand steps of 12 leads at a time it runs up to four times faster, nearly at a forward
# convolution's speed; each block costs compile time, which small layers would not win back.
_BLOCK_CHANNELS = 64
_BLOCK_POSITIONS = 12 * 1024
_LARGE_POSITIONS = 12 * 64  # of an example
_LARGE_CHANNELS = 64


def conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    padding: int | None = None,
    precision: lax.PrecisionLike = None,
) -> jax.Array:
    """Convolution (correlation) of stride 1, zero-padded along both axes.

    Args:
        x: [B, L, T, C].
        kernel: [kh, kw, C, O], kh odd.
        padding: zeros on either side of the time axis; None is kw // 2 ('same' for odd kw).
        precision: of the multiplications, as `jax.lax.Precision`.

    Returns:
        [B, L, T + 2 * padding - kw + 1, O].
    """
    time = kernel.shape[1] // 2 if padding is None else padding
    return _stride1(x, kernel, (time, time), precision)


def strided_conv(
    x: jax.Array,
    kernel: jax.Array,
    *,
    stride: int = 2,
    padding: int | None = None,
    precision: lax.PrecisionLike = None,
) -> jax.Array:
    """Convolution with a stride along time, as a convolution of stride 1 over groups of samples.

    A group of `stride` samples becomes one time step with `stride * C` channels. The kernel gets
    zero taps in front, so that its first group starts on a group of samples, and at its end, so
    that it is a whole number of groups.

    Args:
        x: [B, L, T, C]; a T that `stride` does not divide gets zeros on the right.
        kernel: [kh, kw, C, O], kh odd.
        stride: along time.
        padding: zeros on either side of the time axis; None is kw // 2.
        precision: of the multiplications, as `jax.lax.Precision`.

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
    return _stride1(x, kernel, (left, right), precision)


def transposed_conv(
    x: jax.Array, kernel: jax.Array, *, precision: lax.PrecisionLike = None
) -> jax.Array:
    """Transposed convolution that doubles the length, as one convolution and a reshape.

    The same as PyTorch's ConvTranspose2d with stride (1, 2), padding (kh // 2, kw // 2) and
    output_padding (0, 1): even output samples see every second tap of the reversed kernel, from
    the first, and odd ones the others.

    Args:
        x: [B, L, T, C].
        kernel: [kh, kw, C, O], kh odd, kw one of 1, 5, 9, ...; not reversed.
        precision: of the multiplications, as `jax.lax.Precision`.

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
    y = conv(x, both, precision=precision)
    return y.reshape(batch, leads, 2 * length, features)


def average_pool(x: jax.Array) -> jax.Array:
    """Mean of each pair of samples: [B, L, T, C] -> [B, L, T // 2, C] (an odd last one is lost)."""
    batch, leads, length, channels = x.shape
    pairs = x[:, :, : length // 2 * 2].reshape(batch, leads, length // 2, 2, channels)
    return pairs.mean(axis=3)


def _stride1(
    x: jax.Array, kernel: jax.Array, time_padding: tuple[int, int], precision: lax.PrecisionLike
) -> jax.Array:
    if kernel.shape[:2] == (1, 1) and time_padding == (0, 0):
        return jnp.matmul(x, kernel[0, 0], precision=precision)
    large = x.shape[1] * x.shape[2] >= _LARGE_POSITIONS and min(kernel.shape[2:]) >= _LARGE_CHANNELS
    return (_large_conv if large else _plain_conv)(x, kernel, time_padding, precision)


def _plain_conv(
    x: jax.Array, kernel: jax.Array, time_padding: tuple[int, int], precision: lax.PrecisionLike
) -> jax.Array:
    height = kernel.shape[0] // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding=((height, height), time_padding),
        dimension_numbers=_LAYOUT,
        precision=precision,
    )


# The same function; on CPUs its kernel gradient is taken in blocks that stay in the cache.
_large_conv = jax.custom_vjp(_plain_conv, nondiff_argnums=(2, 3))


def _large_conv_forward(
    x: jax.Array, kernel: jax.Array, time_padding: tuple[int, int], precision: lax.PrecisionLike
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return _plain_conv(x, kernel, time_padding, precision), (x, kernel)


def _large_conv_backward(
    time_padding: tuple[int, int],
    precision: lax.PrecisionLike,
    residuals: tuple[jax.Array, jax.Array],
    cotangent: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    (x_gradient,) = jax.linear_transpose(
        lambda x: _plain_conv(x, kernel, time_padding, precision), x
    )(cotangent)
    gradient = partial(
        lax.platform_dependent,
        cpu=partial(_in_blocks, size=kernel.shape[:2], padding=time_padding, precision=precision),
        default=partial(_at_once, size=kernel.shape[:2], padding=time_padding, precision=precision),
    )
    return x_gradient, gradient(x, cotangent)


_large_conv.defvjp(_large_conv_forward, _large_conv_backward)


def _at_once(
    x: jax.Array,
    cotangent: jax.Array,
    *,
    size: tuple[int, ...],
    padding: tuple[int, int],
    precision: lax.PrecisionLike,
) -> jax.Array:
    """The gradient [kh, kw, C, O] of a kernel of this size (kh, kw)."""
    kernel = jax.ShapeDtypeStruct((*size, x.shape[-1], cotangent.shape[-1]), x.dtype)
    (gradient,) = jax.linear_transpose(
        lambda kernel: _plain_conv(x, kernel, padding, precision), kernel
    )(cotangent)
    return gradient


def _in_blocks(
    x: jax.Array,
    cotangent: jax.Array,
    *,
    size: tuple[int, ...],
    padding: tuple[int, int],
    precision: lax.PrecisionLike,
) -> jax.Array:
    """The same, as a sum over blocks of examples and time, side by side over output channels."""
    left, right = padding
    if x.shape[-1] > cotangent.shape[-1]:
        # XLA transposes the first: let it be the smaller. Swapped, both run past each other the
        # other way round.
        turned = (size[1] - 1 - left, size[1] - 1 - right)
        gradient = _in_blocks(cotangent, x, size=size, padding=turned, precision=precision)
        return gradient[::-1, ::-1].swapaxes(2, 3)

    # lax.pad, as a padding may be negative: samples that no output sees.
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0,) * 3, (0,) * 3, (left, right, 0), (0,) * 3))
    batch, leads, steps, features = cotangent.shape
    block = min(steps, -(-_BLOCK_POSITIONS // leads))
    group = max(1, _BLOCK_POSITIONS // (leads * steps))
    gradients = []
    for channel in range(0, features, _BLOCK_CHANNELS):
        terms = []
        for example in range(0, batch, group):
            for start in range(0, steps, block):
                part = cotangent[example : example + group, :, start : start + block]
                part = part[..., channel : channel + _BLOCK_CHANNELS]
                seen = slice(start, start + part.shape[2] + size[1] - 1)
                inputs = x[example : example + group, :, seen]
                term = _at_once(inputs, part, size=size, padding=(0, 0), precision=precision)
                terms.append(term.astype(jnp.promote_types(jnp.float32, term.dtype)))
        gradients.append(sum(terms[1:], terms[0]))
    return jnp.concatenate(gradients, axis=-1).astype(x.dtype)
