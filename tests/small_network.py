"""A network that is compiled fast and has what devices could get wrong.

BatchNorm's statistics, dropout's masks, convolutions of stride 1 and 2 and the average pool beside
them are in it. The published networks, which have more of the same, are compared between devices in
tests/commands/test_recipes_train.py.
"""

from typing import Any

from flax import linen as nn

from resunet_lc_jax.models import Network, Numerics, Outputs
from resunet_lc_jax.models.layers import Dropout, Linear
from resunet_lc_jax.models.network import sigmoid_outputs
from resunet_lc_jax.models.residual import residual_blocks
from resunet_lc_jax.models.shapes import Index, LeadPresent, Signal


class SmallNetwork(Network):
    """One residual block over leads and time."""

    width: int = 8

    @nn.compact
    def outputs(
        self, signal: Signal, lead_present: LeadPresent, train: bool, index: Index | None
    ) -> Outputs:
        x = residual_blocks(
            signal[..., None],
            train,
            count=1,
            features=self.width,
            kernel_size=(3, 9),
            numerics=self.numerics,
        )
        x = Dropout(self.dropout, name="dropout")(x, index=index, train=train).max(axis=(1, 2))
        return sigmoid_outputs(Linear(self.num_classes, self.numerics, name="fc")(x))


def small_network(**numerics: Any) -> SmallNetwork:
    """The network, computing as `Numerics` of these fields says."""
    return SmallNetwork(numerics=Numerics(**numerics))
