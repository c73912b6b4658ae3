"""The lead combiner: from one feature map per lead to one feature vector per record."""

import math

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from resunet_lc_jax.models.layers import BatchNorm, Dropout, leaky_relu, uniform
from resunet_lc_jax.models.numerics import Numerics
from resunet_lc_jax.models.shapes import Index


class LeadCombiner(nn.Module):
    """Two 1x1 convolutions over a map [B, L, t, C], each followed by a global maximum.

    The time branch mixes channels and leads at each time step; the channel branch mixes time
    steps and leads in each channel, so its weights are tied to L and t.
    """

    features: int
    dropout: float
    numerics: Numerics

    @nn.compact
    def __call__(
        self, x: Float[Array, "B L t C"], *, train: bool, index: Index | None
    ) -> Float[Array, "B D"]:
        """Maps [B, L, t, C] to [B, 2 * features]."""
        _, leads, steps, channels = x.shape

        def branch(number: int, subscripts: str, inputs: tuple[int, int]) -> Float[Array, "B D"]:
            mix = Mix(self.features, subscripts, inputs, self.numerics, name=f"conv2_{number}")
            y = BatchNorm(self.numerics, name=f"bn2_{number}")(mix(x), train)
            y = Dropout(self.dropout, name=f"dropout_{number}")(
                leaky_relu(y), index=index, train=train
            )
            y = y.max(axis=1)
            self.sow("intermediates", f"pool{number}", y)
            return y

        by_time = branch(1, "bltc,clo->bto", (channels, leads))
        by_channel = branch(2, "bltc,tlo->bco", (steps, leads))
        return jnp.concatenate([by_time, by_channel], axis=-1)


class Mix(nn.Module):
    """A 1x1 convolution over two axes of [B, L, t, C], flattened; kernel [1, inputs, features]."""

    features: int
    subscripts: str
    inputs: tuple[int, int]
    numerics: Numerics

    @nn.compact
    def __call__(self, x: Float[Array, "B L t C"]) -> Float[Array, "B _ D"]:
        """Maps [B, L, t, C] to [B, t or C, features], as the subscripts say."""
        fan_in = math.prod(self.inputs)
        shape = (1, fan_in, self.features)
        if self.has_variable("params", "kernel"):
            given = jnp.shape(self.get_variable("params", "kernel"))
            if given != shape:
                raise ValueError(
                    f"{'/'.join(self.path)}/kernel has shape {given}, but this signal needs "
                    f"{shape}: the lead combiner's weights are tied to the number of leads and to "
                    "the signal length that they were trained with; use the same ones"
                )
        kernel = self.param("kernel", uniform(fan_in), shape, self.numerics.param_dtype)
        dtype = self.numerics.dtype
        kernel = kernel.reshape(*self.inputs, self.features).astype(dtype)
        return jnp.einsum(
            self.subscripts, x.astype(dtype), kernel, precision=self.numerics.precision
        )
