"""ISIBrno-AIMT, the winner of the PhysioNet/CinC Challenge 2021.

Nejedly et al., "Classification of ECG Using Ensemble of Residual CNNs with Attention Mechanism",
Computing in Cardiology (2021); names and kernel shapes are those of a public fork of its code.
"""

import math

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from resunet_lc_jax.models.layers import BatchNorm, Dropout, Linear, leaky_relu
from resunet_lc_jax.models.network import Network, Outputs, sigmoid_outputs
from resunet_lc_jax.models.numerics import Numerics
from resunet_lc_jax.models.residual import residual_blocks
from resunet_lc_jax.models.shapes import Index, LeadPresent, Signal
from resunet_lc_jax.models.stage import stage

_HEADS = 8


class ISIBrno(Network):
    """Residual blocks, self-attention over time and two heads; 6,561,900 parameters.

    The first head's logits are for the cross-entropy; the second head maps them, detached, to the
    scores. Takes any length; absent leads are zeros in the signal and 0 in lead_present.
    """

    width: int = 256

    @nn.compact
    def outputs(
        self, signal: Signal, lead_present: LeadPresent, train: bool, index: Index | None
    ) -> Outputs:
        """See `Network.outputs`."""
        numerics = self.numerics
        x = signal.swapaxes(1, 2)[:, None]  # [B, 1, T, L]
        stem = stage(
            x, train=train, features=self.width, kernel_size=(1, 15), stride=2, numerics=numerics
        )
        x = residual_blocks(
            stem, train, count=5, features=self.width, kernel_size=(1, 9), numerics=numerics
        )
        x = Dropout(self.dropout, name="dropout")(x, index=index, train=train)
        x = SelfAttention(numerics, name="mha")(x[:, 0]).max(axis=1)
        x = jnp.concatenate([x, lead_present.astype(x.dtype)], axis=-1)
        logits = Linear(self.num_classes, numerics, name="fc_1")(x)

        y = Linear(self.width, numerics, name="ch_fc1")(lax.stop_gradient(logits))
        y = leaky_relu(BatchNorm(numerics, name="ch_bn")(y, train))
        y = Linear(self.num_classes, numerics, name="ch_fc2")(y)
        return Outputs(sigmoid_outputs(logits).logits, sigmoid_outputs(y).scores)


class SelfAttention(nn.Module):
    """Multi-head self-attention with biases, initialised as PyTorch's MultiheadAttention."""

    numerics: Numerics

    @nn.compact
    def __call__(self, x: Float[Array, "B t C"]) -> Float[Array, "B t C"]:
        """Maps [B, t, C] to [B, t, C]; 8 divides C."""
        batch, steps, channels = x.shape
        if channels % _HEADS:
            raise ValueError(f"isibrno needs a width that {_HEADS} divides, not {channels}")
        project = Linear(
            3 * channels,
            self.numerics,
            kernel_init=nn.initializers.xavier_uniform(),
            bias_init=nn.initializers.zeros,
            name="in_proj",
        )
        q, k, v = project(x).reshape(batch, steps, 3, _HEADS, -1).transpose(2, 0, 3, 1, 4)
        precision = self.numerics.precision
        similarity = jnp.einsum("bhqc,bhkc->bhqk", q, k, precision=precision)
        similarity = similarity.astype(self.numerics.param_dtype) / math.sqrt(q.shape[-1])
        weights = nn.softmax(similarity).astype(x.dtype)
        y = jnp.einsum("bhqk,bhkc->bqhc", weights, v, precision=precision)
        merge = Linear(channels, self.numerics, bias_init=nn.initializers.zeros, name="out_proj")
        return merge(y.reshape(batch, steps, channels))
