"""Convolutions of stride 1 as XLA has them, but for the kernel gradient on CPUs.

XLA's kernel gradient of a large layer falls out of a CPU's cache. Taken for 128 output channels and
2048 positions (steps times leads) of a kernel 9 wide at a time, a megabyte, it runs up to ten times
faster, nearly at a forward convolution's speed; each block costs 20 ms of compile time.
"""

import jax
import jax.numpy as jnp
from jax import lax

from resunet_lc_jax.models.shapes import Kernel, Maps, NewMaps

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_BLOCK_CHANNELS = 128
_BLOCK_WINDOWS = 9 * 2048  # positions times the kernel's width


def conv(
    x: Maps, kernel: Kernel, padding: tuple[int, int], precision: lax.PrecisionLike = None
) -> NewMaps:
    """Convolution (correlation) of stride 1; along the leads the length is kept.

    Args:
        x: [B, L, T, C].
        kernel: [kh, kw, C, O], kh odd.
        padding: zeros in front of and behind the time axis; negative: samples left out.
        precision: of the multiplications.
    """
    height = kernel.shape[0] // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        window_strides=(1, 1),
        padding=((height, height), padding),
        dimension_numbers=_LAYOUT,
        precision=precision,
    )


def input_gradient(
    x: Maps,
    kernel: Kernel,
    cotangent: NewMaps,
    padding: tuple[int, int],
    precision: lax.PrecisionLike = None,
) -> Maps:
    """The gradient of x from that of `conv`'s result; of x only the shape counts."""
    (gradient,) = jax.linear_transpose(lambda x: conv(x, kernel, padding, precision), x)(cotangent)
    return gradient


def gradients(
    x: Maps,
    kernel: Kernel,
    cotangent: NewMaps,
    padding: tuple[int, int],
    precision: lax.PrecisionLike = None,
) -> tuple[Maps, Kernel]:
    """The gradients of x and the kernel, from that of `conv`'s result."""
    return (
        input_gradient(x, kernel, cotangent, padding, precision),
        kernel_gradient(x, cotangent, kernel.shape[:2], padding, precision),
    )


def kernel_gradient(
    x: Maps,
    cotangent: NewMaps,
    size: tuple[int, ...],
    padding: tuple[int, int],
    precision: lax.PrecisionLike = None,
) -> Kernel:
    """The gradient [kh, kw, C, O] of a kernel of this size (kh, kw).

    It is a sum over blocks of examples and time, side by side over output channels.
    """
    left, right = padding
    if x.shape[-1] > cotangent.shape[-1]:
        # XLA transposes the first: let it be the smaller. Swapped, both run past each other the
        # other way round.
        turned = (size[1] - 1 - left, size[1] - 1 - right)
        gradient = kernel_gradient(cotangent, x, size, turned, precision)
        return gradient[::-1, ::-1].swapaxes(2, 3)

    # lax.pad, as a padding may be negative.
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0,) * 3, (0,) * 3, (left, right, 0), (0,) * 3))
    batch, leads, steps, features = cotangent.shape
    positions = _BLOCK_WINDOWS // size[1]
    block = min(steps, -(-positions // leads))
    group = max(1, positions // (leads * steps))
    gradients = []
    for channel in range(0, features, _BLOCK_CHANNELS):
        terms = []
        for example in range(0, batch, group):
            for start in range(0, steps, block):
                part = cotangent[example : example + group, :, start : start + block]
                part = part[..., channel : channel + _BLOCK_CHANNELS]
                seen = slice(start, start + part.shape[2] + size[1] - 1)
                inputs = x[example : example + group, :, seen]
                term = _gradient_of_block(inputs, part, size, precision)
                terms.append(term.astype(jnp.promote_types(jnp.float32, term.dtype)))
        gradients.append(sum(terms[1:], terms[0]))
    return jnp.concatenate(gradients, axis=-1).astype(x.dtype)


def _gradient_of_block(
    x: Maps, cotangent: NewMaps, size: tuple[int, ...], precision: lax.PrecisionLike
) -> Kernel:
    """XLA's kernel gradient of a convolution without padding along time."""
    kernel = jax.ShapeDtypeStruct((*size, x.shape[-1], cotangent.shape[-1]), x.dtype)
    (gradient,) = jax.linear_transpose(lambda kernel: conv(x, kernel, (0, 0), precision), kernel)(
        cotangent
    )
    return gradient
