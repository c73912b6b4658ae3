"""What every network takes and returns."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jax.typing import DTypeLike

from resunet_lc_jax.models.layers import Numerics


class Outputs(NamedTuple):
    """Logits [B, K], and scores [B, K]: the probabilities that metrics and thresholds see."""

    logits: jax.Array
    scores: jax.Array


class Network(nn.Module):
    """Fields that all networks share; a subclass gives the published width and dropout.

    A network is called as `network(signal, lead_present, train=..., index=...)`:
        signal: [B, L, T] float, z-scored;
        lead_present: [B, L], 1 where the record has the lead;
        train: whether batch statistics and dropout are used;
        index: [B] int32, the examples' places in the global batch, for dropout.

    Attributes:
        num_classes: K.
        num_leads: L.
        width: channels of the first stage.
        dropout: probability that an element is dropped.
        dtype: compute dtype.
        axis_name: mapped axis over which the batch is divided, for BatchNorm.
        unbiased_variance: whether BatchNorm's running variance is unbiased, as PyTorch's.
        freeze_statistics: whether BatchNorm's running statistics serve in training, unchanged.
        remat: whether the backward pass computes each block anew from its input instead of keeping
            what is in it: less memory for a third more arithmetic.
        precision: of convolutions and matrix products.
        folded: whether this is the form for evaluation alone that `models.folding` makes.
        odd_lead_shift: whether res2d_maxpool and res2d_lc follow the reference's slip: it tests
            the number of leads where the length is meant, which shifts a residual block's
            identity by one sample where that number is odd. Other networks have no such slip.
    """

    num_classes: int = 26
    num_leads: int = 12
    width: int = 128
    dropout: float = 0.5
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    unbiased_variance: bool = True
    freeze_statistics: bool = False
    remat: bool = False
    precision: lax.PrecisionLike = None
    folded: bool = False
    odd_lead_shift: bool = False

    @property
    def numerics(self) -> Numerics:
        """The fields that each layer needs."""
        return Numerics(
            dtype=self.dtype,
            axis_name=self.axis_name,
            unbiased_variance=self.unbiased_variance,
            freeze_statistics=self.freeze_statistics,
            folded=self.folded,
            precision=self.precision,
        )

    def check_signal(self, signal: jax.Array) -> None:
        """Raises ValueError unless signal is [B, num_leads, T]."""
        if signal.ndim != 3 or signal.shape[1] != self.num_leads:
            raise ValueError(
                f"signal has shape {signal.shape}, but this network takes [batch, lead, time] with "
                f"{self.num_leads} leads; select the leads or create the network with num_leads"
            )


def sigmoid_outputs(logits: jax.Array) -> Outputs:
    """Outputs whose scores are the logits' sigmoids, in float32 at least."""
    logits = logits.astype(jnp.promote_types(jnp.float32, logits.dtype))
    return Outputs(logits, nn.sigmoid(logits))
