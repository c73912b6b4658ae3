"""How near each class of layers comes to the machine's float32 peak, forward and backward."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.timing import Row, seconds

BATCH, LEADS = 4, 12
# Name -> form, samples in, channels in and out, kernel, and how many of the network's layers.
CLASSES = {
    "stem, 1 to 128": ("strided_conv", 4096, 1, 128, (3, 15)),
    "convolution, 128 to 128": ("conv", 2048, 128, 128, (3, 9)),
    "1x1 convolution": ("conv", 1024, 128, 128, (1, 1)),
    "first encoder, 128 to 64": ("strided_conv", 2048, 128, 64, (3, 9)),
    "encoder, 64 to 64": ("strided_conv", 512, 64, 64, (3, 9)),
    "bottleneck, 64 to 64": ("conv", 32, 64, 64, (3, 9)),
    "decoder, 128 to 64": ("transposed_conv", 256, 128, 64, (3, 9)),
    "last decoder, 128 to 128": ("transposed_conv", 1024, 128, 128, (3, 9)),
}


def measure() -> tuple[list[Row], dict[str, dict[str, float]]]:
    """Returns rows of GFLOP/s, the machine's peak as their peer, and {class: {pass: GFLOP/s}}.

    FLOPs are those of the plain convolution, so that Winograd's form, which needs half of them, may
    pass the peak. On a GPU the ratio is the MFU against a matrix product of the same precision.
    """
    peak = matrix_peak()
    achieved = {name: _achieved(*spec) for name, spec in CLASSES.items()}
    rows = [Row("float32 matrix product, 4096 x 4096", peak, None, "GFLOP/s")]
    rows += [
        Row(f"{name}, {what}", value, peak, "GFLOP/s", note="of the matrix product's")
        for name, passes in achieved.items()
        for what, value in passes.items()
    ]
    return rows, achieved


def matrix_peak() -> float:
    """GFLOP/s of a large float32 matrix product, the best of five."""
    import jax
    import jax.numpy as jnp

    a = jnp.asarray(np.random.default_rng(0).standard_normal((4096, 4096), np.float32))
    product = jax.jit(jnp.matmul)
    spent = min(seconds(lambda: product(a, a).block_until_ready()) for _ in range(6))
    return 2 * 4096**3 / spent / 1e9


def _wait(run: Callable) -> None:
    import jax

    jax.block_until_ready(run())


def _achieved(
    form: str, length: int, channels: int, features: int, size: tuple[int, int]
) -> dict[str, float]:
    import jax
    import jax.numpy as jnp

    from resunet_lc_jax.models import Numerics, convolution, form_for

    numerics = Numerics(form=form_for(jax.default_backend()))
    layer = partial(getattr(convolution, form), numerics=numerics)
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((BATCH, LEADS, length, channels), np.float32))
    kernel = jnp.asarray(rng.standard_normal((*size, channels, features), np.float32))
    y = layer(x, kernel)

    def gradient(what: int, x: Any, kernel: Any, y: Any) -> Any:
        of = (lambda x: layer(x, kernel)) if what == 0 else (lambda kernel: layer(x, kernel))
        return jax.vjp(of, (x, kernel)[what])[1](y)

    passes: dict[str, Callable] = {
        "forward": lambda x, kernel, y: layer(x, kernel),
        "input gradient": partial(gradient, 0),
        "kernel gradient": partial(gradient, 1),
    }
    positions = length // 2 if form == "strided_conv" else length
    flops = 2 * BATCH * LEADS * positions * math.prod(size) * channels * features
    rates = {}
    for name, function in passes.items():
        compiled = jax.jit(function).lower(x, kernel, y).compile()
        run = partial(compiled, x, kernel, y)
        jax.block_until_ready(run())
        rates[name] = flops / seconds(partial(_wait, run), rounds=5) / 1e9
    return rates
