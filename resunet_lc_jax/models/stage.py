"""Convolution, BatchNorm and LeakyReLU: the stage that most of the networks are chains of."""

from resunet_lc_jax.models.layers import BatchNorm, Conv, Features, Normalised, leaky_relu
from resunet_lc_jax.models.numerics import Numerics


def stage(
    *inputs: Features,
    train: bool,
    features: int,
    kernel_size: tuple[int, ...],
    numerics: Numerics,
    stride: int = 1,
    transposed: bool = False,
    suffix: str | int = "",
) -> Features:
    """Convolution, BatchNorm and LeakyReLU: layers conv and bn of the module that calls it.

    The arguments are those of `Conv` and `BatchNorm`; the suffix is of the layers' names.

    Returns:
        [B, L, T', features], as `Normalised` where BatchNorm is not folded into the convolution.
    """
    conv = Conv(
        features,
        kernel_size,
        stride=stride,
        transposed=transposed,
        use_bias=numerics.folded,
        numerics=numerics,
        name=f"conv{suffix}",
    )
    y = conv(*inputs)
    if numerics.folded:
        return leaky_relu(y)
    norm = BatchNorm(numerics, name=f"bn{suffix}")
    return Normalised(y, *norm.coefficients(y, train))
