"""Shapes and types: of a batch always, of all that networks, steps and losses take in tests."""

import jax
import jax.numpy as jnp
import pytest
from batches import random_batch
from jaxtyping import TypeCheckError

from resunet_lc_jax.learning import losses, steps
from resunet_lc_jax.models import create_model


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("lead_mean", lambda x: x[:, :11], r"lead_mean .* float32 \(4, 11\).*Float \[B L\]"),
        ("lead_std", lambda x: x[0], r"lead_std .* \(12,\)"),
        ("mask", lambda x: x[:, None], r"mask .* \(4, 1\).*Float \[B\]"),
        ("labels", lambda x: x.astype(int), r"labels .* int64 .*Float \[B K\]"),
        ("index", lambda x: x.astype(float), r"index .* float64"),
    ],
)
def test_a_batch_whose_arrays_do_not_fit_together_is_refused(name, change, message):
    batch = random_batch(0, size=4)
    batch[name] = change(batch[name])
    with pytest.raises(ValueError, match=message):
        steps.normalise(batch)


def test_tests_check_what_losses_and_networks_are_given():
    """What would otherwise broadcast, or round, without a word."""
    with pytest.raises(TypeCheckError):
        losses.bce_with_logits(jnp.zeros((4, 26)), jnp.zeros((1, 26)))
    with pytest.raises(TypeCheckError):
        losses.bce_with_logits(jnp.zeros((4, 26), int), jnp.zeros((4, 26)))
    model = create_model("res1d_maxpool", width=8)
    signal, present = jnp.zeros((2, 12, 128)), jnp.ones((2, 12))
    variables = model.init(jax.random.key(0), signal, present)
    with pytest.raises(TypeCheckError):
        model.apply(variables, signal, present[:1])
