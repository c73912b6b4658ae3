"""How a network computes: one value, made where a command is set up and handed down to each layer.

What a network is (its classes, leads, width and dropout) is not here; see `network.Network`.
"""

from dataclasses import dataclass
from typing import Literal

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

Form = Literal["plain", "cpu"]
"""How large convolutions are computed; see `models.convolution`."""


def form_for(platform: str) -> Form:
    """The fastest form on the devices of a platform: 'cpu', 'gpu', 'cuda', 'tpu' and so on."""
    return "cpu" if platform == "cpu" else "plain"


@dataclass(frozen=True)
class Numerics:
    """How a network computes, apart from its sizes.

    Attributes:
        dtype: of activations and of the weights' copies that multiply them; parameters and
            statistics stay float32 (float64 with float64).
        precision: of convolutions and matrix products, as `jax.lax.Precision`.
        form: 'plain' (XLA's own convolutions, for GPUs; right everywhere, slow in training on a
            CPU) or 'cpu' (large layers in Winograd's form, their kernel gradients in blocks).
        axis_name: mapped axis over which the batch is divided, for BatchNorm's statistics.
        unbiased_variance: whether BatchNorm's running variance is unbiased, as PyTorch's.
        freeze_statistics: whether BatchNorm's running statistics serve in training, unchanged.
        remat: whether the backward pass computes each block anew from its input instead of keeping
            what is in it: less memory for a third more arithmetic.
        odd_lead_shift: whether res2d_maxpool and res2d_lc follow the reference's slip: it tests
            the number of leads where the length is meant, which shifts a residual block's
            identity by one sample where that number is odd. Other networks have no such slip.
        folded: whether this is the form for evaluation alone that `models.folding` makes.
    """

    dtype: DTypeLike = jnp.float32
    precision: lax.PrecisionLike = None
    form: Form = "plain"
    axis_name: str | None = None
    unbiased_variance: bool = True
    freeze_statistics: bool = False
    remat: bool = False
    odd_lead_shift: bool = False
    folded: bool = False

    @property
    def param_dtype(self) -> jnp.dtype:
        """Dtype of parameters and statistics: the compute dtype, but at least float32."""
        return jnp.promote_types(jnp.float32, self.dtype)
