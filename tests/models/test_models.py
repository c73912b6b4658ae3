"""Every network against the reference implementations' recorded values, and its own promises."""

import json
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resunet_lc_jax.models import Numerics, create_model
from resunet_lc_jax.models.layers import Normalised, activated
from resunet_lc_jax.pytorch.weights import to_state_dict, to_variables

_FLOAT64 = Numerics(dtype=jnp.float64)
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
    "ribeiro_resnet": (7_052_730, 4096),
    "mvms_net": (2_247_456, 1000),
    "isibrno": (6_561_900, 8192),
}
# PyTorch's logits for the weights of `formula_value`, width 8, four classes, and the signal and
# leads of `test_network_gives_the_logits_that_pytorch_once_gave`; its layers in float64.
PYTORCH_LOGITS = {
    "resunet_lc": [
        [-0.639724, 14.46821, 17.762532, -15.574261],
        [5.122488, 13.414936, 17.395692, -17.309829],
    ],
    "res1d_maxpool": [
        [1.952953, 3.182499, -8.394942, 9.715553],
        [1.999877, 2.488947, -5.598986, 9.807273],
    ],
    "res2d_maxpool": [
        [-13.563004, -4.4135, -30.11934, 32.228103],
        [-8.677574, -6.251069, -30.195747, 29.00844],
    ],
    "res2d_lc": [
        [33.887392, 41.465356, 49.832613, -33.254523],
        [54.057626, 36.97656, 55.592328, -47.535051],
    ],
    "ribeiro_resnet": [
        [-50.927556, 29.29625, -8.068922, 14.368497],
        [-80.23369, 24.607723, -2.286696, 20.050871],
    ],
    "mvms_net": [
        [2.534424, 0.953948, 2.180252, -5.216789],
        [3.338226, 0.964277, 2.631602, -6.059394],
    ],
    "isibrno": [
        [13.088192, -24.388088, 15.596498, 17.035483],
        [5.808699, -11.119833, 7.504434, 9.342872],
    ],
}


def load(oracle, name):
    with np.load(oracle / "models" / f"{name}.npz") as arrays:
        return dict(arrays)


def below(arrays, prefix):
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def template(model, signal):
    signal, present = jnp.asarray(signal), jnp.ones(signal.shape[:2])
    return jax.eval_shape(lambda: model.init(jax.random.key(0), signal, present))


def run(model, state_dict, signal, name, present=None):
    """Outputs, and every module's output by its PyTorch name, in PyTorch's axis order."""
    variables = to_variables(state_dict, template(model, signal), name)
    present = jnp.ones(signal.shape[:2]) if present is None else jnp.asarray(present)

    @jax.jit
    def apply(variables, signal):
        return model.apply(
            variables, signal, present, capture_intermediates=True, mutable=["intermediates"]
        )

    outputs, captured = apply(variables, signal)
    return outputs, layer_outputs(captured["intermediates"])


def layer_outputs(captured):
    outputs = {}
    leaves = jax.tree_util.tree_flatten_with_path(captured, lambda x: isinstance(x, Normalised))
    for path, value in leaves[0]:
        keys = [entry.key for entry in path if hasattr(entry, "key")]
        keys = [key for key in keys if key not in ("__call__", "normalised")]
        name = ".".join(keys).replace("encoders_", "encoders.").replace("decoders_", "decoders.")
        name = name.replace("bottleneck.conv", "bottleneck.0").replace(
            "bottleneck.bn", "bottleneck.1"
        )
        value = activated(value) if isinstance(value, Normalised) else value
        outputs[name] = np.moveaxis(np.asarray(value), -1, 1)
    return outputs


def formula_value(name, shape):
    """A stand-in weight, given only its PyTorch name and shape."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.array(7)
    if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    scale = 0.1 if len(shape) == 1 else np.sqrt(2 / np.prod(shape[1:]))
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def formula_weights(model, signal):
    """A state_dict of such weights for a network."""
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape), template(model, signal))
    shapes = {name: array.shape for name, array in to_state_dict(zeros).items()}
    return {name: formula_value(name, shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("name", PARAMETER_COUNTS)
def test_network_has_the_published_number_of_parameters(name):
    count, length = PARAMETER_COUNTS[name]
    variables = template(create_model(name), jnp.zeros((1, 12, length)))
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == count


@pytest.mark.parametrize("name", PYTORCH_LOGITS)
def test_network_gives_the_logits_that_pytorch_once_gave(name):
    model = create_model(name, width=8, num_classes=4)
    signal = np.random.default_rng(7).standard_normal((2, 12, 256)).astype(np.float32)
    present = np.ones((2, 12))
    present[1, 6:] = 0
    outputs, _ = run(model, formula_weights(model, signal), signal, name, present)
    expected = np.asarray(PYTORCH_LOGITS[name])
    np.testing.assert_allclose(outputs.logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


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
        model = create_model(name, width=16, num_leads=arrays["input"].shape[1], numerics=_FLOAT64)
        outputs, _ = run(model, below(arrays, "sd/"), arrays["input"].astype(np.float64), name)
    np.testing.assert_allclose(outputs.logits, arrays["output_f64"], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "file, name, width",
    [
        ("peer_ribeiro_small", "ribeiro_resnet", 8),
        ("peer_mvms_full_T1000", "mvms_net", 64),
    ],
)
def test_compared_networks_give_pytorchs_logits(oracle, file, name, width):
    arrays = load(oracle, file)
    state_dict, signal = below(arrays, "sd/"), arrays["input0"]
    outputs, _ = run(create_model(name, width=width), state_dict, signal, name)
    np.testing.assert_allclose(outputs.logits, arrays["output0"], rtol=1e-5, atol=1e-5)
    with jax.enable_x64(True):
        model = create_model(name, width=width, numerics=_FLOAT64)
        outputs, _ = run(model, state_dict, signal.astype(np.float64), name)
    np.testing.assert_allclose(outputs.logits, arrays["output0_f64"], rtol=1e-10, atol=1e-10)


def test_isibrno_gives_pytorchs_logits_and_challenge_head(oracle):
    expected = json.loads((oracle / "models" / "isibrno_formula.json").read_text())
    state_dict = {name: formula_value(name, shape) for name, shape in expected["spec"].items()}
    signal = np.random.default_rng(7).standard_normal((2, 12, 1024)).astype(np.float32)
    present = np.asarray(expected["lead_indicator"])
    signal *= present[:, :, None].astype(np.float32)
    logits, scores = np.asarray(expected["logits"]), np.asarray(expected["challenge_head"])
    outputs, _ = run(create_model("isibrno"), state_dict, signal, "isibrno", present)
    np.testing.assert_allclose(outputs.logits, logits, rtol=0, atol=2e-5 * np.abs(logits).max())
    np.testing.assert_allclose(outputs.scores, scores, rtol=0, atol=1e-3)
    with jax.enable_x64(True):
        model = create_model("isibrno", numerics=_FLOAT64)
        outputs, _ = run(model, state_dict, signal.astype(np.float64), "isibrno", present)
    np.testing.assert_allclose(outputs.logits, logits, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(outputs.scores, scores, rtol=1e-10, atol=1e-10)


@pytest.fixture(scope="module")
def small_isibrno():
    """A network, weights, a signal and its leads."""
    model = create_model("isibrno", width=8, num_classes=4)
    signal = np.random.default_rng(0).standard_normal((2, 12, 64)).astype(np.float32)
    state_dict = formula_weights(model, signal)
    variables = to_variables(state_dict, template(model, signal), "isibrno")
    return model, variables, signal, jnp.ones((2, 12))


def test_isibrno_scores_send_no_gradient_into_the_logits_network(small_isibrno):
    model, variables, signal, present = small_isibrno

    def total(params):
        return model.apply(
            {**variables, "params": params}, jnp.asarray(signal), present
        ).scores.sum()

    gradient = jax.jit(jax.grad(total))(variables["params"])
    reached = {name for name in gradient if any(map(np.any, jax.tree.leaves(gradient[name])))}
    assert reached == {"ch_fc1", "ch_bn", "ch_fc2"}


def test_isibrno_reads_which_leads_are_present(small_isibrno):
    model, variables, signal, present = small_isibrno
    apply = jax.jit(model.apply)
    every = apply(variables, signal, present).logits
    assert not np.allclose(apply(variables, signal, present.at[0, 3].set(0)).logits[0], every[0])


@pytest.mark.parametrize(
    "name, num_leads, length, message",
    [
        ("ribeiro_resnet", 12, 1000, "1000 samples.*multiple of 256"),
        ("mvms_net", 6, 1000, "all 12 leads, not 6"),
        ("isibrno", 12, 128, "width that 8 divides, not 12"),
    ],
)
def test_compared_network_refuses_what_it_cannot_take(name, num_leads, length, message):
    with pytest.raises(ValueError, match=message):
        model = create_model(name, width=12, num_leads=num_leads)
        template(model, jnp.zeros((1, num_leads, length)))


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
