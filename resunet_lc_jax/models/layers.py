"""The layers that every network is made of, with PyTorch's semantics and initial values.

Parameters are float32 (float64 where that is the compute dtype); activations have the compute
dtype; statistics are never taken in less than float32.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, Key

from resunet_lc_jax.models import convolution
from resunet_lc_jax.models.numerics import Numerics
from resunet_lc_jax.models.shapes import Maps, PerChannel

_MOMENTUM = 0.1  # PyTorch's: the weight of the new value
EPSILON = 1e-5  # added to BatchNorm's variance
_MOMENTS = "moments"  # small, and over several devices dear: kept where the rest is not


def leaky_relu(x: Float[Array, "*S"]) -> Float[Array, "*S"]:
    """LeakyReLU with PyTorch's slope 0.01."""
    return nn.leaky_relu(x, negative_slope=0.01)


class Normalised(NamedTuple):
    """A stage's result, its last step yet to be done: LeakyReLU(values * scale + shift).

    That step is cheap, and whoever needs the result does it, in the backward pass once more: so of
    each stage one tensor is kept for the backward pass, the convolution's, instead of two or three.

    Attributes:
        values: [B, L, T, C], what the convolution gave.
        scale: [C], of BatchNorm with this batch's moments.
        shift: [C].
    """

    values: Maps
    scale: PerChannel
    shift: PerChannel

    def activated(self) -> Maps:
        """The result [B, L, T, C], in the values' dtype."""
        return leaky_relu(_affine(self.values, self.scale, self.shift, self.values.dtype))


Features = Float[Array, "B L _ _"] | Normalised
"""What stages take and give, [B, L, T, C]; several lie side by side along C."""


def activated(*features: Features) -> Maps:
    """The features themselves, several of them side by side along the channels."""
    computed = [x.activated() if isinstance(x, Normalised) else x for x in features]
    return jnp.concatenate(computed, axis=-1) if len(computed) > 1 else computed[0]


def _affine(
    x: Float[Array, "*S C"], scale: PerChannel, shift: PerChannel, dtype: DTypeLike
) -> Float[Array, "*S C"]:
    return (x.astype(scale.dtype) * scale + shift).astype(dtype)


def uniform(fan_in: int) -> Callable[..., Array]:
    """PyTorch's default for weights and biases: U(-b, b) with b = 1 / sqrt(fan_in).

    kaiming_uniform_ with a = sqrt(5) comes to the same bound.
    """
    bound = 1 / math.sqrt(fan_in)

    def init(key: Key[Array, ""], shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Conv(nn.Module):
    """Convolution over [B, L, T, C], kernel (time,) or (lead, time), strided along time only.

    Attributes:
        features: channels out.
        kernel_size: (kw,) or (kh, kw); the parameter is [*kernel_size, in, out].
        stride: along time.
        padding: zeros on either side of the time axis; None is kw // 2.
        use_bias: whether a bias is added.
        transposed: whether this is the transposed convolution that doubles the length.
        numerics: dtypes and precision.
    """

    features: int
    kernel_size: tuple[int, ...]
    stride: int = 1
    padding: int | None = None
    use_bias: bool = False
    transposed: bool = False
    numerics: Numerics = Numerics()

    @nn.compact
    def __call__(self, *inputs: Features) -> Float[Array, "B L t C"]:
        """Maps [B, L, T, C] to [B, L, T', features]; several inputs lie side by side on C."""
        dtype, param_dtype = self.numerics.dtype, self.numerics.param_dtype
        channels = sum(jax.tree.leaves(x)[0].shape[-1] for x in inputs)
        # PyTorch reckons the fan-in of a transposed convolution from its output channels.
        fan_in = math.prod(self.kernel_size) * (self.features if self.transposed else channels)
        shape = (*self.kernel_size, channels, self.features)
        kernel = self.param("kernel", uniform(fan_in), shape, param_dtype)
        kernel = kernel.reshape(-1, *shape[-3:]).astype(dtype)

        # A checkpoint keeps what comes in, not what is made of it here.
        @jax.checkpoint
        def convolve(kernel: Array, *inputs: Features) -> Array:
            x, numerics = activated(*inputs).astype(dtype), self.numerics
            if self.transposed:
                return convolution.transposed_conv(x, kernel, numerics)
            if self.stride > 1:
                return convolution.strided_conv(
                    x, kernel, numerics, stride=self.stride, padding=self.padding
                )
            return convolution.conv(x, kernel, numerics, padding=self.padding)

        y = convolve(kernel, *inputs)
        if self.use_bias:
            bias = self.param("bias", uniform(fan_in), (self.features,), param_dtype)
            y = y + bias.astype(dtype)
        return y


class Linear(nn.Module):
    """Affine map of the last axis; kernel [in, out], bias [out].

    Kernel and bias begin as PyTorch's do where no other initialiser is given.
    """

    features: int
    numerics: Numerics = Numerics()
    kernel_init: nn.initializers.Initializer | None = None
    bias_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(self, x: Float[Array, "*S C"]) -> Float[Array, "*S D"]:
        """Maps [..., C] to [..., features]."""
        dtype, param_dtype = self.numerics.dtype, self.numerics.param_dtype
        default, shape = uniform(x.shape[-1]), (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init or default, shape, param_dtype)
        bias = self.param("bias", self.bias_init or default, shape[1:], param_dtype)
        y = jnp.matmul(x.astype(dtype), kernel.astype(dtype), precision=self.numerics.precision)
        return y + bias.astype(dtype)


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last, as PyTorch's.

    In training, each channel is normalised by the biased variance of the whole batch (over every
    device of `numerics.axis_name`), and the running variance follows the unbiased one,
    n / (n - 1) times that, n being the number of values of the channel in the whole batch. With
    `numerics.freeze_statistics` training normalises as evaluation does.
    """

    numerics: Numerics = Numerics()

    def __call__(self, x: Float[Array, "*S C"], train: bool) -> Float[Array, "*S C"]:
        """Normalises x [..., C]; with `train`, updates the collection 'batch_stats'."""
        return _affine(x, *self.coefficients(x, train), self.numerics.dtype)

    @nn.compact
    def coefficients(self, x: Float[Array, "*S C"], train: bool) -> tuple[PerChannel, PerChannel]:
        """The same as (scale, shift), each [C]: the result is x * scale + shift."""
        shape, param_dtype = (x.shape[-1],), self.numerics.param_dtype
        scale = self.param("scale", nn.initializers.ones, shape, param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, param_dtype)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, param_dtype)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, param_dtype)

        values = x.astype(jnp.promote_types(jnp.float32, x.dtype))
        mean, variance = running_mean.value, running_var.value
        if train and not (self.numerics.freeze_statistics or self.is_initializing()):
            mean, variance, count = batch_moments(
                values, pivot=running_mean.value, axis_name=self.numerics.axis_name
            )
            correction = count / max(count - 1, 1) if self.numerics.unbiased_variance else 1.0
            running_mean.value = _moved(running_mean.value, mean)
            running_var.value = _moved(running_var.value, variance * correction)
        factor = scale * lax.rsqrt(variance + EPSILON)
        shift = bias - mean * factor
        self.sow("intermediates", "normalised", _affine(x, factor, shift, self.numerics.dtype))
        return factor, shift


def batch_moments(
    x: Float[Array, "*S C"], *, pivot: PerChannel, axis_name: str | None
) -> tuple[PerChannel, PerChannel, int]:
    """Mean and biased variance of each channel, in one pass over the values.

    The sums are of x - pivot and its square: with a pivot near the mean (the running mean) the
    difference E[x^2] - E[x]^2 cancels little.

    Args:
        x: [..., C].
        pivot: [C]; the result does not depend on it but for rounding.
        axis_name: mapped axis whose devices hold the other parts of the batch, if any.

    Returns:
        (mean [C], variance [C], number of values a channel has in the whole batch).
    """
    axes = tuple(range(x.ndim - 1))
    count = math.prod(x.shape[:-1])
    pivot = lax.stop_gradient(pivot).astype(x.dtype)
    shifted = x - pivot
    moments = jnp.stack([shifted.mean(axes), lax.square(shifted).mean(axes)])
    if axis_name is not None:
        moments = lax.pmean(moments, axis_name)
        count *= lax.axis_size(axis_name)
    moments = checkpoint_name(moments, _MOMENTS)
    return moments[0] + pivot, jnp.maximum(moments[1] - lax.square(moments[0]), 0), count


def rematerialised(block: Any, numerics: Numerics, *, static_argnums: tuple[int, ...]) -> Any:
    """The module class; with `numerics.remat` the backward pass computes it anew from its input."""
    if not numerics.remat:
        return block
    policy = jax.checkpoint_policies.save_only_these_names(_MOMENTS)
    return nn.remat(block, policy=policy, static_argnums=static_argnums)


def _moved(running: PerChannel, new: PerChannel) -> PerChannel:
    return lax.stop_gradient((1 - _MOMENTUM) * running + _MOMENTUM * new).astype(running.dtype)


class Dropout(nn.Module):
    """Element-wise dropout whose masks do not depend on how the batch is divided.

    The mask of an example depends on the 'dropout' key, on this module's place in the network and
    on the example's index in the global batch, and on nothing else.
    """

    rate: float

    @nn.compact
    def __call__(
        self, x: Float[Array, " B *S"], *, index: Int[Array, " B"] | None, train: bool
    ) -> Float[Array, " B *S"]:
        """Drops elements of x [B, ...] with probability `rate`; index: [B] int, global."""
        if not train or self.rate == 0:
            return x
        if index is None:
            raise ValueError("dropout in training needs index: each example's place in the batch")
        keep = 1 - self.rate
        keys = jax.vmap(jax.random.fold_in, (None, 0))(self.make_rng("dropout"), index)
        mask = jax.vmap(lambda key: jax.random.bernoulli(key, keep, x.shape[1:]))(keys)
        return jnp.where(mask, x / keep, jnp.zeros_like(x))
