"""The networks, by name."""

from resunet_lc_jax.models.ablations import Res1DMaxPool, Res2DLC, Res2DMaxPool
from resunet_lc_jax.models.isibrno import ISIBrno
from resunet_lc_jax.models.mvms_net import MVMSNet
from resunet_lc_jax.models.network import Network, Outputs
from resunet_lc_jax.models.numerics import Numerics, form_for
from resunet_lc_jax.models.resunet_lc import ResUNetLC
from resunet_lc_jax.models.ribeiro_resnet import RibeiroResNet

__all__ = ["MODEL_NAMES", "Network", "Numerics", "Outputs", "create_model", "form_for"]

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
    numerics: Numerics | None = None,
) -> Network:
    """A network by its name; its call is described at `Network`.

    Args:
        name: one of MODEL_NAMES.
        num_classes: K.
        num_leads: L.
        width: channels of the first stage; None is the published width.
        dropout: probability that an element is dropped; None is the published one.
        numerics: how it computes; None is `Numerics()`. On a CPU `Numerics(form='cpu')` trains
            many times faster.

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
        numerics=numerics or Numerics(),
    )
