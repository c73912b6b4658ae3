"""The weights that a new run starts from: drawn, or those of a run or a PyTorch checkpoint."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from resunet_lc_jax.pretrained import located
from resunet_lc_jax.pytorch import weights
from resunet_lc_jax.pytorch.checkpoint import read_checkpoint
from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.runs.open_run import load_run
from resunet_lc_jax.runs.screen import say
from resunet_lc_jax.runs.workdir import initial_variables

# Layers whose shape depends on the classes, or on the leads and the length: new where they differ.
_TIED_LAYERS = ("fc", "fc_1", "lin", "ch_fc1", "ch_fc2", "lc.conv2_1", "lc.conv2_2")


def first_variables(config: ConfigDict, model: nn.Module) -> dict[str, Any]:
    """The variables at a run's first step: drawn from the seed, or those of `config.init_from`.

    Layers that belong to other classes, leads or lengths there are drawn anew, and this is said.

    Raises:
      ValueError: The weights differ in more than that; all that differs is told.
    """
    drawn = initial_variables(config, model)
    if config.init_from is None:
        return drawn
    source = located(config.init_from)
    given = weights.by_own_name(_state_dict(config, source), config.model.name)
    wanted = weights.to_state_dict(drawn)
    fresh = [
        name
        for name, array in wanted.items()
        if _is_tied(name) and (name not in given or given[name].shape != array.shape)
    ]
    fitting = {k: v for k, v in given.items() if k in wanted or not _is_tied(k)}
    fitting |= {name: wanted[name] for name in fresh}
    try:
        variables = weights.to_variables(fitting, drawn, config.model.name)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    say(f"weights taken from {source}" + (f"; new: {', '.join(fresh)}" if fresh else ""))
    return jax.tree.map(jnp.asarray, variables)


def _is_tied(name: str) -> bool:
    return name.rpartition(".")[0] in _TIED_LAYERS


def _state_dict(config: ConfigDict, source: Path) -> dict[str, np.ndarray]:
    if source.is_file():
        checkpoint = read_checkpoint(source)
        say(*checkpoint.notes)
        return dict(checkpoint.state_dict)
    if not source.is_dir():
        raise FileNotFoundError(f"config.init_from is {source}: there is no such run or file")
    run = load_run(source, load_config(source, config), checkpoint=config.init_checkpoint)
    return weights.to_state_dict(run.variables)
