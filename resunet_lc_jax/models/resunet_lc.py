"""ResUNet-LC: residual U-Net blocks over leads and time, then the lead combiner."""

import jax
import jax.numpy as jnp
from flax import linen as nn

from resunet_lc_jax.models.convolution import average_pool
from resunet_lc_jax.models.layers import Conv, Features, Linear, activated, rematerialised
from resunet_lc_jax.models.lead_combiner import LeadCombiner
from resunet_lc_jax.models.network import Network, Outputs, sigmoid_outputs
from resunet_lc_jax.models.numerics import Numerics
from resunet_lc_jax.models.residual import Stem
from resunet_lc_jax.models.shapes import Index, LeadPresent, NewMaps, Signal
from resunet_lc_jax.models.stage import stage

_DEPTHS = (6, 5, 4, 3)  # of the four U-Nets: each reaches T / 128
_LENGTH_DIVISOR = 128


class ResUNetLC(Network):
    """The proposed network; 9,989,530 parameters for 12 leads, 4096 samples and 26 classes.

    Takes any number of leads and any length that is a multiple of 128 (or one sample less: one
    zero on the right, which the first convolution's padding would add anyway).
    """

    @nn.compact
    def outputs(
        self, signal: Signal, lead_present: LeadPresent, train: bool, index: Index | None
    ) -> Outputs:
        """See `Network.outputs`."""
        missing = -signal.shape[2] % _LENGTH_DIVISOR
        if missing > 1:
            raise ValueError(
                f"signal has {signal.shape[2]} samples, but resunet_lc takes a multiple of "
                f"{_LENGTH_DIVISOR} (or one sample less); crop or pad to such a length"
            )
        x = jnp.pad(signal, ((0, 0), (0, 0), (0, missing)))[..., None]
        stem = Stem(self.width, (3, 15), self.numerics, suffix="1_1", name="inconv")
        features = stem(x, train)
        kind = rematerialised(ResUBlock, self.numerics, static_argnums=(2,))
        for i, depth in enumerate(_DEPTHS):
            # Folded, the last 1x1 convolution remains: no convolution follows it.
            project = not self.numerics.folded or i == len(_DEPTHS) - 1
            block = kind(
                self.width, self.width // 2, depth, self.numerics, project, name=f"rub_{i}"
            )
            features = block(features, train)
        x = LeadCombiner(self.width, self.dropout, self.numerics, name="lc")(
            activated(features), train=train, index=index
        )
        return sigmoid_outputs(Linear(self.num_classes, self.numerics, name="fc")(x))


class ResUBlock(nn.Module):
    """A U-Net along time with a residual connection, then half the length.

    Attributes:
        width: channels in and out.
        middle: channels inside the U.
        depth: number of encoders, and of decoders.
        numerics: see `Numerics`.
        project: whether the 1x1 convolution at its end is here, not folded into what follows.
    """

    width: int
    middle: int
    depth: int
    numerics: Numerics
    project: bool = True

    @nn.compact
    def __call__(self, x: Features, train: bool) -> NewMaps:
        """Maps [B, L, T, width] to [B, L, T / 2, width]; 2 ** depth divides T."""
        numerics = self.numerics
        first = stage(
            x, train=train, features=self.width, kernel_size=(3, 9), numerics=numerics, suffix=1
        )

        y, encoded = first, []
        for i in range(self.depth):
            y = Unit(self.middle, numerics, stride=2, name=f"encoders_{i}")(y, train=train)
            encoded.append(y)
        y = Unit(self.middle, numerics, name="bottleneck")(y, train=train)
        for i in range(self.depth):
            features = self.width if i == self.depth - 1 else self.middle
            decoder = Unit(features, numerics, transposed=True, name=f"decoders_{i}")
            y = decoder(y, encoded.pop(), train=train)

        # Keeps no more than the stages have kept.
        pooled = jax.checkpoint(lambda x, y: average_pool(activated(x) + activated(y)))
        halved = pooled(first, y)
        self.sow("intermediates", "idfunc_0", halved)
        if not self.project:
            return halved
        return Conv(self.width, (1, 1), numerics=numerics, name="idfunc_1")(halved)


class Unit(nn.Module):
    """Convolution (3, 9), BatchNorm, LeakyReLU: same length, half of it, or double."""

    features: int
    numerics: Numerics
    stride: int = 1
    transposed: bool = False

    @nn.compact
    def __call__(self, *inputs: Features, train: bool) -> Features:
        """Maps [B, L, T, C], several side by side along C, to [B, L, T', features]."""
        return stage(
            *inputs,
            train=train,
            features=self.features,
            kernel_size=(3, 9),
            numerics=self.numerics,
            stride=self.stride,
            transposed=self.transposed,
        )
