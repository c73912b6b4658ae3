"""PyTorch weights in and out: exactly, from every kind of file, with errors that help."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from drawn_weights import assert_equal_dicts, random_variables, template

from resunet_lc_jax.models import MODEL_NAMES, Numerics, create_model
from resunet_lc_jax.pytorch.checkpoint import TorchCheckpoint, read_checkpoint, write_checkpoint
from resunet_lc_jax.pytorch.weights import (
    batches_tracked,
    from_moments,
    head_name_of,
    to_moments,
    to_state_dict,
    to_variables,
)

ORACLES = {
    "eval_small_ResUNet_LC": "resunet_lc",
    "eval_small_Res1D_MaxPool": "res1d_maxpool",
    "eval_small_Res2D_MaxPool": "res2d_maxpool",
    "eval_small_Res2D_LC": "res2d_lc",
    "peer_ribeiro_small": "ribeiro_resnet",
    "peer_mvms_full_T1000": "mvms_net",
}
WIDTHS = {"ribeiro_resnet": 8, "mvms_net": 64}  # of the oracle's networks; else 16


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_weights_and_moments_survive_the_way_to_pytorch_and_back_bit_for_bit(name):
    variables = random_variables(name)
    back = to_variables(to_state_dict(variables), variables, name)
    jax.tree.map(np.testing.assert_array_equal, back, variables)
    mu, nu = random_variables(name, 1)["params"], random_variables(name, 2)["params"]
    adam = from_moments(mu, nu, 5, learning_rate=0.1)
    got = to_moments(adam, variables["params"], name)
    jax.tree.map(np.testing.assert_array_equal, got, (mu, nu, 5))


@pytest.mark.parametrize("file", ORACLES)
def test_reference_state_dict_comes_back_with_its_names_order_and_counts(oracle, file):
    with np.load(oracle / "models" / f"{file}.npz") as arrays:
        original = {k.removeprefix("sd/"): arrays[k] for k in arrays if k.startswith("sd/")}
    name = ORACLES[file]
    variables = to_variables(original, template(name, width=WIDTHS.get(name, 16), length=512), name)
    back = to_state_dict(
        variables,
        num_batches_tracked=batches_tracked(original),
        head_name=head_name_of(original, name),
    )
    assert_equal_dicts(back, original)


def test_res2d_maxpool_head_has_either_name_and_keeps_it():
    variables = random_variables("res2d_maxpool")
    published = to_state_dict(variables, head_name="fc_1")
    assert "fc_1.weight" in published and "fc.weight" not in published
    assert head_name_of(published, "res2d_maxpool") == "fc_1"
    back = to_variables(published, variables, "res2d_maxpool")
    jax.tree.map(np.testing.assert_array_equal, back, variables)


def test_state_dict_that_does_not_fit_is_an_error_that_lists_every_difference():
    state_dict = to_state_dict(random_variables("res1d_maxpool"))
    del state_dict["rb_0.bn1.bias"]
    state_dict["rb_9.conv1.weight"] = np.zeros((8, 8, 9), np.float32)
    state_dict["fc.weight"] = np.zeros((5, 8), np.float32)
    with pytest.raises(ValueError) as caught:
        to_variables(state_dict, template("res1d_maxpool"), "res1d_maxpool")
    message = str(caught.value)
    assert "res1d_maxpool" in message
    assert "missing: rb_0.bn1.bias" in message
    assert "unexpected: rb_9.conv1.weight" in message
    assert "shape: fc.weight is (5, 8) there, (26, 8) here" in message


@pytest.mark.parametrize(
    "name, shape, cause",
    [
        ("resunet_lc", {"num_classes": 9}, "number of classes, 9 in place of 26"),
        ("resunet_lc", {"num_leads": 2}, "number of leads: --config.data.leads"),
        ("resunet_lc", {"length": 512}, "signal length: --config.data.length"),
        ("resunet_lc", {"width": 16}, "width: --config.model.width=16"),
        ("res1d_maxpool", {"num_leads": 2}, "number of leads: --config.data.leads"),
        ("ribeiro_resnet", {"length": 512}, "signal length: --config.data.length"),
        ("isibrno", {"num_leads": 2}, "number of leads: --config.data.leads"),
        ("isibrno", {"num_classes": 9}, "number of classes, 9 in place of 26"),
    ],
)
def test_misfit_names_its_likely_cause(name, shape, cause):
    state_dict = to_state_dict(random_variables(name, **shape))
    with pytest.raises(ValueError, match=f"another {cause}"):
        to_variables(state_dict, template(name), name)


@pytest.mark.parametrize("name", sorted(set(MODEL_NAMES) - {"resu2d_lc"}))
def test_weights_of_another_network_are_told_by_name_in_few_lines(name):
    other = "resunet_lc" if name != "resunet_lc" else "mvms_net"
    with pytest.raises(ValueError, match=rf"another network, {name}: --config\.model") as caught:
        to_variables(to_state_dict(random_variables(name)), template(other), other)
    assert len(str(caught.value).splitlines()) <= 20


def test_weights_of_no_network_here_are_told_in_few_short_lines():
    state_dict = {f"stage{n}.{'x' * 5000}\nweight": np.zeros(3, np.float32) for n in range(900)}
    with pytest.raises(ValueError, match="another network") as caught:
        to_variables(state_dict, template("res1d_maxpool"), "res1d_maxpool")
    lines = str(caught.value).splitlines()
    assert len(lines) <= 20 and max(map(len, lines)) < 1100 and "and " in lines[-1]


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_weights_that_are_not_finite_in_float32_are_refused_by_name(value):
    state_dict = to_state_dict(random_variables("res1d_maxpool"))
    state_dict["rb_1.conv2.weight"] = state_dict["rb_1.conv2.weight"].astype(np.float64)
    state_dict["rb_1.conv2.weight"][1, 2, 3:5] = value
    with pytest.raises(ValueError, match=r"rb_1\.conv2\.weight has 2 values of 576"):
        to_variables(state_dict, template("res1d_maxpool"), "res1d_maxpool")


def test_negative_variances_and_moments_are_refused():
    variables = random_variables("res1d_maxpool")
    state_dict = to_state_dict(variables)
    state_dict["inconv.bn.running_var"][3] = -1e-3
    with pytest.raises(ValueError, match=r"inconv\.bn\.running_var holds a negative"):
        to_variables(state_dict, variables, "res1d_maxpool")
    for changed, value in (("exp_avg_sq", -1.0), ("exp_avg_sq", np.nan), ("exp_avg", np.inf)):
        params = variables["params"]
        mu, nu = (jax.tree.map(np.copy, params) for _ in range(2))
        adam = from_moments(mu, nu, 5, learning_rate=0.1)
        getattr(adam, changed)["fc.bias"][0] = value
        with pytest.raises(ValueError, match=f"Adam's {changed}"):
            to_moments(adam, params, "res1d_maxpool")


def test_a_file_with_both_names_of_a_head_does_not_fit():
    state_dict = to_state_dict(random_variables("res2d_maxpool"))
    state_dict |= {name.replace("fc.", "fc_1."): state_dict[name] for name in ("fc.bias",)}
    with pytest.raises(ValueError, match=r"unexpected: fc_1\.bias"):
        to_variables(state_dict, template("res2d_maxpool"), "res2d_maxpool")


@pytest.mark.parametrize("kind", [np.float16, "bfloat16", np.float64])
def test_weights_of_other_floating_types_become_the_nearest_float32(kind):
    variables = random_variables("res1d_maxpool")
    kind = jnp.bfloat16 if kind == "bfloat16" else kind
    given = {k: v.astype(kind) for k, v in to_state_dict(variables).items()}
    got = to_variables(given, variables, "res1d_maxpool")
    np.testing.assert_array_equal(
        got["params"]["fc"]["bias"], given["fc.bias"].astype(np.float32), strict=True
    )


def bce_steps(twin, optimizer, signals, labels):
    from torch.nn.functional import binary_cross_entropy_with_logits

    for signal, label in zip(signals, labels, strict=True):
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(twin(signal), label).backward()
        optimizer.step()


def test_pytorch_run_is_continued_here_and_handed_back(tmp_path):
    """Two Adam steps there, a file, one step here, a file: the same as three steps there."""
    torch = pytest.importorskip("torch")
    from benchmarks.torch_twin import create_twin

    torch.manual_seed(0)
    twin = create_twin("res1d_maxpool", width=8, dropout=0.0).double()
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    signals, labels = torch.randn(3, 4, 12, 128).double(), torch.rand(3, 4, 26).double()
    bce_steps(twin, optimizer, signals[:2], labels[:2])
    content = {"model": twin.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 1}
    torch.save(content, tmp_path / "there.pt")
    bce_steps(twin, optimizer, signals[2:], labels[2:])

    checkpoint = read_checkpoint(tmp_path / "there.pt")
    assert checkpoint.optimizer.learning_rate == 0.01
    with jax.enable_x64(True):
        model = create_model(
            "res1d_maxpool", width=8, dropout=0.0, numerics=Numerics(dtype=jnp.float64)
        )
        signal, label = jnp.asarray(signals[2].numpy()), jnp.asarray(labels[2].numpy())
        present = jnp.ones((4, 12))
        shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), signal, present))
        variables = jax.tree.map(
            jnp.asarray, to_variables(checkpoint.state_dict, shapes, "res1d_maxpool")
        )
        mu, nu, count = to_moments(checkpoint.optimizer, shapes["params"], "res1d_maxpool")
        tx = optax.adam(0.01)
        state = tx.init(variables["params"])
        state = optax.tree_utils.tree_set(state, mu=mu, nu=nu, count=jnp.asarray(count))

        @jax.jit
        def gradient_of(params):
            def loss(params):
                outputs, new = model.apply(
                    {**variables, "params": params},
                    signal,
                    present,
                    train=True,
                    mutable=["batch_stats"],
                )
                return optax.sigmoid_binary_cross_entropy(outputs.logits, label).mean(), new

            return jax.grad(loss, has_aux=True)(params)

        gradient, new = gradient_of(variables["params"])
        updates, state = tx.update(gradient, state)
        params = optax.apply_updates(variables["params"], updates)
        adam = from_moments(state[0].mu, state[0].nu, state[0].count, learning_rate=0.01)
        state_dict = to_state_dict({"params": params, **new}, num_batches_tracked=3)
    write_checkpoint(tmp_path / "here.pt", TorchCheckpoint(state_dict, adam, step=3))

    back = torch.load(tmp_path / "here.pt", weights_only=True)
    continued = create_twin("res1d_maxpool", width=8, dropout=0.0).double()
    continued.load_state_dict(back["model"], strict=True)
    resumed = torch.optim.Adam(continued.parameters())
    resumed.load_state_dict(back["optimizer"])
    for name, expected in twin.state_dict().items():
        torch.testing.assert_close(back["model"][name], expected, rtol=0, atol=1e-9)
    bce_steps(continued, resumed, signals[:1], labels[:1])
    bce_steps(twin, optimizer, signals[:1], labels[:1])
    for name, expected in twin.state_dict().items():
        torch.testing.assert_close(continued.state_dict()[name], expected, rtol=0, atol=1e-9)
