"""ResUNet-LC and the networks it is compared with: training, evaluation and prediction in JAX."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resunet_lc_jax.classifier import Classifier

__version__ = "0.1.0"
__all__ = ["Classifier", "__version__"]


def __getattr__(name: str) -> Any:
    """Imports the classifier, and with it JAX, where it is asked for."""
    if name != "Classifier":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from resunet_lc_jax.classifier import Classifier

    return Classifier
