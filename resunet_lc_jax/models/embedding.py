"""The vector that a network makes of a record before it decides on classes."""

from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float

from resunet_lc_jax.models.layers import Linear
from resunet_lc_jax.models.network import Network
from resunet_lc_jax.models.shapes import LeadPresent, Signal


def embedding(
    model: Network, variables: dict[str, Any], signal: Signal, lead_present: LeadPresent
) -> Float[Array, "B D"]:
    """What goes into the layer that gives the logits; its size D is the network's own.

    Args:
        model: The network.
        variables: Its parameters and statistics.
        signal: [B, L, T], see `Signal`.
        lead_present: [B, L], see `LeadPresent`.
    """
    found = []

    def watch(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        layer = context.module
        if isinstance(layer, Linear) and layer.path[:-1] == ():
            found.append((layer.features, args[0]))
        return call(*args, **kwargs)

    with nn.intercept_methods(watch):
        model.apply(variables, signal, lead_present, train=False)
    return next(given for features, given in found if features == model.num_classes)
