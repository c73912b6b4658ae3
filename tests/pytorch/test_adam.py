"""Adam's state in PyTorch files: taken, left out with the reason, or refused."""

import numpy as np
import pytest
from drawn_weights import random_checkpoint

from resunet_lc_jax.pytorch.checkpoint import read_checkpoint, write_checkpoint
from resunet_lc_jax.pytorch.files import TorchFileError


def saved(path, content):
    torch = pytest.importorskip("torch")
    torch.save(content, path)
    return path


def test_state_of_another_optimiser_is_left_out_and_said(tmp_path):
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    content = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(content, tmp_path / "weights.pt")
    got = read_checkpoint(tmp_path / "weights.pt")
    assert got.optimizer is None
    assert "optimiser" in got.notes[0]


def trained(torch, create, model=None):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2)) if model is None else model
    optimizer = create(model)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
    names = {"0.weight": "fc.weight", "0.bias": "fc.bias"}
    return {
        "model": {names[name]: value for name, value in model.state_dict().items()},
        "optimizer": optimizer.state_dict(),
    }


def test_adams_state_is_found_in_lightnings_list_and_adamws_decay_is_named(tmp_path):
    torch = pytest.importorskip("torch")
    content = trained(torch, lambda m: torch.optim.AdamW(m.parameters(), lr=0.1))
    content["optimizer_states"] = [content.pop("optimizer")]
    got = read_checkpoint(saved(tmp_path / "w.ckpt", content))
    state = content["optimizer_states"][0]["state"]
    assert got.optimizer.step == 3 and got.optimizer.learning_rate == 0.1
    np.testing.assert_array_equal(got.optimizer.exp_avg["fc.weight"], state[0]["exp_avg"])
    assert any("weight_decay=0.01" in note for note in got.notes)


@pytest.mark.parametrize("step", [3, 3.0, "tensor", "one element"])
def test_adams_step_is_taken_as_any_kind_of_number(tmp_path, step):
    torch = pytest.importorskip("torch")
    made = {"tensor": torch.tensor(3.0), "one element": torch.tensor([3])}.get(step, step)
    content = trained(torch, lambda m: torch.optim.Adam(m.parameters(), lr=torch.tensor(0.5)))
    for entry in content["optimizer"]["state"].values():
        entry["step"] = made
    got = read_checkpoint(saved(tmp_path / "w.pt", content))
    assert got.optimizer.step == 3 and got.optimizer.learning_rate == 0.5 and not got.notes


@pytest.mark.parametrize("step", [-1, 2.5, float("nan"), float("inf"), 2**31, "three", None])
def test_an_adam_step_that_cannot_be_is_refused(tmp_path, step):
    torch = pytest.importorskip("torch")
    content = trained(torch, lambda m: torch.optim.Adam(m.parameters()))
    for entry in content["optimizer"]["state"].values():
        entry["step"] = step
    with pytest.raises(TorchFileError, match=r"w\.pt: Adam's step is "):
        read_checkpoint(saved(tmp_path / "w.pt", content))


@pytest.mark.parametrize("step", [-1, 2.5, np.nan, np.inf, 2**31, [3, 3]])
def test_such_a_step_is_refused_in_arrays_by_name_too(tmp_path, step):
    path = tmp_path / "w.npz"
    write_checkpoint(path, random_checkpoint())
    with np.load(path) as arrays:
        changed = dict(arrays) | {"optimizer/step": np.array(step)}
    np.savez(path, **changed)
    with pytest.raises(TorchFileError, match=r"w\.npz: Adam's step is "):
        read_checkpoint(path)


def odd_optimiser(torch, kind):
    def adam(model):
        if kind == "two groups":
            groups = [{"params": [p]} for p in model.parameters()]
            return torch.optim.Adam(groups)
        made = {"sgd": torch.optim.SGD, "radam": torch.optim.RAdam, "nadam": torch.optim.NAdam}
        return made.get(kind, torch.optim.Adam)(model.parameters(), lr=0.1)

    content = trained(torch, adam)
    state = content["optimizer"]["state"]
    if kind == "an entry missing":
        del state[1]
    elif kind == "a moment missing":
        del state[0]["exp_avg_sq"]
    elif kind == "other steps":
        state[1]["step"] = torch.tensor(7.0)
    elif kind == "another shape":
        state[0]["exp_avg"] = torch.ones(5)
    elif kind == "whole numbers":
        state[0]["exp_avg"] = torch.ones(2, 2, dtype=torch.int32)
    elif kind == "sparse":
        state[0]["exp_avg"] = torch.ones(2, 2).to_sparse()
    elif kind == "rate":
        content["optimizer"]["param_groups"][0]["lr"] = float("nan")
    elif kind == "maximize":
        content["optimizer"]["param_groups"][0]["maximize"] = True
    elif kind == "params":
        content["optimizer"]["param_groups"][0]["params"] = [[0], [1]]
    elif kind == "a list of two":
        content["optimizer"] = [content["optimizer"]] * 2
    elif kind == "a word":
        content["optimizer"] = "Adam"
    elif kind == "empty":
        content["optimizer"] = {}
    elif kind == "groups":
        content["optimizer"]["param_groups"] = 3
    return content


@pytest.mark.parametrize(
    "kind",
    [
        *("sgd", "radam", "nadam", "two groups", "an entry missing", "a moment missing"),
        *("other steps", "another shape", "whole numbers", "sparse", "rate", "maximize", "params"),
        *("a list of two", "a word", "empty", "groups"),
    ],
)
def test_an_optimisers_state_that_is_not_one_adams_is_left_out_and_said(tmp_path, kind):
    torch = pytest.importorskip("torch")
    got = read_checkpoint(saved(tmp_path / "w.pt", odd_optimiser(torch, kind)))
    assert got.optimizer is None and list(got.state_dict) == ["fc.weight", "fc.bias"]
    assert got.notes[-1].startswith("the optimiser's state was left out: ")


def test_amsgrad_and_other_betas_go_on_without_them_and_this_is_said(tmp_path):
    torch = pytest.importorskip("torch")
    settings = {"amsgrad": True, "betas": (0.8, 0.99)}
    content = trained(torch, lambda m: torch.optim.Adam(m.parameters(), **settings))
    got = read_checkpoint(saved(tmp_path / "w.pt", content))
    assert got.optimizer.step == 3
    assert "betas=(0.8, 0.99)" in got.notes[0] and "amsgrad=True" in got.notes[0]
