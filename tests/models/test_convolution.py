"""The fast convolution forms against XLA's literal ones."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from resunet_lc_jax.models import Numerics, convolution, form_for

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_CPU = Numerics(form="cpu")


def literal_conv(x, kernel, *, stride, padding):
    height = kernel.shape[0] // 2
    return lax.conv_general_dilated(
        x,
        kernel,
        (1, stride),
        ((height, height), (padding, padding)),
        dimension_numbers=_LAYOUT,
    )


def literal_transposed_conv(x, kernel):
    """ConvTranspose2d as PyTorch defines it: the input dilated, the kernel reversed."""
    height, width = kernel.shape[0] // 2, kernel.shape[1] // 2
    return lax.conv_general_dilated(
        x,
        kernel[::-1, ::-1],
        (1, 1),
        ((height, height), (width, width + 1)),
        lhs_dilation=(1, 2),
        dimension_numbers=_LAYOUT,
    )


def random_case(batch, leads, length, channels, features, height, width, dtype=np.float32):
    rng = np.random.default_rng(length * 31 + width)
    x = rng.standard_normal((batch, leads, length, channels), dtype)
    kernel = rng.standard_normal((height, width, channels, features), dtype)
    scale = dtype(np.sqrt(height * width * channels))
    return jnp.asarray(x), jnp.asarray(kernel / scale)


def assert_same_function(ours, literal, x, kernel, tolerance=1e-5):
    """Same values and, for a random cotangent, same gradients of input and kernel."""
    got, pull = jax.vjp(ours, x, kernel)
    expected, literal_pull = jax.vjp(literal, x, kernel)
    assert got.shape == expected.shape
    cotangent = jnp.asarray(np.random.default_rng(1).standard_normal(got.shape), x.dtype)
    cotangent = cotangent / np.sqrt(got.size)  # gradients of order 1, as the tolerance
    for a, b in zip((got, *pull(cotangent)), (expected, *literal_pull(cotangent)), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance, rtol=tolerance)


shapes = {
    "batch": st.integers(1, 2),
    "leads": st.sampled_from([1, 2, 5]),
    "length": st.integers(17, 40),
    "channels": st.integers(1, 4),
    "features": st.integers(1, 4),
    "height": st.sampled_from([1, 3]),
}


@settings(max_examples=9, deadline=None, derandomize=True)
@given(width=st.sampled_from([1, 3, 9, 15, 17]), stride=st.sampled_from([2, 4]), **shapes)
def test_strided_convolution_equals_the_literal_one_at_any_length(width, stride, **shape):
    x, kernel = random_case(width=width, **shape)
    padding = max(0, (width - stride + 1) // 2) if stride == 4 else width // 2
    assert_same_function(
        lambda x, k: convolution.strided_conv(x, k, _CPU, stride=stride, padding=padding),
        lambda x, k: literal_conv(x, k, stride=stride, padding=padding),
        x,
        kernel,
    )


@settings(max_examples=6, deadline=None, derandomize=True)
@given(width=st.sampled_from([1, 5, 9]), **shapes)
def test_transposed_convolution_equals_the_literal_one_at_any_length(width, **shape):
    x, kernel = random_case(width=width, **shape)
    assert_same_function(
        partial(convolution.transposed_conv, numerics=_CPU), literal_transposed_conv, x, kernel
    )


@pytest.mark.parametrize("width, padding", [(9, None), (25, 0), (17, 8)])
def test_plain_convolution_equals_the_literal_one(width, padding):
    x, kernel = random_case(2, 3, 41, 3, 4, 3, width)
    literal_padding = width // 2 if padding is None else padding
    assert_same_function(
        lambda x, k: convolution.conv(x, k, _CPU, padding=padding),
        lambda x, k: literal_conv(x, k, stride=1, padding=literal_padding),
        x,
        kernel,
    )


@pytest.mark.parametrize(
    "batch, leads, length, channels, features",
    [(2, 12, 1100, 64, 64), (1, 12, 256, 128, 150), (3, 6, 400, 150, 64), (1, 4, 600, 64, 64)],
    ids=["blocks of time", "blocks of channels", "no Winograd, more channels in", "one tile"],
)
def test_large_layers_are_the_same_function(batch, leads, length, channels, features):
    """In float64, where Winograd's rounding is as small as any."""
    padding = 2 if batch > 1 else 0
    with jax.enable_x64(True):
        x, kernel = random_case(batch, leads, length, channels, features, 3, 5, np.float64)
        ours = partial(convolution.conv, numerics=_CPU, padding=padding)
        literal = partial(literal_conv, stride=1, padding=padding)
        assert_same_function(ours, literal, x, kernel, tolerance=1e-12)


def test_large_strided_layers_whose_padding_is_uneven_are_the_same_function():
    with jax.enable_x64(True):
        x, kernel = random_case(1, 12, 601, 64, 64, 3, 15, np.float64)
        literal = partial(literal_conv, stride=2, padding=7)
        ours = partial(convolution.strided_conv, numerics=_CPU)
        assert_same_function(ours, literal, x, kernel, tolerance=1e-12)


def test_winograds_rounding_is_within_a_few_times_that_of_the_direct_form():
    x, kernel = random_case(1, 12, 256, 128, 128, 3, 9)
    with jax.enable_x64(True):
        twice = (jnp.asarray(np.asarray(a, np.float64)) for a in (x, kernel))
        exact = np.asarray(literal_conv(*twice, stride=1, padding=4))
    winograd, direct = (
        np.std(
            np.asarray(convolution.conv(x, kernel, Numerics(form="cpu", precision=precision)))
            - exact
        )
        for precision in (None, lax.Precision.HIGHEST)
    )
    assert 1.1 * direct < winograd < 4 * direct < 2e-6  # the values' deviation is 1


def test_large_layers_take_the_form_that_is_asked_for_whatever_they_are_lowered_for():
    x, kernel = random_case(2, 12, 1024, 64, 128, 3, 9)

    def convolutions(platform, form, precision=None):
        def loss(kernel, x):
            numerics = Numerics(form=form, precision=precision)
            return (convolution.conv(x, kernel, numerics) ** 2).sum()

        lowered = jax.jit(jax.grad(loss)).trace(kernel, x).lower(lowering_platforms=(platform,))
        assert "stablehlo.case" not in lowered.as_text()
        return lowered.as_text().count("stablehlo.convolution")

    for platform in ("cpu", "cuda"):
        assert convolutions(platform, "plain") == 2  # forward and kernel gradient
        # Six parts forward; backward each has 2 examples times 2 blocks of time.
        assert convolutions(platform, "cpu") == 6 + 6 * 2 * 2
        # One forward; backward 2 examples times 6 blocks of time.
        assert convolutions(platform, "cpu", lax.Precision.HIGHEST) == 1 + 2 * 6


def test_in_the_plain_form_the_inputs_gradient_waits_for_the_kernels():
    x, kernel = random_case(1, 3, 16, 2, 4, 3, 9)

    def loss(x, kernel):
        return (convolution.conv(x, kernel, Numerics()) ** 2).sum()

    lowered = jax.jit(jax.grad(loss, argnums=(0, 1))).lower(x, kernel).as_text()
    (waits,) = (line for line in lowered.splitlines() if "optimization_barrier" in line)
    assert "tensor<1x3x16x2xf32>, tensor<3x9x2x4xf32>" in waits
    # Nothing is computed for an input without a gradient.
    assert (
        "optimization_barrier" not in jax.jit(jax.grad(loss, argnums=1)).lower(x, kernel).as_text()
    )


def test_the_form_follows_the_platform():
    assert form_for("cpu") == "cpu"
    assert {form_for(platform) for platform in ("gpu", "cuda", "rocm", "tpu")} == {"plain"}


def test_pointwise_convolution_is_a_matrix_product():
    x, kernel = random_case(2, 12, 300, 64, 64, 1, 1)
    ours = partial(convolution.conv, numerics=_CPU)
    assert_same_function(ours, partial(literal_conv, stride=1, padding=0), x, kernel)


def test_transposed_convolution_refuses_widths_it_would_get_wrong():
    x, kernel = random_case(1, 1, 8, 1, 1, 1, 7)
    with pytest.raises(ValueError, match="not 7"):
        convolution.transposed_conv(x, kernel, _CPU)


def test_average_pool_takes_means_of_pairs_and_drops_an_odd_last_sample():
    x = jnp.array([1.0, 3.0, 5.0, 9.0, 100.0]).reshape(1, 1, 5, 1)
    np.testing.assert_array_equal(convolution.average_pool(x).ravel(), [2.0, 7.0])


@pytest.mark.eight_devices
def test_large_layers_gradients_are_the_same_under_pmap():
    x, kernel = random_case(8, 12, 256, 64, 64, 1, 3)

    def gradient(kernel, x):
        return jax.grad(lambda kernel: (convolution.conv(x, kernel, _CPU) ** 2).mean())(kernel)

    whole = jax.jit(gradient)(kernel, x)
    mapped = jax.pmap(
        lambda kernel, x: lax.pmean(gradient(kernel, x), "data"),
        "data",
        in_axes=(None, 0),
        out_axes=None,
    )
    np.testing.assert_allclose(mapped(kernel, x[:, None]), whole, rtol=1e-5, atol=1e-7)
