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

    Args:
        inputs: [B, L, T, C], side by side along C.
        train: see `BatchNorm`.
        features: channels out.
        kernel_size: see `Conv`.
        numerics: see `Numerics`.
        stride: see `Conv`.
        transposed: see `Conv`.
        suffix: of the layers' names.

    Returns:
        [B, L, T', features]; see `Normalised`.
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
