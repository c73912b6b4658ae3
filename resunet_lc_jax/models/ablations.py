"""The paper's three ablations: plain residual blocks in place of the U-Nets, and other heads."""

from flax import linen as nn

from resunet_lc_jax.models.layers import Dropout, Linear
from resunet_lc_jax.models.lead_combiner import LeadCombiner
from resunet_lc_jax.models.network import Network, Outputs, sigmoid_outputs
from resunet_lc_jax.models.residual import Stem, residual_blocks
from resunet_lc_jax.models.shapes import Index, LeadPresent, NewMaps, Signal

_STEM, _BLOCK = 15, 9  # kernels along time
_BLOCKS = 4


class Res1DMaxPool(Network):
    """Leads as channels, maximum over time; 1,273,882 parameters. Takes any length."""

    @nn.compact
    def outputs(
        self, signal: Signal, lead_present: LeadPresent, train: bool, index: Index | None
    ) -> Outputs:
        """See `Network.outputs`."""
        x = signal.swapaxes(1, 2)[:, None]  # [B, 1, T, L]
        stem = Stem(self.width, (_STEM,), self.numerics, name="inconv")
        x = residual_blocks(
            stem(x, train),
            train,
            count=_BLOCKS,
            features=self.width,
            kernel_size=(_BLOCK,),
            numerics=self.numerics,
        )
        return _max_pool_head(self, x, train, index)


class Res2DMaxPool(Network):
    """Leads as an axis, maximum over leads and time; 3,615,898 parameters.

    Takes any number of leads and any length.
    """

    @nn.compact
    def outputs(
        self, signal: Signal, lead_present: LeadPresent, train: bool, index: Index | None
    ) -> Outputs:
        """See `Network.outputs`."""
        return _max_pool_head(self, _body_2d(self, signal, train), train, index)


class Res2DLC(Network):
    """Leads as an axis, and the lead combiner; 4,012,954 parameters.

    Takes any number of leads and any length (12 leads and 4096 samples for that count).
    """

    @nn.compact
    def outputs(
        self, signal: Signal, lead_present: LeadPresent, train: bool, index: Index | None
    ) -> Outputs:
        """See `Network.outputs`."""
        x = _body_2d(self, signal, train)
        combiner = LeadCombiner(self.width, self.dropout, self.numerics, name="lc")
        x = combiner(x, train=train, index=index)
        return sigmoid_outputs(Linear(self.num_classes, self.numerics, name="fc")(x))


def _body_2d(network: Network, signal: Signal, train: bool) -> NewMaps:
    """Maps [B, L, T] to [B, L, T / 32, C] by layers of the network, in its compact method."""
    stem = Stem(network.width, (3, _STEM), network.numerics, suffix="1_1", name="inconv")
    return residual_blocks(
        stem(signal[..., None], train),
        train,
        count=_BLOCKS,
        features=network.width,
        kernel_size=(3, _BLOCK),
        numerics=network.numerics,
    )


def _max_pool_head(network: Network, x: NewMaps, train: bool, index: Index | None) -> Outputs:
    """Dropout, maximum over leads and time of [B, L, t, C], and the linear layer."""
    x = Dropout(network.dropout, name="dropout")(x, index=index, train=train).max(axis=(1, 2))
    network.sow("intermediates", "pool", x)
    return sigmoid_outputs(Linear(network.num_classes, network.numerics, name="fc")(x))
