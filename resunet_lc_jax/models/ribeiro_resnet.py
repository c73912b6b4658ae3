"""The residual network of Ribeiro et al., as its PyTorch port has it.

Ribeiro et al., "Automatic diagnosis of the 12-lead ECG using a deep neural network", Nature
Communications 11, 1760 (2020). The Keras original has a ReLU after the first BatchNorm, kernels
16 wide and no block at full length.
"""

from flax import linen as nn
from jaxtyping import Array, Float

from resunet_lc_jax.models.layers import BatchNorm, Conv, Dropout, Linear, rematerialised
from resunet_lc_jax.models.network import Network, Outputs, sigmoid_outputs
from resunet_lc_jax.models.numerics import Numerics
from resunet_lc_jax.models.shapes import Index, LeadPresent, Signal

_KERNEL = 17
_SIXTEENTHS = (16, 32, 49, 64, 80)  # the blocks' widths, of 64: 64, 128, 196, 256, 320
_FACTORS = (1, 4, 4, 4, 4)  # by which each block shortens


class RibeiroResNet(Network):
    """Five residual blocks; 7,052,730 parameters for 12 leads, 4096 samples and 26 classes.

    Made for 400 Hz. Takes any length that is a multiple of 256; its last layer is tied to it.
    """

    width: int = 64
    dropout: float = 0.2

    @nn.compact
    def outputs(
        self, signal: Signal, lead_present: LeadPresent, train: bool, index: Index | None
    ) -> Outputs:
        """See `Network.outputs`."""
        if signal.shape[2] % 256:
            raise ValueError(
                f"signal has {signal.shape[2]} samples, but ribeiro_resnet takes a multiple of "
                "256; crop or pad to such a length"
            )
        x = signal.swapaxes(1, 2)[:, None]  # [B, 1, T, L]
        x = Conv(self.width, (_KERNEL,), numerics=self.numerics, name="conv1")(x)
        x = y = BatchNorm(self.numerics, name="bn1")(x, train)
        kind = rematerialised(Block, self.numerics, static_argnums=(3,))
        for i, (sixteenths, factor) in enumerate(zip(_SIXTEENTHS, _FACTORS, strict=True)):
            features = self.width * sixteenths // 16
            block = kind(features, factor, self.dropout, self.numerics, name=f"resblock1d_{i}")
            x, y = block(x, y, train, index)
        x = x.swapaxes(2, 3).reshape(x.shape[0], -1)  # channel first, as PyTorch flattens
        return sigmoid_outputs(Linear(self.num_classes, self.numerics, name="lin")(x))


class Block(nn.Module):
    """Two convolutions beside a maximum pool; x runs through them, y past them."""

    features: int
    factor: int
    dropout: float
    numerics: Numerics

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B 1 T C"],
        y: Float[Array, "B 1 T C"],
        train: bool,
        index: Index | None,
    ) -> tuple[Float[Array, "B 1 t D"], Float[Array, "B 1 t D"]]:
        """Maps x and y, each [B, 1, T, C], to two of [B, 1, T / factor, features]."""
        batch, leads, length, channels = y.shape
        y = y.reshape(batch, leads, length // self.factor, self.factor, channels).max(axis=3)
        if channels != self.features:
            y = Conv(self.features, (1,), numerics=self.numerics, name="skip_connection")(y)

        for i, stride in ((1, 1), (2, self.factor)):
            conv = Conv(
                self.features,
                (_KERNEL,),
                stride=stride,
                padding=max(0, (_KERNEL - stride + 1) // 2),
                numerics=self.numerics,
                name=f"conv{i}",
            )
            x = conv(x)
            if i == 2:
                x = y = x + y
            x = nn.relu(BatchNorm(self.numerics, name=f"bn{i}")(x, train))
            x = Dropout(self.dropout, name=f"dropout{i}")(x, index=index, train=train)
        return x, y
