"""Three Adam steps against the reference implementations' recorded training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resunet_lc_jax.models import Numerics, create_model
from resunet_lc_jax.pytorch.weights import to_state_dict, to_variables

TRAIN_ORACLES = {
    "train_small_ResUNet_LC": "resunet_lc",
    "train_small_Res1D_MaxPool": "res1d_maxpool",
    "train_small_Res2D_LC": "res2d_lc",
}


def below(arrays, prefix):
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def assert_state_dicts_close(got, expected, *, atol):
    """Names and values; Adam's first step is lr whatever the gradient, hence no relative part."""
    for name, array in expected.items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(got[name], array, rtol=0, atol=atol, err_msg=name)


def make_step(model, tx):
    """One training step; gives the loss, logits and gradients beside the new state."""

    def loss_of(params, batch_stats, signal, labels):
        outputs, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            signal,
            jnp.ones(signal.shape[:2]),
            train=True,
            mutable=["batch_stats"],
        )
        loss = optax.sigmoid_binary_cross_entropy(outputs.logits, labels).mean()
        return loss, (outputs.logits, updated["batch_stats"])

    @jax.jit
    def step(variables, moments, signal, labels):
        (loss, (logits, batch_stats)), gradient = jax.value_and_grad(loss_of, has_aux=True)(
            variables["params"], variables["batch_stats"], signal, labels
        )
        updates, moments = tx.update(gradient, moments)
        params = optax.apply_updates(variables["params"], updates)
        new = {"params": params, "batch_stats": batch_stats}
        return new, moments, loss, logits, gradient

    return step


def start(arrays, name, dtype):
    model = create_model(name, width=16, dropout=0.0, numerics=Numerics(dtype=dtype))
    signal = jnp.asarray(arrays["x"][0], dtype)
    template = jax.eval_shape(
        lambda: model.init(jax.random.key(0), signal, jnp.ones(signal.shape[:2]))
    )
    return model, to_variables(below(arrays, "sd0/"), template, name)


@pytest.mark.parametrize("file", TRAIN_ORACLES)
def test_three_adam_steps_equal_pytorchs_in_float64(oracle, file):
    with np.load(oracle / "models" / f"{file}.npz") as npz:
        arrays = dict(npz)
    expected = below(arrays, "f64/")
    with jax.enable_x64(True):
        model, variables = start(arrays, TRAIN_ORACLES[file], jnp.float64)
        tx = optax.adam(float(arrays["lr"]))
        moments, step, losses = tx.init(variables["params"]), None, []
        step = make_step(model, tx)
        for i in range(3):
            variables, moments, loss, logits, gradient = step(
                variables, moments, arrays["x"][i].astype(float), arrays["t"][i].astype(float)
            )
            losses.append(loss)
            if i == 0:
                np.testing.assert_allclose(logits, expected["logits_step1"], atol=1e-9)
                gradients = to_state_dict({"params": gradient})
                assert_state_dicts_close(gradients, below(expected, "grad/"), atol=1e-9)
            if i in (0, 2):
                got = to_state_dict(variables)
                assert_state_dicts_close(got, below(expected, f"sd_after{i + 1}/"), atol=1e-9)
        np.testing.assert_allclose(losses, expected["loss"], atol=1e-9)
        signal = arrays["x"][0].astype(float)
        outputs = jax.jit(model.apply)(variables, signal, jnp.ones(signal.shape[:2]))
        np.testing.assert_allclose(outputs.logits, expected["eval_logits_after"], atol=1e-9)


@pytest.mark.parametrize("file", TRAIN_ORACLES)
def test_first_loss_and_gradients_equal_pytorchs_in_float32(oracle, file):
    with np.load(oracle / "models" / f"{file}.npz") as npz:
        arrays = dict(npz)
    model, variables = start(arrays, TRAIN_ORACLES[file], jnp.float32)
    tx = optax.sgd(0.0)
    _, _, loss, _, gradient = make_step(model, tx)(
        variables, tx.init(variables["params"]), arrays["x"][0], arrays["t"][0]
    )
    assert loss == pytest.approx(arrays["f32/loss"][0], rel=1e-5)
    gradients = to_state_dict({"params": gradient})
    assert_state_dicts_close(gradients, below(arrays, "f32/grad/"), atol=1e-5)
