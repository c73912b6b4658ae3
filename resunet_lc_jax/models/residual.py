"""The first stage and the residual block that several of the networks share."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array

from resunet_lc_jax.models.convolution import average_pool
from resunet_lc_jax.models.layers import Conv, Features, activated, rematerialised
from resunet_lc_jax.models.numerics import Numerics
from resunet_lc_jax.models.shapes import Maps, NewMaps
from resunet_lc_jax.models.stage import stage


class Stem(nn.Module):
    """Convolution of stride 2 along time, BatchNorm, LeakyReLU.

    The suffix is of its layers' names: the reference's 2-D networks have conv1_1 and bn1_1.
    """

    features: int
    kernel_size: tuple[int, ...]
    numerics: Numerics
    suffix: str = ""

    @nn.compact
    def __call__(self, x: Maps, train: bool) -> Features:
        """Maps [B, L, T, C] to [B, L, ceil(T / 2), features]."""
        return stage(
            x,
            train=train,
            features=self.features,
            kernel_size=self.kernel_size,
            numerics=self.numerics,
            stride=2,
            suffix=self.suffix,
        )


def residual_blocks(
    x: Features,
    train: bool,
    *,
    count: int,
    features: int,
    kernel_size: tuple[int, ...],
    numerics: Numerics,
) -> NewMaps:
    """A chain of `ResidualBlock`s rb_0, rb_1, .. of the module that calls it when compact."""
    kind = rematerialised(ResidualBlock, numerics, static_argnums=(2,))
    for i in range(count):
        block = kind(features, kernel_size, numerics, name=f"rb_{i}")
        x = block(x, train)
    return activated(x)


class ResidualBlock(nn.Module):
    """Two convolutions, the first of stride 2, beside an average pool and a 1x1 convolution.

    An odd length gets one zero on the left of the identity.
    """

    features: int
    kernel_size: tuple[int, ...]
    numerics: Numerics

    @nn.compact
    def __call__(self, x: Features, train: bool) -> NewMaps:
        """Maps [B, L, T, C] to [B, L, ceil(T / 2), features]."""
        y = x
        for i, stride in ((1, 2), (2, 1)):
            y = stage(
                y,
                train=train,
                features=self.features,
                kernel_size=self.kernel_size,
                numerics=self.numerics,
                stride=stride,
                suffix=i,
            )

        @jax.checkpoint  # keeps no more than the stages have kept
        def pooled(x: Features) -> Array:
            x = activated(x)
            odd = x.shape[2] % 2 or (self.numerics.odd_lead_shift and x.shape[1] % 2)
            return average_pool(jnp.pad(x, ((0, 0), (0, 0), (1 if odd else 0, 0), (0, 0))))

        pointwise = (1,) * len(self.kernel_size)
        identity = Conv(self.features, pointwise, numerics=self.numerics, name="idfunc_1")
        return activated(y) + identity(pooled(x))
