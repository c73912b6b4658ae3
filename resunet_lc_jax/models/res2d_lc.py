"""Res2D_LC, the paper's ablation with plain residual blocks and the lead combiner."""

import jax
from flax import linen as nn

from resunet_lc_jax.models.layers import Linear
from resunet_lc_jax.models.lead_combiner import LeadCombiner
from resunet_lc_jax.models.network import Network, Outputs, sigmoid_outputs
from resunet_lc_jax.models.residual import Stem, residual_blocks


class Res2DLC(Network):
    """A two-dimensional residual network with the lead combiner; 4,012,954 parameters.

    Takes any number of leads and any length (12 leads and 4096 samples for that count).
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
        x = LeadCombiner(self.width, self.dropout, self.numerics, name="lc")(
            x, train=train, index=index
        )
        return sigmoid_outputs(Linear(self.num_classes, self.numerics, name="fc")(x))
