"""The PyTorch twins of benchmarks/ are the same networks as ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resunet_lc_jax.models import Numerics, create_model
from resunet_lc_jax.pytorch.weights import to_state_dict

torch = pytest.importorskip("torch")
from benchmarks.torch_twin import create_twin  # noqa: E402  (after the skip)

TWINS = ("resunet_lc", "resu2d_lc", "res1d_maxpool", "res2d_maxpool", "res2d_lc")


def logits_of_both(name, leads, length, odd_lead_shift=False):
    """Logits of our network and of its twin, which loaded our weights strictly."""
    rng = np.random.default_rng(0)
    signal = jnp.asarray(rng.standard_normal((2, leads, length), np.float32))
    present = jnp.ones((2, leads))
    sizes = {"width": 8, "num_leads": leads, "num_classes": 5}
    model = create_model(name, **sizes, numerics=Numerics(odd_lead_shift=odd_lead_shift))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), signal, present))
    variables = jax.tree.map(
        lambda leaf: (
            rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
            if leaf.ndim == 1
            else rng.normal(0, 0.1, leaf.shape).astype(np.float32)
        ),
        variables,
    )
    twin = create_twin(name, **sizes, num_samples=length, odd_lead_shift=odd_lead_shift)
    state_dict = to_state_dict(variables, num_batches_tracked=3)
    twin.load_state_dict({k: torch.tensor(v) for k, v in state_dict.items()}, strict=True)
    assert list(twin.state_dict()) == list(state_dict)
    with torch.no_grad():
        expected = twin.eval()(torch.tensor(np.asarray(signal))).numpy()
    got = jax.jit(model.apply)(variables, signal, present).logits
    return got, expected


@pytest.mark.parametrize("name", TWINS)
def test_twin_loads_our_weights_strictly_and_gives_our_logits(name):
    leads, length = (3, 250) if name == "res1d_maxpool" else (2, 256)
    ours, twins = logits_of_both(name, leads, length)
    np.testing.assert_allclose(ours, twins, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["res2d_maxpool", "res2d_lc"])
def test_the_references_shift_of_odd_leads_can_be_had_and_changes_the_logits(name):
    ours, twins = logits_of_both(name, 3, 128, odd_lead_shift=True)
    np.testing.assert_allclose(ours, twins, rtol=1e-5, atol=1e-5)
    unshifted, _ = logits_of_both(name, 3, 128)
    assert np.abs(ours - unshifted).max() > 1e-3
