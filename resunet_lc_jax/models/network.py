"""What every network takes and returns."""

from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from resunet_lc_jax.models.numerics import Numerics
from resunet_lc_jax.models.shapes import Index, LeadPresent, Signal


class Outputs(NamedTuple):
    """Logits [B, K], and scores [B, K]: the probabilities that metrics and thresholds see."""

    logits: Float[Array, "B K"]
    scores: Float[Array, "B K"]


class Network(nn.Module):
    """What all networks share; a subclass gives the published width and dropout, and `outputs`.

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

    def __call__(
        self,
        signal: Signal,
        lead_present: LeadPresent,
        train: bool = False,
        index: Index | None = None,
    ) -> Outputs:
        """Scores signals.

        Args:
            signal: [B, num_leads, T], see `Signal`.
            lead_present: [B, num_leads], see `LeadPresent`.
            train: whether batch statistics and dropout are used.
            index: [B], see `Index`; for dropout.

        Raises:
            ValueError: for a signal of another form.
        """
        if signal.ndim != 3 or signal.shape[1] != self.num_leads:
            raise ValueError(
                f"signal has shape {signal.shape}, but this network takes [batch, lead, time] with "
                f"{self.num_leads} leads; select the leads or create the network with num_leads"
            )
        return self.outputs(signal, lead_present, train, index)

    def outputs(
        self, signal: Signal, lead_present: LeadPresent, train: bool, index: Index | None
    ) -> Outputs:
        """The subclass's layers (`nn.compact`), from a signal of the right form."""
        raise NotImplementedError(f"{type(self).__name__} has no layers: define outputs")

    def over(self, axis_name: str | None) -> "Network":
        """The same network, whose BatchNorm counts the whole batch over this mapped axis."""
        return self.clone(numerics=replace(self.numerics, axis_name=axis_name))


def sigmoid_outputs(logits: Float[Array, "B K"]) -> Outputs:
    """Outputs whose scores are the logits' sigmoids, in float32 at least."""
    logits = logits.astype(jnp.promote_types(jnp.float32, logits.dtype))
    return Outputs(logits, nn.sigmoid(logits))
