"""Variables of small networks, drawn at random, and PyTorch checkpoints of them."""

import jax
import jax.numpy as jnp
import numpy as np

from resunet_lc_jax.models import create_model
from resunet_lc_jax.pytorch.checkpoint import TorchCheckpoint
from resunet_lc_jax.pytorch.weights import from_moments, to_state_dict


def template(name, *, width=8, num_leads=12, num_classes=26, length=256):
    model = create_model(name, width=width, num_leads=num_leads, num_classes=num_classes)
    signal, present = jnp.zeros((1, num_leads, length)), jnp.ones((1, num_leads))
    return jax.eval_shape(lambda: model.init(jax.random.key(0), signal, present))


def random_variables(name, seed=0, **shape):
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: rng.uniform(0.1, 1, leaf.shape).astype(np.float32), template(name, **shape)
    )


def assert_equal_dicts(got, expected):
    assert list(got) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
        assert got[name].dtype == array.dtype


def random_checkpoint(name="res1d_maxpool"):
    variables = random_variables(name)
    mu, nu = random_variables(name, 1)["params"], random_variables(name, 2)["params"]
    return TorchCheckpoint(
        to_state_dict(variables, num_batches_tracked=300),
        from_moments(mu, nu, 300, learning_rate=0.01),
        step=300,
        epoch=7,
    )
