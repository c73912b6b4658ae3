"""What every network takes and returns."""

from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, Shaped

from resunet_lc_jax.models.numerics import Numerics

Signal = Float[Array, "B L T"]
"""z-scored, 0 where there is no sample."""

LeadPresent = Shaped[Array, "B L"]
"""1 or True where the record has the lead."""

Index = Int[Array, " B"]
"""The examples' places in the global batch."""


class Outputs(NamedTuple):
    """Logits [B, K], and scores [B, K]: the probabilities that metrics and thresholds see."""

    logits: Float[Array, "B K"]
    scores: Float[Array, "B K"]


class Network(nn.Module):
    """Fields that all networks share; a subclass gives the published width and dropout.

    A network is called as `network(signal, lead_present, train=..., index=...)`:
        signal: [B, L, T], see `Signal`;
        lead_present: [B, L], see `LeadPresent`;
        train: whether batch statistics and dropout are used;
        index: [B], see `Index`; for dropout.

    Attributes:
        num_classes: K.
        num_leads: L.
        width: channels of the first stage.
        dropout: probability that an element is dropped.
        numerics: how it computes.
    """

    num_classes: int = 26
    num_leads: int = 12
    width: int = 128
    dropout: float = 0.5
    numerics: Numerics = Numerics()

    def over(self, axis_name: str | None) -> "Network":
        """The same network, whose BatchNorm counts the whole batch over this mapped axis."""
        return self.clone(numerics=replace(self.numerics, axis_name=axis_name))

    def check_signal(self, signal: Array) -> None:
        """Raises ValueError unless signal is [B, num_leads, T]."""
        if signal.ndim != 3 or signal.shape[1] != self.num_leads:
            raise ValueError(
                f"signal has shape {signal.shape}, but this network takes [batch, lead, time] with "
                f"{self.num_leads} leads; select the leads or create the network with num_leads"
            )


def sigmoid_outputs(logits: Float[Array, "B K"]) -> Outputs:
    """Outputs whose scores are the logits' sigmoids, in float32 at least."""
    logits = logits.astype(jnp.promote_types(jnp.float32, logits.dtype))
    return Outputs(logits, nn.sigmoid(logits))
