"""Res2D_MaxPool, the paper's ablation with leads as an axis and a maximum over leads and time."""

import jax
from flax import linen as nn

from resunet_lc_jax.models.layers import Dropout, Linear
from resunet_lc_jax.models.network import Network, Outputs, sigmoid_outputs
from resunet_lc_jax.models.residual import Stem, residual_blocks


class Res2DMaxPool(Network):
    """A two-dimensional residual network, maximum over leads and time; 3,615,898 parameters.

    Takes any number of leads and any length.
    """

    @nn.compact
    def __call__(
        self,
        signal: jax.Array,
        lead_present: jax.Array,
        train: bool = False,
        index: jax.Array | None = None,
    ) -> Outputs:
        """Maps signal [B, L, T] to logits and scores [B, K]; see `Network`."""
        self.check_signal(signal)
        x = signal[..., None]
        stem = Stem(self.width, (3, 15), self.numerics, suffix="1_1", name="inconv")(x, train)
        x = residual_blocks(
            stem,
            train,
            count=4,
            features=self.width,
            kernel_size=(3, 9),
            numerics=self.numerics,
            remat=self.remat,
            odd_lead_shift=self.odd_lead_shift,
        )
        x = Dropout(self.dropout, name="dropout")(x, index=index, train=train).max(axis=(1, 2))
        self.sow("intermediates", "pool", x)
        return sigmoid_outputs(Linear(self.num_classes, self.numerics, name="fc")(x))
