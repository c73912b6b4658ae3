"""The networks' multiplications and additions, by the formulas of their layers."""

import math
from functools import partial
from typing import Any

from benchmarks.networks import LEADS


def training_flops(network: str, *, batch: int, length: int) -> int:
    """Floating-point operations of a training step: three times those of the forward pass.

    Counted are convolutions, as they are published (no zero taps), the lead combiner's and linear
    layers; the products of attention, a thousandth of mvms_net's, are not.
    """
    import jax
    import jax.numpy as jnp
    from flax import linen as nn

    from resunet_lc_jax.models import create_model
    from resunet_lc_jax.models.layers import Conv, Linear, Normalised
    from resunet_lc_jax.models.lead_combiner import Mix

    counted: list[int] = []

    def count(call: Any, inputs: tuple, keywords: dict, context: Any) -> Any:
        outputs, layer = call(*inputs, **keywords), context.module
        first = inputs[0].values if isinstance(inputs[0], Normalised) else inputs[0]
        if isinstance(layer, Conv | Linear | Mix) and context.method_name == "__call__":
            kernel = layer.get_variable("params", "kernel")
            transposed = isinstance(layer, Conv) and layer.transposed
            positions = math.prod((first if transposed else outputs).shape[:-1])
            counted.append(2 * positions * math.prod(kernel.shape))
        return outputs

    model = create_model(network)
    signal, present = jnp.zeros((batch, LEADS, length)), jnp.ones((batch, LEADS))
    with nn.intercept_methods(count):
        jax.eval_shape(partial(model.init, train=False), jax.random.key(0), signal, present)
    return 3 * sum(counted)
