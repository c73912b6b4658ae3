"""The form for evaluation: the same function as the trained network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resunet_lc_jax.models import Numerics, create_model
from resunet_lc_jax.models.folding import fold


def trained(name, length, dtype=np.float32):
    """A network of width 8, and variables none of which is at its initial value."""
    model = create_model(name, width=8, num_classes=4, numerics=Numerics(dtype=dtype))
    template = jax.eval_shape(
        model.init, jax.random.key(0), jnp.zeros((1, 12, length)), jnp.ones((1, 12))
    )
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1].key in ("scale", "var"):
            return rng.uniform(0.5, 1.5, leaf.shape).astype(dtype)
        scale = np.sqrt(2 / np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.3
        return (rng.standard_normal(leaf.shape) * scale).astype(dtype)

    return model, jax.tree_util.tree_map_with_path(draw, template)


@pytest.mark.parametrize("name", ["resunet_lc", "res1d_maxpool", "isibrno"])
def test_folded_network_gives_the_networks_scores_and_logits(name):
    model, variables = trained(name, 256)
    signal = np.random.default_rng(1).standard_normal((2, 12, 256)).astype(np.float32)
    expected = jax.jit(model.apply)(variables, signal, jnp.ones((2, 12)))
    folded, fewer = fold(model, variables, length=256)
    got = jax.jit(folded.apply)(fewer, signal, jnp.ones((2, 12)))
    scale = np.abs(expected.logits).max()
    np.testing.assert_allclose(got.logits, expected.logits, rtol=0, atol=1e-5 * scale)
    np.testing.assert_allclose(got.scores, expected.scores, rtol=0, atol=1e-4)


def test_folding_is_exact_to_the_last_digits_in_float64():
    with jax.enable_x64(True):
        model, variables = trained("resunet_lc", 256, np.float64)
        signal = np.random.default_rng(1).standard_normal((2, 12, 256))
        expected = jax.jit(model.apply)(variables, signal, jnp.ones((2, 12)))
        folded, fewer = fold(model, variables, length=256)
        got = jax.jit(folded.apply)(fewer, signal, jnp.ones((2, 12)))
        np.testing.assert_allclose(got.logits, expected.logits, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", ["ribeiro_resnet", "mvms_net"])
def test_network_without_such_layers_stays_as_it_is(name):
    model, variables = trained(name, 256)
    _, same = fold(model, variables, length=256)
    assert jax.tree.all(jax.tree.map(np.array_equal, same, variables))


def test_folded_resunet_has_neither_its_batch_norms_nor_the_inner_pointwise_kernels():
    model, variables = trained("resunet_lc", 256)
    _, fewer = fold(model, variables, length=256)
    assert set(fewer["batch_stats"]) == {"lc"}
    assert {name for name, block in fewer["params"].items() if "idfunc_1" in block} == {"rub_3"}
    assert "bn" not in fewer["params"]["rub_0"]["bottleneck"]
