"""The losses equal their formulas and the published code, and honour masks and weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resunet_lc_jax.learning import losses

CLASSIFICATION = {
    "bce": losses.bce_with_logits,
    "focal": losses.focal_with_logits,
    "asymmetric": losses.asymmetric_with_logits,
}


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def _batch(count=6):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (count, 26)).astype(np.float32)
    return jnp.asarray(logits), jnp.asarray((rng.random((count, 26)) < 0.3).astype(np.float32))


def test_losses_of_the_challenge_winner_equal_the_published_code(oracle, x64):
    arrays = np.load(oracle / "models" / "isibrno_losses.npz")
    logits, labels, probabilities, pos_weight = (
        jnp.asarray(arrays[name]) for name in ("logits", "targets", "probs", "pos_weight")
    )
    ours = {
        "bce": losses.bce_with_logits(logits, labels),
        "bce_posweight": losses.bce_with_logits(logits, labels, pos_weight=pos_weight),
        "challenge": losses.soft_challenge_rewards(probabilities, labels).sum(),
        "sparsity": losses.sparsity(probabilities),
    }
    for name, value in ours.items():
        np.testing.assert_allclose(value, arrays[name], rtol=1e-10, err_msg=name)
    gradient = jax.grad(
        lambda p: losses.sparsity(p) - losses.soft_challenge_rewards(p, labels).sum()
    )(probabilities)
    np.testing.assert_allclose(gradient, arrays["grad_of_Q_minus_M"], rtol=1e-10, atol=1e-12)


def test_focal_and_asymmetric_losses_equal_their_formulas(x64):
    logits, labels = (array.astype(jnp.float64) for array in _batch())
    p = 1 / (1 + np.exp(-np.asarray(logits)))
    truth = np.where(labels > 0, p, 1 - p)
    alpha = np.where(labels > 0, 0.25, 0.75)
    expected = np.mean(-alpha * (1 - truth) ** 2 * np.log(truth))
    assert losses.focal_with_logits(logits, labels) == pytest.approx(expected, rel=1e-12)
    shifted = np.maximum(p - 0.05, 0)
    terms = np.where(labels > 0, (1 - p) * np.log(p), shifted**4 * np.log(1 - shifted))
    ours = losses.asymmetric_with_logits(logits, labels, gamma_positive=1.0)
    assert ours == pytest.approx(-terms.mean(), rel=1e-12)


def test_focal_and_asymmetric_losses_without_focus_are_cross_entropy(x64):
    logits, labels = (array.astype(jnp.float64) for array in _batch())
    bce = losses.bce_with_logits(logits, labels)
    focal = losses.focal_with_logits(logits, labels, gamma=0.0, alpha=None)
    asymmetric = losses.asymmetric_with_logits(
        logits, labels, gamma_positive=0.0, gamma_negative=0.0, margin=0.0
    )
    assert focal == pytest.approx(float(bce), rel=1e-12)
    assert asymmetric == pytest.approx(float(bce), rel=1e-12)


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_masked_rows_count_as_if_they_were_not_there(name):
    logits, labels = _batch()
    mask = jnp.asarray([1.0, 0, 1, 1, 0, 0])
    masked = CLASSIFICATION[name](logits, labels, mask=mask)
    dropped = CLASSIFICATION[name](logits[mask > 0], labels[mask > 0])
    np.testing.assert_allclose(masked, dropped, rtol=1e-6)
    assert CLASSIFICATION[name](logits, labels, mask=0 * mask) == 0
    np.testing.assert_allclose(
        losses.sparsity(jax.nn.sigmoid(logits), mask=mask),
        losses.sparsity(jax.nn.sigmoid(logits[mask > 0])),
        rtol=1e-6,
    )


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_gradient_is_exactly_zero_where_a_class_is_not_annotated(name):
    logits, labels = _batch()
    annotated = jnp.asarray(np.random.default_rng(1).random(labels.shape) < 0.7)
    gradient = jax.jit(jax.grad(CLASSIFICATION[name]))(logits, labels, weights=annotated)
    plain = jax.grad(CLASSIFICATION[name])(logits, labels)
    assert not np.asarray(gradient)[~np.asarray(annotated)].any()
    np.testing.assert_allclose(gradient[annotated], plain[annotated], rtol=1e-6)
    # The masked entries are not all zero without the weights.
    assert np.abs(np.asarray(plain)[~np.asarray(annotated)]).max() > 1e-4


@pytest.mark.parametrize("name", CLASSIFICATION)
def test_a_batch_has_the_mean_loss_of_its_halves_whatever_the_weights(name):
    logits, labels = _batch()
    annotated = jnp.asarray(np.random.default_rng(1).random(labels.shape) < 0.5)
    whole = CLASSIFICATION[name](logits, labels, weights=annotated)
    halves = [
        CLASSIFICATION[name](logits[part], labels[part], weights=annotated[part])
        for part in (slice(3), slice(3, 6))
    ]
    np.testing.assert_allclose(whole, np.mean(halves), rtol=1e-6)


@pytest.mark.parametrize(
    "loss",
    [*CLASSIFICATION.values(), functools.partial(losses.asymmetric_with_logits, margin=0.0)],
)
def test_extreme_logits_give_finite_losses_and_gradients(loss):
    logits = jnp.asarray([[-200.0, 200.0, -200.0, 200.0]])
    labels = jnp.asarray([[0.0, 0.0, 1.0, 1.0]])
    value, gradient = jax.value_and_grad(loss)(logits, labels)
    assert np.isfinite(value) and np.isfinite(gradient).all()


@pytest.mark.parametrize("gamma_negative", [0.0, 0.5, 1.0, 4.0])
def test_the_asymmetric_loss_has_the_gradient_of_its_authors_for_every_gamma(gamma_negative, x64):
    logits = jnp.asarray([[-9.0, -3.0, -2.0, 0.5, 2.0], [-9.0, -3.0, -2.0, 0.5, 2.0]])
    labels = jnp.asarray([[0.0] * 5, [1.0] * 5])
    loss = functools.partial(
        losses.asymmetric_with_logits, gamma_positive=1.0, gamma_negative=gamma_negative
    )
    gradient = np.asarray(jax.grad(loss)(logits, labels)) * labels.size
    p = np.asarray(jax.nn.sigmoid(logits[0]))
    # The factor in front of each logarithm is a constant; below the margin nothing is left.
    shifted = p - 0.05
    of_negatives = np.where(shifted > 0, abs(shifted) ** gamma_negative, 0) * p * (1 - p)
    np.testing.assert_allclose(gradient[0], of_negatives / (1 - shifted), rtol=1e-12)
    np.testing.assert_allclose(gradient[1], -(1 - p) * (1 - p), rtol=1e-12)
