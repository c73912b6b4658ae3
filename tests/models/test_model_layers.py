"""Batch normalisation, dropout and initial values: PyTorch's semantics, on any number of devices.

(test_layers.py is about who may import whom.)
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from resunet_lc_jax.models import Numerics, create_model
from resunet_lc_jax.models.layers import BatchNorm, Conv, Dropout, Linear


def batch(shape=(8, 3, 5, 4), seed=0, offset=0.0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32) * 2 + offset


def normalise(x, variables=None, train=True, **numerics):
    layer, x = BatchNorm(Numerics(**numerics)), jnp.asarray(x)
    variables = variables or layer.init(jax.random.key(0), x, False)
    return layer.apply(variables, x, train, mutable=["batch_stats"])


def test_batch_norm_normalises_by_the_biased_variance_and_keeps_the_unbiased_one():
    x = batch(offset=3.0)
    y, state = normalise(x)
    values = x.reshape(-1, 4).astype(np.float64)
    expected = (values - values.mean(0)) / np.sqrt(values.var(0) + 1e-5)
    np.testing.assert_allclose(y.reshape(-1, 4), expected, atol=2e-6)
    stats = state["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.1 * values.mean(0), rtol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * values.var(0, ddof=1), rtol=1e-6)


def test_batch_norm_can_keep_the_biased_variance():
    x = batch()
    _, state = normalise(x, unbiased_variance=False)
    np.testing.assert_allclose(
        state["batch_stats"]["var"], 0.9 + 0.1 * x.reshape(-1, 4).var(0), rtol=1e-6
    )


def test_batch_norm_uses_and_keeps_the_running_statistics_in_evaluation():
    x = batch()
    variables = {
        "params": {"scale": jnp.full(4, 3.0), "bias": jnp.full(4, -1.0)},
        "batch_stats": {"mean": jnp.full(4, 0.5), "var": jnp.full(4, 4.0)},
    }
    y, state = normalise(x, variables, train=False)
    np.testing.assert_allclose(y, (x - 0.5) / math.sqrt(4 + 1e-5) * 3 - 1, rtol=1e-5, atol=1e-6)
    assert jax.tree.all(
        jax.tree.map(np.array_equal, state["batch_stats"], variables["batch_stats"])
    )


def test_batch_norm_stays_accurate_where_the_mean_dwarfs_the_deviation():
    x = batch(shape=(64, 3, 50, 4), offset=300.0)  # once the running mean has come near
    layer = BatchNorm(Numerics())
    variables = layer.init(jax.random.key(0), jnp.asarray(x), False)
    variables["batch_stats"]["mean"] = jnp.full(4, 290.0)
    y, _ = normalise(x, variables)
    values = x.astype(np.float64)
    expected = (values - values.mean((0, 1, 2))) / values.std((0, 1, 2))
    np.testing.assert_allclose(y, expected, atol=1e-4)


def test_batch_norm_takes_its_statistics_in_float32_when_computing_in_bfloat16():
    x = jnp.asarray(batch(shape=(64, 3, 50, 4)), jnp.bfloat16)
    y, state = normalise(x, dtype=jnp.bfloat16)
    assert y.dtype == jnp.bfloat16
    assert state["batch_stats"]["var"].dtype == jnp.float32
    values = np.asarray(x, np.float64).reshape(-1, 4)
    np.testing.assert_allclose(state["batch_stats"]["mean"], 0.1 * values.mean(0), atol=1e-6)


@pytest.mark.eight_devices
def test_batch_norm_over_eight_devices_equals_one_device_with_its_gradient():
    x, weight = batch(offset=1.0), batch(seed=1)

    def loss(x, weight, axis_name):
        y, state = normalise(x, axis_name=axis_name)
        return (y * weight).sum(), (y, state)

    (_, (y, state)), gradient = jax.value_and_grad(loss, has_aux=True)(x, weight, None)
    divided = jax.pmap(jax.value_and_grad(lambda x, w: loss(x, w, "batch"), has_aux=True), "batch")
    (_, (ys, states)), gradients = divided(x[:, None], weight[:, None])
    np.testing.assert_allclose(ys[:, 0], y, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradients[:, 0], gradient, atol=1e-5)
    for one, eight in zip(jax.tree.leaves(state), jax.tree.leaves(states), strict=True):
        np.testing.assert_allclose(eight, np.stack([one] * 8), rtol=1e-6)


def drop(x, index, *, seed=0, rate=0.5, train=True):
    key = jax.random.key(seed)
    return Dropout(rate).apply({}, x, index=index, train=train, rngs={"dropout": key})


def test_dropout_mask_of_an_example_depends_on_its_global_index_alone():
    x = jnp.ones((8, 3, 50))
    whole = drop(x, jnp.arange(8))
    order = np.array([5, 2, 7])
    np.testing.assert_array_equal(drop(x[:3], jnp.asarray(order)), whole[order])
    assert not np.array_equal(whole[0], whole[1])
    assert not np.array_equal(drop(x, jnp.arange(8), seed=1), whole)


@pytest.mark.eight_devices
def test_dropout_is_the_same_under_jit_a_mesh_and_pmap():
    x, index = jnp.ones((8, 3, 50)), jnp.arange(8)
    whole = jax.jit(drop)(x, index)
    np.testing.assert_array_equal(jax.pmap(drop)(x[:, None], index[:, None])[:, 0], whole)
    sharding = NamedSharding(Mesh(jax.devices(), "data"), PartitionSpec("data"))
    placed = jax.device_put((x, index), sharding)
    np.testing.assert_array_equal(jax.jit(drop)(*placed), whole)


def test_dropout_drops_the_given_share_and_keeps_the_mean():
    y = drop(jnp.ones((4, 100, 100)), jnp.arange(4), rate=0.2)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1.25)}
    assert np.mean(y == 0) == pytest.approx(0.2, abs=0.01)  # 40,000 draws: 5 standard errors


def test_dropout_passes_everything_in_evaluation_and_at_rate_zero():
    x = jnp.ones((2, 9))
    np.testing.assert_array_equal(drop(x, None, train=False), x)
    np.testing.assert_array_equal(drop(x, None, rate=0.0), x)


def test_dropout_in_training_without_indices_is_an_error():
    with pytest.raises(ValueError, match="index"):
        drop(jnp.ones((2, 9)), None)


@pytest.mark.parametrize(
    "layer, fan_in",
    [
        (Conv(16, (3, 9)), 3 * 9 * 8),
        (Conv(16, (9,), stride=2, use_bias=True), 9 * 8),
        (Conv(16, (3, 9), transposed=True), 3 * 9 * 16),  # PyTorch counts the output channels
        (Linear(64), 8),
    ],
)
def test_initial_values_are_uniform_within_pytorchs_bounds(layer, fan_in):
    params = layer.init(jax.random.key(0), jnp.zeros((1, 2, 16, 8)))["params"]
    bound = 1 / math.sqrt(fan_in)
    for values in params.values():
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.8 * bound
    kernel = np.asarray(params["kernel"])
    assert kernel.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)  # 512 values or more


def test_axis_name_can_be_set_on_an_existing_network():
    model = create_model("resunet_lc", width=8)
    assert model.over("batch").numerics.axis_name == "batch"
    assert model.numerics.axis_name is None
