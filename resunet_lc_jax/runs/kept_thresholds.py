"""thresholds.json in a folder: what decides, and the checkpoint that it was chosen for."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from resunet_lc_jax.data.leads import LEAD_SETS, lead_mask
from resunet_lc_jax.measures.thresholds import Thresholds
from tfds_physionet.files import read_values, write_json

FILE = "thresholds.json"
_CHECKPOINT, _LEADS = "checkpoint", "leads"
_REMEDY = "put it back or take it away"


@dataclass(frozen=True)
class Checkpoint:
    """Which weights.

    Attributes:
      step: The optimiser's steps so far.
      hash: Of the network's variables alone, so that it is the same wherever they are stored.
    """

    step: int
    hash: str


def identify(step: int, variables: Any) -> Checkpoint:
    """Returns which weights these are."""
    digest = hashlib.blake2b(digest_size=16)
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return Checkpoint(step, digest.hexdigest())


@dataclass(frozen=True, eq=False)
class Kept:
    """What a folder decides with.

    Attributes:
      thresholds: Of records that have all leads.
      by_leads: Of those that have a reduced lead set alone, by its size; only of this checkpoint.
      remark: What a reader of the decisions must know; '' where the thresholds are this
        checkpoint's.
    """

    thresholds: Thresholds
    by_leads: Mapping[int, Thresholds] = field(default_factory=dict)
    remark: str = ""

    def of_leads(self, leads: Sequence[str], missing: Sequence[str]) -> Thresholds:
        """Returns the thresholds for a record that lacks some of the network's leads."""
        present = [lead not in missing for lead in leads]
        sizes = [size for size in self.by_leads if lead_mask(size, leads).tolist() == present]
        return self.by_leads[sizes[0]] if sizes else self.thresholds


def keep(workdir: Path, chosen: Thresholds, *checkpoints: Checkpoint) -> None:
    """Writes thresholds.json anew; an ensemble's are of several checkpoints."""
    write_json(workdir / FILE, chosen.content() | {_CHECKPOINT: _listed(checkpoints)})


def keep_by_leads(workdir: Path, chosen: Mapping[int, Thresholds], checkpoint: Checkpoint) -> None:
    """Adds the thresholds of reduced lead sets, by their size, to thresholds.json if there is."""
    if not (content := _read(workdir / FILE)):
        return
    entries = {
        str(size): at.content() | {_CHECKPOINT: _listed([checkpoint])}
        for size, at in chosen.items()
    }
    write_json(workdir / FILE, content | {_LEADS: content.get(_LEADS, {}) | entries})


def load(workdir: Path, *checkpoints: Checkpoint, otherwise: Thresholds | None = None) -> Kept:
    """Reads thresholds.json and says what is wrong with it for these checkpoints.

    Args:
      workdir: The folder.
      checkpoints: What is to decide with them: one, or those of an ensemble's runs.
      otherwise: What decides where there are none; None for 0.5.

    Raises:
      ValueError: The file is damaged.
    """
    path = workdir / FILE
    content, here = _read(path), _listed(checkpoints)
    if not content:
        remark = f"there is no {FILE}: 0.5 decides for every class"
        return Kept(otherwise) if otherwise else Kept(Thresholds.fixed(), remark=remark)
    try:
        by_leads = {
            int(size): Thresholds.of_content(entry)
            for size, entry in content.get(_LEADS, {}).items()
            if entry[_CHECKPOINT] == here and int(size) in LEAD_SETS
        }
        chosen = Thresholds.of_content(content)
        there = content.get(_CHECKPOINT)
        return Kept(chosen, by_leads, "" if there == here else _remark(there, here))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error}; {_REMEDY}") from error


def _remark(there: Any, here: Any) -> str:
    if there is None:
        return (
            f"{FILE} is of an earlier version and does not say which checkpoint it was chosen for; "
            f"whether it fits {_steps(here)} is not known"
        )
    other = "another " if _steps(there) == _steps(here) else ""
    return (
        f"{FILE} was chosen for {other}{_steps(there)}, and this is {_steps(here)}: the decisions "
        "are not at this checkpoint's own thresholds, which the end of training chooses"
    )


def _listed(checkpoints: Sequence[Checkpoint]) -> Any:
    """As JSON has them: one by itself, several as a list."""
    listed = [{"step": one.step, "hash": one.hash} for one in checkpoints]
    return listed[0] if len(listed) == 1 else listed


def _steps(listed: Any) -> str:
    several = isinstance(listed, list)
    steps = [f"{entry['step']:,}" for entry in (listed if several else [listed])]
    return f"step{'s' if several else ''} {' and '.join(steps)}"


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    if not (content := read_values(path, remedy=_REMEDY)):
        raise ValueError(f"{path} is damaged: it holds no values by name; {_REMEDY}")
    return content
