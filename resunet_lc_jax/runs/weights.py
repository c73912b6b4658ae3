"""A run's weights: of its checkpoints, or of weights.safetensors where it is shipped without them.

Variables are named by their path in the tree, as params.fc.kernel, in the axes that they have here.
"""

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
from safetensors.numpy import save

from resunet_lc_jax.devices import hosts
from resunet_lc_jax.runs.kind import SHIPPED
from resunet_lc_jax.runs.workdir import open_checkpoints
from tfds_physionet.files import read_values, replacing

CARD = "card.json"
"""Beside shipped weights: what they are, and under weights their sha256."""

_named = partial(jax.tree_util.keystr, simple=True, separator=".")


def restore_weights(
    workdir: Path, like: dict[str, Any], *, checkpoint: str = "best"
) -> tuple[int, dict[str, Any]]:
    """Loads a run's variables, and the step that they are of.

    Args:
      workdir: The run's folder.
      like: A tree of `jax.ShapeDtypeStruct` in their form.
      checkpoint: 'best' or 'latest'; a shipped network has one.

    Raises:
      FileNotFoundError: The run has no checkpoint yet.
      ValueError: Shipped weights are damaged, or of another network.
    """
    if (workdir / SHIPPED.mark).is_file():
        return _read(workdir, like)
    with open_checkpoints(workdir) as checkpoints:
        step = checkpoints.latest if checkpoint == "latest" else checkpoints.best
        if step is None:
            raise FileNotFoundError(f"{workdir} holds no checkpoint yet; train the run first")
        hosts.agree("a checkpoint", {"the checkpoint of the run": f"{workdir.absolute()}/{step}"})
        return step, checkpoints.restore_variables(like, step)


def write_weights(folder: Path, variables: dict[str, Any], *, step: int) -> dict[str, Any]:
    """Writes weights.safetensors, the same bytes for the same weights.

    Returns:
      What a card says of the file: file, bytes, sha256.
    """
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    arrays = {_named(path): np.ascontiguousarray(leaf) for path, leaf in leaves}
    content = save(arrays, metadata={"step": str(step)})
    with replacing(folder / SHIPPED.mark) as beside:
        beside.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    return {"file": SHIPPED.mark, "bytes": len(content), "sha256": digest}


def _read(folder: Path, like: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    path, card = folder / SHIPPED.mark, folder / CARD
    told = read_values(card).get("weights", {}) if card.is_file() else {}
    if told and told["sha256"] != hashlib.sha256(path.read_bytes()).hexdigest():
        raise ValueError(f"{path} is not the file that {CARD} is of; install the package again")
    leaves, tree = jax.tree_util.tree_flatten_with_path(like)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            step = int(file.metadata()["step"])
            given = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); install the package again") from error
    wanted = {_named(leaf_path): leaf for leaf_path, leaf in leaves}
    if {name: (a.shape, a.dtype) for name, a in given.items()} != {
        name: (leaf.shape, leaf.dtype) for name, leaf in wanted.items()
    }:
        raise ValueError(f"{path} holds the weights of another network than {folder}/config.json")
    return step, jax.tree_util.tree_unflatten(tree, [given[name] for name in wanted])
