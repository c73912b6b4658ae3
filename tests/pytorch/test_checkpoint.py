"""What checkpoints of all kinds say: weights under any wrapper, Adam's state, or why not."""

import sys

import numpy as np
import pytest
from drawn_weights import assert_equal_dicts, random_checkpoint, random_variables, template

from resunet_lc_jax.pytorch.adam import AdamState
from resunet_lc_jax.pytorch.checkpoint import TorchCheckpoint, read_checkpoint, write_checkpoint
from resunet_lc_jax.pytorch.files import TorchFileError
from resunet_lc_jax.pytorch.weights import to_state_dict, to_variables


def assert_equal_checkpoints(got, expected):
    assert_equal_dicts(got.state_dict, expected.state_dict)
    assert_equal_dicts(got.optimizer.exp_avg, expected.optimizer.exp_avg)
    assert_equal_dicts(got.optimizer.exp_avg_sq, expected.optimizer.exp_avg_sq)
    assert got.optimizer.step == expected.optimizer.step
    assert got.optimizer.learning_rate == expected.optimizer.learning_rate
    assert (got.step, got.epoch) == (expected.step, expected.epoch)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt", ".pth"])
def test_checkpoint_with_moments_survives_every_kind_of_file(tmp_path, suffix):
    pytest.importorskip("torch" if suffix in (".pt", ".pth") else "numpy")
    checkpoint, path = random_checkpoint(), tmp_path / f"weights{suffix}"
    write_checkpoint(path, checkpoint)
    got = read_checkpoint(path)
    if suffix == ".safetensors":  # it sorts by name
        ordered = {name: got.state_dict[name] for name in checkpoint.state_dict}
        moments = [
            {name: of[name] for name in checkpoint.optimizer.exp_avg}
            for of in (got.optimizer.exp_avg, got.optimizer.exp_avg_sq)
        ]
        adam = AdamState(*moments, got.optimizer.step, got.optimizer.learning_rate)
        got = TorchCheckpoint(ordered, adam, got.step, got.epoch)
    assert_equal_checkpoints(got, checkpoint)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("key", [None, "model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_state_dict_is_found_bare_or_nested_and_with_dataparallels_prefix(tmp_path, key, prefix):
    torch = pytest.importorskip("torch")
    expected = to_state_dict(random_variables("res1d_maxpool"))
    tensors = {prefix + name: torch.tensor(array) for name, array in expected.items()}
    torch.save({key: tensors, "epoch": 3} if key else tensors, tmp_path / "weights.pth")
    got = read_checkpoint(tmp_path / "weights.pth")
    assert_equal_dicts(got.state_dict, expected)
    assert any("module." in note for note in got.notes) == bool(prefix)
    assert got.epoch == (3 if key else None)


def saved(path, content):
    torch = pytest.importorskip("torch")
    torch.save(content, path)
    return path


def tensors(prefix="", model="res1d_maxpool"):
    torch = pytest.importorskip("torch")
    drawn = to_state_dict(random_variables(model))
    return {prefix + name: torch.tensor(array) for name, array in drawn.items()}


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "model.",
        "_orig_mod.",
        "module._orig_mod.",
        "model._orig_mod.module.",
        "net.backbone.",
    ],
)
def test_wrappers_names_are_taken_off_and_what_lies_beside_the_network_is_left_out(
    tmp_path, prefix
):
    torch = pytest.importorskip("torch")
    beside = {"criterion.pos_weight": torch.ones(26), "n_averaged": torch.tensor(3)}
    content = {"state_dict": tensors(prefix) | beside, "hyper_parameters": {"lr": 1e-3}}
    got = read_checkpoint(saved(tmp_path / "epoch=3.ckpt", content))
    assert_equal_dicts(got.state_dict, to_state_dict(random_variables("res1d_maxpool")))
    taken, left_out = got.notes[-2:]
    assert prefix in taken and "criterion.pos_weight" in left_out and "n_averaged" in left_out


@pytest.mark.parametrize("model", ["resunet_lc", "mvms_net", "isibrno", "ribeiro_resnet"])
def test_a_compiled_layer_within_a_network_is_found_and_bare_names_stay(tmp_path, model):
    plain = tensors(model=model)
    names = list(plain)
    compiled = {
        name.replace(".", "._orig_mod.", 1) if n % 2 else name: plain[name]
        for n, name in enumerate(names)
    }
    got = read_checkpoint(saved(tmp_path / "compiled.pt", compiled))
    assert list(got.state_dict) == names
    bare = read_checkpoint(saved(tmp_path / "bare.pt", plain))
    assert list(bare.state_dict) == names and not bare.notes


def test_two_networks_in_one_file_are_refused(tmp_path):
    both = tensors("student.") | tensors("ema.module.")
    with pytest.raises(TorchFileError, match=r"two\.pt .*several networks.*student\..*ema\."):
        read_checkpoint(saved(tmp_path / "two.pt", both))


def test_tensors_that_require_a_gradient_are_taken(tmp_path):
    torch = pytest.importorskip("torch")
    parameters = {
        name: torch.nn.Parameter(value) if value.is_floating_point() else value
        for name, value in tensors().items()
    }
    got = read_checkpoint(saved(tmp_path / "parameters.pt", parameters)).state_dict
    assert_equal_dicts(got, to_state_dict(random_variables("res1d_maxpool")))


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_floating_point_weights_of_other_types_are_taken_and_named(tmp_path, kind, suffix):
    torch = pytest.importorskip("torch")
    value, path = torch.full((2, 3), 1.5, dtype=getattr(torch, kind)), tmp_path / f"w.{suffix}"
    if suffix == "pt":
        torch.save({"fc.weight": value.t()}, path)
    else:
        from safetensors.torch import save_file

        save_file({"fc.weight": value.t().contiguous()}, path)
    got = read_checkpoint(path)
    array = got.state_dict["fc.weight"].astype(np.float32)
    np.testing.assert_array_equal(array, np.full((3, 2), 1.5))
    assert kind in got.notes[0] and "float32" in got.notes[0]


def test_views_of_one_storage_are_taken_and_repeated_numbers_take_no_memory(tmp_path):
    torch = pytest.importorskip("torch")
    numbers = torch.arange(6.0)
    content = {"fc.bias": numbers[:2], "fc.weight": numbers.view(2, 3)}
    content |= {"lin.weight": torch.ones(1).expand(1 << 40)}  # four terabytes, if copied
    got = read_checkpoint(saved(tmp_path / "w.pt", content)).state_dict
    np.testing.assert_array_equal(got["fc.bias"], [0, 1])
    np.testing.assert_array_equal(got["fc.weight"], [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(ValueError, match=r"unexpected: lin\.weight"):
        to_variables(got, template("res1d_maxpool"), "res1d_maxpool")


def odd_weights(torch, kind):
    value = torch.rand(2, 2)
    return {
        "float8_e4m3fn": lambda: value.to(torch.float8_e4m3fn),
        "complex64": lambda: value.to(torch.complex64),
        "int8": lambda: value.to(torch.int8),
        "bool": lambda: value > 0,
        "sparse_coo": lambda: value.to_sparse(),
        "sparse_csr": lambda: value.to_sparse_csr(),
        "quantised": lambda: torch.quantize_per_tensor(value, 0.1, 0, torch.qint8),
        "meta": lambda: torch.empty(2, 2, device="meta"),
        "nested": lambda: torch.nested.nested_tensor([value, value[:1]]),
        "list": lambda: [1.0, 2.0],
    }[kind]()


@pytest.mark.filterwarnings("ignore")  # PyTorch's, on the layouts that are made here
@pytest.mark.parametrize(
    "kind",
    "float8_e4m3fn complex64 int8 bool sparse_coo sparse_csr quantised meta nested list".split(),
)
def test_weights_that_are_no_plain_floating_point_are_refused_by_name(tmp_path, kind):
    torch = pytest.importorskip("torch")
    content = {"fc.bias": torch.ones(2), "fc.weight": odd_weights(torch, kind)}
    with pytest.raises(TorchFileError, match=rf"odd\.pt: fc\.weight is .*{kind}"):
        read_checkpoint(saved(tmp_path / "odd.pt", {"model": content}))


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "int8"])
def test_safetensors_of_other_types_are_refused_by_name(tmp_path, kind):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    save_file({"fc.weight": torch.zeros(2, 2).to(getattr(torch, kind))}, tmp_path / "w.safetensors")
    with pytest.raises(TorchFileError, match=r"w\.safetensors: fc\.weight is [FI]8"):
        read_checkpoint(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", [3, "fc.weight\n\x1b[31m"])
def test_odd_names_become_one_printable_line(tmp_path, name):
    with pytest.raises(TorchFileError) as caught:
        read_checkpoint(saved(tmp_path / "odd.pt", {name: "x", **dict.fromkeys(tensors(), 1)}))
    assert str(caught.value).isprintable()


def test_objects_beside_the_weights_are_left_out_without_being_made(tmp_path):
    torch = pytest.importorskip("torch")
    import argparse
    import pathlib

    content = {
        "model": tensors(),
        "args": argparse.Namespace(lr=1e-3, out=pathlib.PurePosixPath("runs")),
        "best": np.float64(0.5),
        "criterion": torch.nn.BCEWithLogitsLoss(),
        "epoch": 4,
    }
    got = read_checkpoint(saved(tmp_path / "w.pt", content))
    assert_equal_dicts(got.state_dict, to_state_dict(random_variables("res1d_maxpool")))
    assert got.epoch == 4 and "argparse.Namespace" in got.notes[0]


@pytest.mark.parametrize("epoch", ["last", float("nan"), [3], None])
def test_an_epoch_that_is_no_number_does_no_harm(tmp_path, epoch):
    content = {"model": tensors(), "epoch": epoch, "step": "many"}
    got = read_checkpoint(saved(tmp_path / "w.pt", content))
    assert got.epoch is None and got.step is None


def test_without_pytorch_the_error_names_the_extra_to_install(tmp_path, monkeypatch):
    path = saved(tmp_path / "weights.pt", tensors())
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"resunet_lc_jax\[torch\]"):
        read_checkpoint(path)
    with pytest.raises(ImportError, match=r"resunet_lc_jax\[torch\]"):
        write_checkpoint(tmp_path / "new.pt", random_checkpoint())
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pt"]
