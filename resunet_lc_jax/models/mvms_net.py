"""MVMS-Net: six views of the 12 leads through six multi-scale networks.

Yang et al., "A multi-view multi-scale neural network for multi-label ECG classification", IEEE
Transactions on Emerging Topics in Computational Intelligence (2023).
"""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from resunet_lc_jax.models.layers import BatchNorm, Conv, Dropout, Linear, rematerialised
from resunet_lc_jax.models.network import Network, Outputs, sigmoid_outputs
from resunet_lc_jax.models.numerics import Numerics
from resunet_lc_jax.models.shapes import Index, LeadPresent, Signal

# Leads of each view, in the order I II III aVR aVL aVF V1 .. V6:
# {aVR}, {I, aVL}, {V1, V2}, {V3, V4}, {V5, V6}, {II, III, aVF}.
_VIEWS = ((3,), (0, 4), (6, 7), (8, 9), (10, 11), (1, 2, 5))
_SCALE = 4
_KERNEL = 15


def mish(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Mish: x * tanh(softplus(x))."""
    return x * jnp.tanh(nn.softplus(x))


class MVMSNet(Network):
    """Views weighted by a gate each and summed; 2,247,456 parameters for 26 classes.

    Made for 1000 samples at 100 Hz; takes any length from 25 samples, but all twelve leads. As
    published it has no dropout; here `dropout` applies before the last layer.
    """

    width: int = 64
    dropout: float = 0.0

    @nn.compact
    def outputs(
        self, signal: Signal, lead_present: LeadPresent, train: bool, index: Index | None
    ) -> Outputs:
        """See `Network.outputs`."""
        if self.num_leads != 12:
            raise ValueError(
                f"mvms_net's views need all 12 leads, not {self.num_leads}; give absent leads as "
                "zeros or choose another network"
            )
        fused = jnp.zeros((), self.numerics.dtype)
        view_net = rematerialised(ViewNet, self.numerics, static_argnums=(2,))
        for i, leads in enumerate(_VIEWS, start=1):
            view = signal[:, leads, :].swapaxes(1, 2)[:, None]  # [B, 1, T, leads of the view]
            view = view_net(self.width, self.numerics, name=f"MyNet{i}")(view, train)
            fused += FuseWeight(self.numerics, name=f"fuse_weight_{i}")(view) * view
        fused = Dropout(self.dropout, name="dropout")(fused, index=index, train=train)
        return sigmoid_outputs(Linear(self.num_classes, self.numerics, name="fc")(fused))


class FuseWeight(nn.Module):
    """The weight of a view [B, C], from itself: [B, 1] in 0 to 1."""

    numerics: Numerics

    @nn.compact
    def __call__(self, view: Float[Array, "B C"]) -> Float[Array, "B 1"]:
        """Maps [B, C] to [B, 1]."""
        return nn.sigmoid(Linear(1, self.numerics, name="fc")(view))


class ViewNet(nn.Module):
    """The network of one view."""

    width: int
    numerics: Numerics

    @nn.compact
    def __call__(self, x: Float[Array, "B 1 T L"], train: bool) -> Float[Array, "B C"]:
        """Maps [B, 1, T, leads] to [B, 2 * width]."""
        x = Conv(self.width, (25,), padding=0, numerics=self.numerics, name="conv1")(x)
        x = mish(BatchNorm(self.numerics, name="bn1")(x, train))
        x = Res2Block(2 * self.width, self.numerics, name="layer1")(x, train)
        x = Res2Block(2 * self.width, self.numerics, name="layer2")(x, train)
        return x.mean(axis=(1, 2))


class Res2Block(nn.Module):
    """Res2Net's block with stride 2, whose scales do not add to each other."""

    features: int
    numerics: Numerics

    @nn.compact
    def __call__(self, x: Float[Array, "B 1 T C"], train: bool) -> Float[Array, "B 1 _ D"]:
        """Maps [B, 1, T, C] to [B, 1, ceil(T / 2), features]."""
        width = int(self.features * 26 / 64)
        y = Conv(_SCALE * width, (1,), numerics=self.numerics, name="conv1")(x)
        y = BatchNorm(self.numerics, name="bn1")(mish(y), train)  # in this order
        chunks = jnp.split(y, _SCALE, axis=-1)
        scales = []
        for i, chunk in enumerate(chunks[:-1]):
            conv = Conv(width, (_KERNEL,), stride=2, numerics=self.numerics, name=f"convs_{i}")
            scales.append(mish(BatchNorm(self.numerics, name=f"bns_{i}")(conv(chunk), train)))
        scales.append(_average_pool3(chunks[-1]))
        y = jnp.concatenate(scales, axis=-1)
        y = Conv(self.features, (1,), numerics=self.numerics, name="conv3")(y)
        y = BatchNorm(self.numerics, name="bn3")(y, train)
        y = CoordinateAttention(self.numerics, name="attention")(y, train)
        return mish(y + Shortcut(self.features, self.numerics, name="shortcut")(x, train))


class Shortcut(nn.Module):
    """A 1x1 convolution of stride 2 with bias, and BatchNorm."""

    features: int
    numerics: Numerics

    @nn.compact
    def __call__(self, x: Float[Array, "B 1 T C"], train: bool) -> Float[Array, "B 1 _ D"]:
        """Maps [B, 1, T, C] to [B, 1, ceil(T / 2), features]."""
        conv = Conv(
            self.features, (1,), stride=2, use_bias=True, numerics=self.numerics, name="conv"
        )
        return BatchNorm(self.numerics, name="bn")(conv(x), train)


class CoordinateAttention(nn.Module):
    """Coordinate attention of Hou et al. (CVPR 2021) on a map of height 1."""

    numerics: Numerics

    @nn.compact
    def __call__(self, x: Float[Array, "B 1 T C"], train: bool) -> Float[Array, "B 1 T C"]:
        """Maps [B, 1, T, C] to [B, 1, T, C]."""
        channels = x.shape[-1]

        def pointwise(features: int, name: str) -> Conv:
            return Conv(features, (1, 1), use_bias=True, numerics=self.numerics, name=name)

        y = jnp.concatenate([x.mean(axis=2, keepdims=True), x], axis=2)
        y = pointwise(max(8, channels // 16), "conv1")(y)
        y = nn.hard_swish(BatchNorm(self.numerics, name="bn1")(y, train))
        by_channel = nn.sigmoid(pointwise(channels, "conv_h")(y[:, :, :1]))
        by_time = nn.sigmoid(pointwise(channels, "conv_w")(y[:, :, 1:]))
        return x * by_channel * by_time


def _average_pool3(x: Float[Array, "B 1 T C"]) -> Float[Array, "B 1 _ C"]:
    """Average pool 3 with stride 2 and padding 1, whose zeros count: [B, 1, ceil(T / 2), C]."""
    steps = -(-x.shape[2] // 2)
    x = jnp.pad(x, ((0, 0), (0, 0), (1, 1 + x.shape[2] % 2), (0, 0)))
    first, second, third = (x[:, :, i : i + 2 * steps : 2] for i in range(3))
    return (first + second + third) / 3
