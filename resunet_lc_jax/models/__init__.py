"""The networks, by name."""

import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from resunet_lc_jax.models.isibrno import ISIBrno
from resunet_lc_jax.models.mvms_net import MVMSNet
from resunet_lc_jax.models.network import Network, Outputs
from resunet_lc_jax.models.res1d_maxpool import Res1DMaxPool
from resunet_lc_jax.models.res2d_lc import Res2DLC
from resunet_lc_jax.models.res2d_maxpool import Res2DMaxPool
from resunet_lc_jax.models.resunet_lc import ResUNetLC
from resunet_lc_jax.models.ribeiro_resnet import RibeiroResNet

__all__ = ["MODEL_NAMES", "Network", "Outputs", "create_model"]

_NETWORKS: dict[str, type[Network]] = {
    "resunet_lc": ResUNetLC,
    "resu2d_lc": ResUNetLC,  # the reference has the same code under both names
    "res1d_maxpool": Res1DMaxPool,
    "res2d_maxpool": Res2DMaxPool,
    "res2d_lc": Res2DLC,
    "ribeiro_resnet": RibeiroResNet,
    "mvms_net": MVMSNet,
    "isibrno": ISIBrno,
}
MODEL_NAMES = tuple(_NETWORKS)


def create_model(
    name: str,
    *,
    num_classes: int = 26,
    num_leads: int = 12,
    width: int | None = None,
    dropout: float | None = None,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    unbiased_variance: bool = True,
    freeze_statistics: bool = False,
    remat: bool = False,
    precision: lax.PrecisionLike = None,
    odd_lead_shift: bool = False,
) -> Network:
    """A network by its name; its call is described at `Network`.

    Args:
        name: one of MODEL_NAMES.
        num_classes: K.
        num_leads: L.
        width: channels of the first stage; None is the published width.
        dropout: probability that an element is dropped; None is the published one.
        dtype: compute dtype; parameters and statistics stay float32 (float64 with float64).
        axis_name: mapped axis over which the batch is divided, for BatchNorm's statistics.
        unbiased_variance: whether BatchNorm's running variance is unbiased, as PyTorch's.
        freeze_statistics: whether BatchNorm's running statistics serve in training, unchanged.
        remat: whether the backward pass computes activations anew instead of keeping them.
        precision: of convolutions and matrix products, as `jax.lax.Precision`.
        odd_lead_shift: whether the 2-D ablations follow the reference's slip (see `Network`).

    Raises:
        ValueError: for an unknown name.
    """
    if name not in _NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(MODEL_NAMES)}")
    network = _NETWORKS[name]
    return network(
        num_classes=num_classes,
        num_leads=num_leads,
        width=network.width if width is None else width,
        dropout=network.dropout if dropout is None else dropout,
        dtype=dtype,
        axis_name=axis_name,
        unbiased_variance=unbiased_variance,
        freeze_statistics=freeze_statistics,
        remat=remat,
        precision=precision,
        odd_lead_shift=odd_lead_shift,
    )
