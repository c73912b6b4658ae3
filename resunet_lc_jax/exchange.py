"""Runs from weights that are already there: PyTorch checkpoints in and out, and fine-tuning."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from ml_collections import ConfigDict

from resunet_lc_jax.learning.recipe import create_tx
from resunet_lc_jax.learning.state import TrainState, create_state
from resunet_lc_jax.pytorch import weights
from resunet_lc_jax.pytorch.names import canonical
from resunet_lc_jax.runs import settings
from resunet_lc_jax.runs.checkpoints import Checkpoints
from resunet_lc_jax.runs.open_run import load_run
from resunet_lc_jax.runs.screen import say
from resunet_lc_jax.runs.workdir import (
    build_model,
    hold,
    initial_variables,
    load_config,
    open_checkpoints,
)
from tfds_physionet.files import write_json

IMPORTED = "imported.json"
"""In a run's folder: what its PyTorch checkpoint counted, and what it called its head."""

# Layers whose shape depends on the classes, or on the leads and the length: new where they differ.
_TIED_LAYERS = ("fc", "fc_1", "lin", "ch_fc1", "ch_fc2", "lc.conv2_1", "lc.conv2_2")


def import_torch(config: ConfigDict, workdir: Path, path: Path) -> None:
    """Makes a run of a PyTorch checkpoint; it can be evaluated, applied, and trained on.

    Args:
      config: The config that the weights fit: the network, its width, leads and length.
      workdir: The run's folder; it must not hold a run yet.
      path: A .pt, .pth, .safetensors or .npz file, see `torch_files.read_checkpoint`.

    Raises:
      ValueError: The weights do not fit (all that differs is listed), or there is a run already.
    """
    if (workdir / "config.json").exists():
        raise ValueError(f"{workdir} already holds a run; give another --workdir")
    checkpoint = weights.read_checkpoint(path)
    model, name = build_model(config), config.model.name
    template = jax.eval_shape(lambda: initial_variables(config, model))
    variables = weights.to_variables(checkpoint.state_dict, template, name)
    state = create_state(variables, _optimizer(config), average=config.train.ema_decay > 0)
    if checkpoint.optimizer is not None:
        mu, nu, count = weights.to_moments(checkpoint.optimizer, template["params"], name)
        opt_state = optax.tree.set(state.opt_state, mu=mu, nu=nu, count=jnp.int32(count))
        state = replace(state, opt_state=opt_state, step=jnp.int32(count))
    imported = {
        "file": path.name,
        "step": int(state.step),
        "num_batches_tracked": weights.batches_tracked(checkpoint.state_dict),
        "head_name": weights.head_name_of(checkpoint.state_dict, name),
    }
    with hold(workdir, config), Checkpoints(workdir / "checkpoints") as checkpoints:
        write_json(workdir / IMPORTED, imported)
        checkpoints.save(jax.tree.map(jnp.asarray, state), wait=True)
    say(*checkpoint.notes)
    moments = "with Adam's moments" if checkpoint.optimizer else "without an optimiser's state"
    say(f"{path.name}: {name}, step {int(state.step):,}, {moments}, is now the run {workdir}")


def export_torch(config: ConfigDict, workdir: Path, path: Path) -> None:
    """Writes a run's best checkpoint as PyTorch weights, which the reference's code loads.

    Args:
      config: The run's config.
      workdir: The run's folder.
      path: Where to; .pt, .pth, .safetensors or .npz.
    """
    model = build_model(config)
    template = create_template(config, model)
    with open_checkpoints(workdir) as checkpoints:
        if checkpoints.best is None:
            raise FileNotFoundError(f"{workdir} holds no checkpoint yet; train the run first")
        state = checkpoints.restore(template, checkpoints.best)
    imported = workdir / IMPORTED
    before = json.loads(imported.read_text()) if imported.is_file() else {}
    step = int(state.step)
    since = step - before.get("step", 0)
    tracked = {k: n + since for k, n in before.get("num_batches_tracked", {}).items()}
    head_name = before.get("head_name", "fc")
    state_dict = weights.to_state_dict(
        state.variables, num_batches_tracked=tracked or step, head_name=head_name
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
    weights.write_checkpoint(path, weights.TorchCheckpoint(state_dict, optimizer=adam, step=step))
    say(f"step {step:,} of {workdir} written to {path}: {len(state_dict)} arrays")


def create_template(config: ConfigDict, model: nn.Module) -> TrainState:
    """The shapes and types of a run's state, without computing it."""
    return jax.eval_shape(
        lambda: create_state(
            initial_variables(config, model),
            _optimizer(config),
            average=config.train.ema_decay > 0,
        )
    )


def first_variables(config: ConfigDict, model: nn.Module) -> dict[str, Any]:
    """The variables at a run's first step: drawn from the seed, or those of `config.init_from`.

    Layers that belong to other classes, leads or lengths there are drawn anew, and this is said.

    Raises:
      ValueError: The weights differ in more than that; all that differs is listed.
    """
    drawn = initial_variables(config, model)
    if config.init_from is None:
        return drawn
    source = Path(config.init_from).expanduser()
    given = {
        canonical(name, config.model.name): array
        for name, array in _state_dict(config, source).items()
    }
    wanted = weights.to_state_dict(drawn)
    fresh = [
        name
        for name, array in wanted.items()
        if _is_tied(name) and (name not in given or given[name].shape != array.shape)
    ]
    fitting = {k: v for k, v in given.items() if k in wanted or not _is_tied(k)}
    fitting |= {name: wanted[name] for name in fresh}
    variables = weights.to_variables(fitting, drawn, config.model.name)
    say(f"weights taken from {source}" + (f"; new: {', '.join(fresh)}" if fresh else ""))
    return jax.tree.map(jnp.asarray, variables)


def _is_tied(name: str) -> bool:
    return name.rpartition(".")[0] in _TIED_LAYERS


def _state_dict(config: ConfigDict, source: Path) -> dict[str, np.ndarray]:
    if source.is_file():
        return dict(weights.read_checkpoint(source).state_dict)
    run = load_run(source, load_config(source, config), checkpoint=config.init_checkpoint)
    return weights.to_state_dict(run.variables)


def _optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """The config's optimiser, for the form of its state; the rate plays no part in that."""
    return create_tx(settings.optimisation(config))
