"""Every network against the reference implementations' recorded values, and its own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resunet_lc_jax.models import create_model
from resunet_lc_jax.torch_weights import to_variables

# File -> network; the files' networks are 16 wide.
EVAL_ORACLES = {
    "eval_small_ResUNet_LC": "resunet_lc",
    "eval_small_T511_ResUNet_LC": "resunet_lc",
    "eval_small_lead2_ResUNet_LC": "resunet_lc",
    "eval_small_Res1D_MaxPool": "res1d_maxpool",
    "eval_small_odd500_Res1D_MaxPool": "res1d_maxpool",
    "eval_small_Res2D_MaxPool": "res2d_maxpool",
    "eval_small_Res2D_LC": "res2d_lc",
}
PARAMETER_COUNTS = {
    "resunet_lc": (9_989_530, 4096),
    "resu2d_lc": (9_989_530, 4096),
    "res1d_maxpool": (1_273_882, 4096),
    "res2d_maxpool": (3_615_898, 4096),
    "res2d_lc": (4_012_954, 4096),
}


def load(oracle, name):
    with np.load(oracle / "models" / f"{name}.npz") as arrays:
        return dict(arrays)


def below(arrays, prefix):
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def template(model, signal):
    present = jnp.ones(signal.shape[:2])
    return jax.eval_shape(lambda: model.init(jax.random.key(0), signal, present))


def run(model, state_dict, signal, name):
    """Outputs, and every module's output by its PyTorch name, in PyTorch's axis order."""
    variables = to_variables(state_dict, template(model, signal), name)
    present = jnp.ones(signal.shape[:2])

    @jax.jit
    def apply(variables, signal):
        return model.apply(
            variables, signal, present, capture_intermediates=True, mutable=["intermediates"]
        )

    outputs, captured = apply(variables, signal)
    return outputs, layer_outputs(captured["intermediates"])


def layer_outputs(captured):
    outputs = {}
    for path, value in jax.tree_util.tree_flatten_with_path(captured)[0]:
        keys = [entry.key for entry in path if hasattr(entry, "key") and entry.key != "__call__"]
        name = ".".join(keys).replace("encoders_", "encoders.").replace("decoders_", "decoders.")
        name = name.replace("bottleneck.conv", "bottleneck.0").replace(
            "bottleneck.bn", "bottleneck.1"
        )
        outputs[name] = np.moveaxis(np.asarray(value), -1, 1)
    return outputs


@pytest.mark.parametrize("name", PARAMETER_COUNTS)
def test_network_has_the_published_number_of_parameters(name):
    count, length = PARAMETER_COUNTS[name]
    variables = template(create_model(name), jnp.zeros((1, 12, length)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


@pytest.mark.parametrize("file", EVAL_ORACLES)
def test_every_layer_gives_what_pytorch_gives(oracle, file):
    arrays, name = load(oracle, file), EVAL_ORACLES[file]
    model = create_model(name, width=16, num_leads=arrays["input"].shape[1])
    outputs, layers = run(model, below(arrays, "sd/"), arrays["input"], name)
    for layer, expected in below(arrays, "act/").items():
        np.testing.assert_allclose(
            layers[layer].reshape(expected.shape), expected, rtol=1e-5, atol=1e-5, err_msg=layer
        )
    np.testing.assert_allclose(outputs.logits, arrays["output"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(outputs.scores, arrays["prob"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("file", EVAL_ORACLES)
def test_logits_equal_pytorchs_in_float64(oracle, file):
    arrays, name = load(oracle, file), EVAL_ORACLES[file]
    with jax.enable_x64(True):
        model = create_model(name, width=16, num_leads=arrays["input"].shape[1], dtype=jnp.float64)
        outputs, _ = run(model, below(arrays, "sd/"), arrays["input"].astype(np.float64), name)
    np.testing.assert_allclose(outputs.logits, arrays["output_f64"], rtol=1e-10, atol=1e-10)


def test_unknown_network_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ValueError, match="'unet'.*resunet_lc"):
        create_model("unet")


def test_length_that_the_unets_cannot_halve_is_an_error():
    with pytest.raises(ValueError, match="500 samples.*multiple of 128"):
        template(create_model("resunet_lc", width=8), jnp.zeros((1, 12, 500)))


def test_signal_with_other_leads_than_configured_is_an_error():
    with pytest.raises(ValueError, match="12 leads"):
        template(create_model("resunet_lc", width=8), jnp.zeros((1, 2, 256)))


def test_weights_of_another_length_are_refused_by_the_lead_combiner():
    model = create_model("resunet_lc", width=8)
    variables = template(model, jnp.zeros((1, 12, 256)))
    with pytest.raises(ValueError, match="lc/conv2_2/kernel.*signal length"):
        jax.eval_shape(model.apply, variables, jnp.zeros((1, 12, 512)), jnp.ones((1, 12)))
