"""The modes import_torch and export_torch: runs made of PyTorch checkpoints, and back."""

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from resunet_lc_jax.learning.recipe import create_tx
from resunet_lc_jax.learning.state import TrainState, create_state
from resunet_lc_jax.pytorch import weights
from resunet_lc_jax.pytorch.checkpoint import TorchCheckpoint, read_checkpoint, write_checkpoint
from resunet_lc_jax.pytorch.files import writable
from resunet_lc_jax.runs import settings
from resunet_lc_jax.runs.checkpoints import Checkpoints
from resunet_lc_jax.runs.kind import IMPORTED, RUN, SHIPPED, kind_of
from resunet_lc_jax.runs.open_run import load_run
from resunet_lc_jax.runs.screen import say
from resunet_lc_jax.runs.workdir import (
    build_model,
    hold,
    initial_variables,
    open_checkpoints,
)
from tfds_physionet.files import write_json

_SETTLED = 20  # tenths of a second without anything new


def import_torch(config: ConfigDict, workdir: Path, path: Path) -> None:
    """Makes a run of a PyTorch checkpoint; it can be evaluated, applied, and trained on.

    Args:
      config: The config that the weights fit: the network, its width, leads and length.
      workdir: The run's folder; it must not hold a run yet.
      path: The checkpoint, see `checkpoint.read_checkpoint`.

    Raises:
      ValueError: The file is no checkpoint or does not fit, or there is a run already. Then
        nothing is left in the folder.
    """
    if (kind := kind_of(workdir)) or (workdir / "checkpoints").exists():
        raise ValueError(f"{workdir} already holds {(kind or RUN).name}; give another --workdir")
    if workdir.exists() and not workdir.is_dir():
        raise ValueError(f"{workdir} is a file; --workdir is the folder for the run")
    checkpoint = read_checkpoint(path)
    model, name = build_model(config), config.model.name
    template = jax.eval_shape(lambda: initial_variables(config, model))
    try:
        variables = weights.to_variables(checkpoint.state_dict, template, name)
        state = _first_state(config, variables)
        if adam := checkpoint.optimizer if config.train.optimizer == "adam" else None:
            mu, nu, count = weights.to_moments(adam, template["params"], name)
            opt_state = optax.tree.set(state.opt_state, mu=mu, nu=nu, count=jnp.int32(count))
            state = replace(state, opt_state=opt_state, step=jnp.int32(count))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    step = int(state.step)
    imported = {
        "file": path.name,
        "step": step,
        "num_batches_tracked": weights.batches_tracked(checkpoint.state_dict),
        "head_name": weights.head_name_of(checkpoint.state_dict, name),
    }
    _store(config, workdir, state, imported)
    for note in checkpoint.notes:
        say(note)
    moments = "with Adam's moments" if adam else "without an optimiser's state"
    say(f"{path.name}: {name}, step {step:,}, {moments}, is now the run {workdir}")
    if config.train.steps is not None and step >= config.train.steps:
        say(f"its config ends at step {config.train.steps:,}: --config.train.steps=N trains on")


def _store(config: ConfigDict, workdir: Path, state: TrainState, imported: dict) -> None:
    """Writes the run beside, within the folder, and moves it to its place when it is whole."""
    new = not workdir.exists()
    staged, failed = workdir / f".import-{os.getpid()}", True
    try:
        with hold(staged, config), Checkpoints(staged / "checkpoints") as checkpoints:
            write_json(staged / IMPORTED, imported)
            checkpoints.save(jax.tree.map(jnp.asarray, state), wait=True)
        names = {path.name for path in staged.iterdir()} - {"lock", "config.json"}
        for name in (*sorted(names), "config.json"):  # which makes it a run
            os.replace(staged / name, workdir / name)
        failed = False
    finally:
        # Orbax's threads may write on for a moment after an error: gone is what stays gone.
        gone = 0
        while (failed and gone < _SETTLED) or staged.exists():
            shutil.rmtree(staged, ignore_errors=True)
            time.sleep(0.1)
            gone = 0 if staged.exists() else gone + 1
        if new and workdir.is_dir() and not any(workdir.iterdir()):
            workdir.rmdir()


def export_torch(config: ConfigDict, workdir: Path, path: Path) -> None:
    """Writes a run's best checkpoint as PyTorch weights, which the reference's code loads.

    The path ends in .pt, .pth, .safetensors or .npz; its folder is made if it is missing. A shipped
    network has no optimiser's state.

    Raises:
      ValueError: No such file can be written.
      FileNotFoundError: The run has no checkpoint yet.
    """
    writable(path)
    if kind_of(workdir) == SHIPPED:
        run = load_run(workdir, config)
        state_dict = weights.to_state_dict(run.variables, num_batches_tracked=run.step)
        write_checkpoint(path, TorchCheckpoint(state_dict, step=run.step))
        say(f"{workdir.name}, step {run.step:,}, written to {path}: {len(state_dict)} arrays")
        return
    template = create_template(config, build_model(config))
    with open_checkpoints(workdir) as checkpoints:
        if checkpoints.best is None:
            raise FileNotFoundError(f"{workdir} holds no checkpoint yet; train the run first")
        state = checkpoints.restore(template, checkpoints.best)
    step = int(state.step)
    tracked, head_name = _counted(workdir / IMPORTED, step)
    state_dict = weights.to_state_dict(
        state.variables, num_batches_tracked=tracked, head_name=head_name
    )
    adam = None
    if config.train.optimizer == "adam":
        adam = weights.from_moments(
            optax.tree.get(state.opt_state, "mu"),
            optax.tree.get(state.opt_state, "nu"),
            step,
            learning_rate=config.train.learning_rate,
            head_name=head_name,
        )
    write_checkpoint(path, TorchCheckpoint(state_dict, optimizer=adam, step=step))
    say(f"step {step:,} of {workdir} written to {path}: {len(state_dict)} arrays")


def _counted(imported: Path, step: int) -> tuple[int | dict[str, int], str]:
    """BatchNorm's counts of steps, going on from those of an imported file, and its head's name."""
    if not imported.is_file():
        return step, "fc"
    try:
        before = json.loads(imported.read_text())
        since = step - before["step"]
        counts = {name: count + since for name, count in before["num_batches_tracked"].items()}
        return counts or step, str(before["head_name"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{imported} is damaged ({error}); without it the layers count from this run's start"
        ) from error


def create_template(config: ConfigDict, model: nn.Module) -> TrainState:
    """The shapes and types of a run's state, without computing it."""
    return jax.eval_shape(lambda: _first_state(config, initial_variables(config, model)))


def _first_state(config: ConfigDict, variables: weights.Variables) -> TrainState:
    return create_state(
        dict(variables),
        create_tx(settings.optimisation(config)),
        average=config.train.ema_decay > 0,
    )
