"""How a network computes: bfloat16, frozen statistics, activations computed anew."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from batches import as_dtype, random_batch
from small_network import SmallNetwork

from resunet_lc_jax.devices import parallel
from resunet_lc_jax.learning import steps
from resunet_lc_jax.learning.state import create_state, init_variables
from resunet_lc_jax.models import MODEL_NAMES, Numerics, create_model
from resunet_lc_jax.models.layers import BatchNorm, Normalised

# The smallest each takes.
_LENGTHS = {"resunet_lc": 128, "resu2d_lc": 128, "ribeiro_resnet": 256}


def _compile_step(model, tx, *, mode="auto", count=1):
    devices = parallel.choose_devices(mode, jax.devices()[:count])
    model = model.over(devices.axis_name)
    step = partial(steps.train_step, model=model, tx=tx, seed=0, axis_name=devices.axis_name)
    return parallel.compile_train_step(step, devices), devices


@pytest.mark.parametrize(
    ("name", "mode", "count"),
    [
        ("res1d_maxpool", "auto", 1),
        pytest.param("small", "pmap", 8, marks=pytest.mark.eight_devices),
        ("ribeiro_resnet", "auto", 1),
        pytest.param("resunet_lc", "auto", 1, marks=pytest.mark.slow),
        pytest.param("mvms_net", "auto", 1, marks=pytest.mark.slow),
    ],
)
def test_activations_computed_anew_give_the_same_step(name: str, mode: str, count: int) -> None:
    length, tx = _LENGTHS.get(name, 64), optax.sgd(1.0)  # parameters move by their gradients
    with jax.enable_x64(True):
        batch = as_dtype(random_batch(0, size=8, length=length), "float64")
        results = []
        for remat in (False, True):
            numerics = Numerics(dtype=jnp.float64, remat=remat)
            model = (
                SmallNetwork(numerics=numerics)
                if name == "small"
                else create_model(name, width=8, numerics=numerics)
            )
            variables = init_variables(model, seed=0, num_leads=12, length=length)
            compiled, devices = _compile_step(model, tx, mode=mode, count=count)
            placed = parallel.place_state(create_state(variables, tx), devices)
            results.append(jax.device_get(compiled(placed, parallel.place_batch(batch, devices))))
        # Rounding alone: float64 has 16 digits, of which deep BatchNorms cost a few.
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-6, atol=1e-9), *results)


def test_a_step_keeps_one_tensor_of_each_stage_and_less_with_remat() -> None:
    """What convolutions give, and room to work; 3.5 times that where what BatchNorm and LeakyReLU
    make of it is kept, too."""
    tx, batch = optax.sgd(1.0), random_batch(0, size=16, length=2048)
    needed = []
    for remat in (False, True):
        model = create_model("res2d_maxpool", width=16, numerics=Numerics(remat=remat))
        variables = init_variables(model, seed=0, num_leads=12, length=2048)
        compiled, _ = _compile_step(model, tx)
        program = compiled.lower(create_state(variables, tx), batch).compile()
        needed.append(program.memory_analysis().temp_size_in_bytes)
    convolved = 16 * 12 * 16 * 4 * (1024 + 2 * (512 + 256 + 128 + 64))  # bytes
    assert convolved < needed[0] < 2 * convolved
    assert needed[1] < needed[0]


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_in_bfloat16_all_layers_compute_and_all_numbers_that_last_are_float32(name: str) -> None:
    length = _LENGTHS.get(name, 64)
    model = create_model(name, width=8, numerics=Numerics(dtype=jnp.bfloat16))
    variables = jax.eval_shape(partial(init_variables, model, seed=0, num_leads=12, length=length))
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}

    def forward(variables: dict):
        return model.apply(
            variables,
            jnp.zeros((2, 12, length)),
            jnp.ones((2, 12)),
            train=True,
            index=jnp.arange(2),
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats", "intermediates"],
            capture_intermediates=True,
        )

    outputs, updated = jax.eval_shape(forward, variables)
    assert outputs.logits.dtype == outputs.scores.dtype == jnp.float32
    assert {x.dtype for x in jax.tree.leaves(updated["batch_stats"])} == {jnp.dtype(jnp.float32)}
    layers = dict(updated["intermediates"])
    assert layers.pop("__call__") == (outputs,)
    layers = jax.tree.leaves(layers, is_leaf=lambda x: isinstance(x, Normalised))
    dtypes = {(x.values if isinstance(x, Normalised) else x).dtype for x in layers}
    assert dtypes == {jnp.dtype(jnp.bfloat16)}


def test_in_bfloat16_training_lowers_the_loss_and_logits_stay_near_those_of_float32() -> None:
    model = create_model("res1d_maxpool", width=8, numerics=Numerics(dtype=jnp.bfloat16))
    tx, batch = optax.adam(1e-2), random_batch(0, size=8)
    state = create_state(init_variables(model, seed=0, num_leads=12, length=128), tx)
    compiled, _ = _compile_step(model, tx)
    losses = []
    for _ in range(12):
        state, values = compiled(state, batch)
        assert values["loss"].dtype == jnp.float32
        losses.append(float(values["loss"]))
    assert losses[-1] < 0.8 * losses[0]
    assert {x.dtype for x in jax.tree.leaves(state.params)} == {jnp.dtype(jnp.float32)}

    signal = steps.normalise(batch)["signal"]
    near, exact = (
        np.asarray(jax.jit(network.apply)(state.variables, signal, batch["lead_present"]).logits)
        for network in (model, model.clone(numerics=Numerics()))
    )
    # bfloat16 has three digits; ten layers lose part of the last.
    assert 0 < np.abs(near - exact).max() < 0.03 * np.abs(exact).max()


def test_frozen_statistics_normalise_in_training_as_in_evaluation() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(2, 3, (4, 3, 5, 6)), jnp.float32)
    layer = BatchNorm(Numerics(freeze_statistics=True))
    variables = layer.init(jax.random.key(0), x, False)
    trained, after = layer.apply(variables, x, True, mutable=["batch_stats"])
    np.testing.assert_array_equal(trained, layer.apply(variables, x, False))
    jax.tree.map(np.testing.assert_array_equal, after["batch_stats"], variables["batch_stats"])
