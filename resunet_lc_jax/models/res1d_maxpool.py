"""Res1D_MaxPool, the paper's ablation whose leads are channels."""

import jax
from flax import linen as nn

from resunet_lc_jax.models.layers import Dropout, Linear
from resunet_lc_jax.models.network import Network, Outputs, sigmoid_outputs
from resunet_lc_jax.models.residual import Stem, residual_blocks


class Res1DMaxPool(Network):
    """A one-dimensional residual network, maximum over time; 1,273,882 parameters.

    Takes any length.
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
        x = signal.swapaxes(1, 2)[:, None]  # [B, 1, T, L]
        stem = Stem(self.width, (15,), self.numerics, name="inconv")(x, train)
        x = residual_blocks(
            stem,
            train,
            count=4,
            features=self.width,
            kernel_size=(9,),
            numerics=self.numerics,
            remat=self.remat,
        )
        x = Dropout(self.dropout, name="dropout")(x, index=index, train=train).max(axis=(1, 2))
        self.sow("intermediates", "pool", x)
        return sigmoid_outputs(Linear(self.num_classes, self.numerics, name="fc")(x))
