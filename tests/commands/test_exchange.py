"""Runs made of PyTorch checkpoints and back, and fine-tuning."""

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from small_runs import small_config

from configs import default
from resunet_lc_jax.data.sources import Records
from resunet_lc_jax.exchange import create_template, export_torch, import_torch
from resunet_lc_jax.fine_tuning import first_variables
from resunet_lc_jax.learning.state import TrainState
from resunet_lc_jax.pytorch import checkpoint, weights
from resunet_lc_jax.pytorch.adam import AdamState
from resunet_lc_jax.runs.checkpoints import Checkpoints
from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.runs.open_run import load_run
from resunet_lc_jax.runs.workdir import build_model, hold, initial_variables
from resunet_lc_jax.train import train


def _config(**changes: object) -> ConfigDict:
    small = {"model.width": 4, "model.name": "res2d_lc", "data.length": 128}
    return small_config(default, **(small | changes))


def _checkpoint(config: ConfigDict, *, seed: int = 5) -> checkpoint.TorchCheckpoint:
    """A PyTorch checkpoint after 17 steps of Adam, its numbers drawn at random."""
    rng = np.random.default_rng(seed)
    like = weights.to_state_dict(initial_variables(config, build_model(config)))
    drawn = {
        k: np.array(17) if v.dtype == np.int64 else rng.random(v.shape).astype(np.float32)
        for k, v in like.items()
    }
    moments = {k: v for k, v in drawn.items() if "running" not in k and v.ndim}
    adam = AdamState(moments, {k: v**2 for k, v in moments.items()}, 17)
    return checkpoint.TorchCheckpoint(drawn, optimizer=adam, step=17)


def _restore(config: ConfigDict, workdir: Path) -> TrainState:
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        return checkpoints.restore(create_template(config, build_model(config)))


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "pt"])
def test_a_pytorch_checkpoint_goes_through_a_run_bit_for_bit(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip({"npz": "numpy", "pt": "torch"}.get(suffix, "safetensors"))
    config, given = _config(), tmp_path / f"given.{suffix}"
    checkpoint.write_checkpoint(given, _checkpoint(config))
    import_torch(config, tmp_path / "run", given)
    assert int(_restore(config, tmp_path / "run").step) == 17
    back = tmp_path / "missing" / "folder" / f"back.{suffix}"
    export_torch(config, tmp_path / "run", back)
    assert list(back.parent.iterdir()) == [back]
    a = checkpoint.read_checkpoint(given)
    b = checkpoint.read_checkpoint(back)
    assert list(a.state_dict) == list(b.state_dict) and a.step == b.step
    assert a.optimizer is not None and b.optimizer is not None
    for one, other in [
        (a.state_dict, b.state_dict),
        (a.optimizer.exp_avg, b.optimizer.exp_avg),
        (a.optimizer.exp_avg_sq, b.optimizer.exp_avg_sq),
    ]:
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_weights_that_do_not_fit_are_listed_and_leave_no_run(tmp_path: Path) -> None:
    given = tmp_path / "given.npz"
    checkpoint.write_checkpoint(given, _checkpoint(_config()))
    with pytest.raises(ValueError, match="shape: lc.conv2_2.weight is"):
        import_torch(_config(**{"data.leads": ("I", "II")}), tmp_path / "run", given)
    assert not (tmp_path / "run").exists()


def test_an_imported_run_is_not_written_over(tmp_path: Path) -> None:
    given = tmp_path / "given.npz"
    checkpoint.write_checkpoint(given, _checkpoint(_config()))
    import_torch(_config(), tmp_path / "run", given)
    with pytest.raises(ValueError, match="already holds a run"):
        import_torch(_config(), tmp_path / "run", given)


def test_an_imported_run_is_trained_on_with_records_named_only_then(tmp_path: Path) -> None:
    given, workdir = tmp_path / "given.npz", tmp_path / "run"
    checkpoint.write_checkpoint(given, _checkpoint(_config()))
    import_torch(_config(), workdir, given)
    with hold(workdir, _config(**{"data.records": "simulated"})):
        pass
    with pytest.raises(ValueError, match=r"data.records \('simulated' there\)"):
        hold(workdir, _config(**{"data.records": "elsewhere"})).__enter__()


def test_a_run_starts_from_the_weights_of_another(tmp_path: Path) -> None:
    given = tmp_path / "given.npz"
    checkpoint.write_checkpoint(given, _checkpoint(_config()))
    import_torch(_config(), tmp_path / "run", given)
    tuned = _config(init_from=str(tmp_path / "run"))
    variables = first_variables(tuned, build_model(tuned))
    stored = load_run(tmp_path / "run", load_config(tmp_path / "run", _config())).variables
    jax.tree.map(np.testing.assert_array_equal, variables, stored)


def test_fine_tuning_on_other_leads_draws_only_the_tied_layers_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given = tmp_path / "given.npz"
    checkpoint.write_checkpoint(given, _checkpoint(_config()))
    tuned = _config(init_from=str(given), **{"data.leads": ("I", "II", "V2")})
    variables = weights.to_state_dict(first_variables(tuned, build_model(tuned)))
    drawn = weights.to_state_dict(initial_variables(tuned, build_model(tuned)))
    kept = checkpoint.read_checkpoint(given).state_dict
    tied = ["lc.conv2_1.weight", "lc.conv2_2.weight"]
    assert f"new: {', '.join(tied)}" in capsys.readouterr().out
    for name, array in variables.items():
        if not name.endswith("tracked"):
            expected = (drawn if name in tied else kept)[name]
            np.testing.assert_array_equal(array, expected, err_msg=name)


@pytest.mark.parametrize(
    ("head", "classes", "new"), [("fc_1", 26, ""), ("fc", 9, "; new: fc.weight, fc.bias")]
)
def test_fine_tuning_keeps_a_head_of_either_name_and_draws_one_of_other_classes_anew(
    head: str, classes: int, new: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config, given = _config(**{"model.name": "res2d_maxpool"}), tmp_path / "given.npz"
    kept = {
        name.replace("fc.", f"{head}."): array[:classes] if name.startswith("fc.") else array
        for name, array in _checkpoint(config).state_dict.items()
    }
    checkpoint.write_checkpoint(given, checkpoint.TorchCheckpoint(kept))
    config.init_from = str(given)
    variables = weights.to_state_dict(first_variables(config, build_model(config)))
    assert capsys.readouterr().out == f"weights taken from {given}{new}\n"
    assert np.array_equal(variables["fc.bias"], kept[f"{head}.bias"]) == (classes == 26)
    np.testing.assert_array_equal(variables["rb_0.conv1.weight"], kept["rb_0.conv1.weight"])


def test_the_published_shift_of_odd_leads_is_switched_by_the_config() -> None:
    knobs = {"model.name": "res2d_maxpool", "data.leads": ("I", "II", "V2")}
    signal = jnp.asarray(np.random.default_rng(0).standard_normal((1, 3, 128)))
    present = jnp.ones((1, 3))
    variables = initial_variables(_config(**knobs), build_model(_config(**knobs)))
    plain, shifted = (
        build_model(_config(**knobs, **{"model.odd_lead_shift": shift})).apply(
            variables, signal, present
        )
        for shift in (False, True)
    )
    assert not np.allclose(plain.logits, shifted.logits, rtol=1e-3)


def test_fine_tuning_from_another_network_is_refused(tmp_path: Path) -> None:
    given = tmp_path / "given.npz"
    checkpoint.write_checkpoint(given, _checkpoint(_config()))
    other = _config(init_from=str(given), **{"model.width": 8})
    with pytest.raises(ValueError, match="shape: inconv"):
        first_variables(other, build_model(other))


def test_an_import_that_cannot_be_written_leaves_the_folder_as_it_was(
    repository: Path, tmp_path: Path
) -> None:
    config, folder = _config(), tmp_path / "run"
    checkpoint.write_checkpoint(tmp_path / "given.npz", _checkpoint(config))
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    knobs = ["model.name=res2d_lc", "model.width=4", "data.length=128", "compilation_cache=off"]
    flags = [f"--config.{knob}" for knob in knobs]
    flags += [f"--torch_checkpoint={tmp_path / 'given.npz'}", f"--workdir={folder}"]
    # No file may be larger than 4 kB, which the config is not.
    limited = f'ulimit -f 4; exec {sys.executable} main.py --mode=import_torch "$@"'
    done = subprocess.run(
        ["bash", "-c", limited, "bash", *flags],
        cwd=repository,
        env=os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "false"},  # no other file is meant
        capture_output=True,
        text=True,
        check=False,
    )
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("main.py: ")]
    assert done.returncode == 2 and "could not be written" in said
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_odd_files_end_the_command_with_one_sentence_and_status_2(
    repository: Path, tmp_path: Path
) -> None:
    given = _checkpoint(_config())
    adam = replace(given.optimizer, step=-3)
    checkpoint.write_checkpoint(tmp_path / "before.npz", replace(given, optimizer=adam))
    checkpoint.write_checkpoint(tmp_path / "good.npz", given)
    whole = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "truncated.npz").write_bytes(whole[: len(whole) // 2])
    for name, lines in (("truncated.npz", 1), ("before.npz", 1), ("good.npz", 20)):
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "main.py",
                    "--mode=import_torch",
                    f"--workdir={tmp_path / 'run'}",
                ),
                f"--torch_checkpoint={tmp_path / name}",
            ],
            cwd=repository,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2 and not done.stdout
        said = done.stderr.splitlines()
        assert said[0].startswith(f"main.py: {tmp_path / name}") and len(said) <= lines
    assert "another network, res2d_lc: --config.model.name=res2d_lc" in said[0]
    assert not (tmp_path / "run").exists()


def test_exporting_is_refused_where_no_file_can_stand_before_the_run_is_read(
    tmp_path: Path,
) -> None:
    for path, said in ((tmp_path, "is a folder"), (tmp_path / "model.h5", "suffix")):
        with pytest.raises(ValueError, match=said):
            export_torch(_config(), tmp_path / "no run", path)


def test_a_damaged_note_of_the_import_is_said_on_export(tmp_path: Path) -> None:
    given, run = tmp_path / "given.npz", tmp_path / "run"
    checkpoint.write_checkpoint(given, _checkpoint(_config()))
    import_torch(_config(), run, given)
    for text in ("{", "[]", "{}", '{"step": 1, "num_batches_tracked": 3, "head_name": "fc"}'):
        (run / "imported.json").write_text(text)
        with pytest.raises(ValueError, match=r"imported\.json is damaged"):
            export_torch(_config(), run, tmp_path / "new" / "back.npz")
    assert not (tmp_path / "new").exists()


def test_adams_moments_are_left_out_of_a_run_with_another_optimiser(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    given, config = tmp_path / "given.npz", _config(**{"train.optimizer": "sgd"})
    checkpoint.write_checkpoint(given, _checkpoint(config))
    import_torch(config, tmp_path / "run", given)
    assert "step 0, without an optimiser's state" in capsys.readouterr().out
    assert int(_restore(config, tmp_path / "run").step) == 0


@pytest.mark.parametrize("steps", [None, 17])
def test_training_an_imported_run_that_is_past_its_end_ends_at_once(
    steps: int | None,
    prepared: dict[str, object],
    records: Records,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    """Its weights stay as they were; thresholds are chosen and the test records evaluated."""
    knobs = {
        **prepared,
        "model.name": "res1d_maxpool",
        "train.batch_size": 64,
        "train.epochs": 2,  # of two steps each
        "train.steps": steps,
    }
    config, run, given = _config(**knobs), tmp_path / "run", tmp_path / "given.npz"
    checkpoint.write_checkpoint(given, _checkpoint(config))
    import_torch(config, run, given)
    assert ("ends at step 17" in capsys.readouterr().out) == (steps == 17)
    before = _restore(config, run)
    alarm = threading.Timer(300, os.kill, (os.getpid(), signal.SIGTERM))  # which training obeys
    alarm.start()
    assert train(config, run, records) == 0
    alarm.cancel()
    after = _restore(config, run)
    jax.tree.map(np.testing.assert_array_equal, after.variables, before.variables)
    assert int(after.step) == 17
    assert (run / "thresholds.json").is_file() and (run / "evaluation/test.json").is_file()
