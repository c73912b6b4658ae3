"""A run's folder: config.json, metrics.jsonl, checkpoints/, thresholds.json, evaluation/."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from ml_collections import ConfigDict

from resunet_lc_jax.devices import hosts
from resunet_lc_jax.learning.state import init_variables
from resunet_lc_jax.models import Network, create_model
from resunet_lc_jax.runs.checkpoints import Checkpoints
from tfds_physionet.diagnoses import NUM_CLASSES
from tfds_physionet.files import is_locked, lock, write_json

NO_RECORDS = """no records were given. Either train on the Challenge's own:
  python -m tfds_physionet.prepare --download --data_dir=DIR     fetches them (about 6 GB), then
  python main.py --config=configs/default.py --config.data.records=DIR --workdir=W
or see everything work on embedded simulated records, in minutes:
  python main.py --config=configs/quickstart.py --workdir=W"""

CHANGEABLE = (
    "compilation_cache",
    "data.data_dir",
    "data.workers",
    "eval.batch_size",
    "train.epochs",
    "train.steps",
    "train.log_every_steps",
    "train.checkpoint_every_steps",
    "train.skip_not_finite",
    "model.remat",
    "parallel.mode",
)
"""Fields that a run may be taken up again with another value of."""

_OF_ONE_START = ("coordinator", "num_processes", "process_id")  # of config.parallel


def require_records(config: ConfigDict) -> None:
    """Raises ValueError, with the ways on, if the config names no records."""
    if config.data.records is None:
        raise ValueError(NO_RECORDS)


def build_model(config: ConfigDict, *, axis_name: str | None = None) -> Network:
    """Creates the network that a config names."""
    dtypes = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
    precisions = {"default": None, "high": lax.Precision.HIGH, "highest": lax.Precision.HIGHEST}
    if config.precision not in precisions:
        raise ValueError(
            f"config.precision is {config.precision!r}; choose 'default', 'high' or 'highest'"
        )
    if config.model.dtype not in dtypes:
        raise ValueError(
            f"config.model.dtype is {config.model.dtype!r}; choose 'float32' or 'bfloat16'"
        )
    return create_model(
        config.model.name,
        num_classes=NUM_CLASSES,
        num_leads=len(config.data.leads),
        width=config.model.width,
        dropout=config.model.dropout,
        dtype=dtypes[config.model.dtype],
        precision=precisions[config.precision],
        unbiased_variance=config.model.unbiased_variance,
        odd_lead_shift=config.model.odd_lead_shift,
        freeze_statistics=config.model.freeze_statistics,
        remat=config.model.remat,
        axis_name=axis_name,
    )


def initial_variables(config: ConfigDict, model: nn.Module) -> dict[str, Any]:
    """Draws the network's first variables from the config's seed."""
    return init_variables(
        model, seed=config.seed, num_leads=len(config.data.leads), length=config.data.length
    )


def configure_jax(config: ConfigDict) -> None:
    """Joins the run's other processes and applies the config's process-wide settings of JAX."""
    hosts.join(
        config.parallel.coordinator, config.parallel.num_processes, config.parallel.process_id
    )
    if config.compilation_cache != "off":
        folder = Path(config.compilation_cache).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(folder))


@contextmanager
def hold(workdir: Path, config: ConfigDict) -> Iterator[None]:
    """Makes the folder this run's own and stores the config in it.

    The lock ends with the process, however that ends; nothing stale is left to be removed.

    Raises:
      BlockingIOError: Another process is writing the folder; the message names it.
      ValueError: The folder holds a run whose config differs in more than `CHANGEABLE`.
    """
    if not hosts.is_main():
        hosts.wait("workdir")
        yield
        return
    _check_config(workdir, config)
    with lock(_lock(workdir), wait=False):
        write_json(workdir / "config.json", config.to_dict())
        hosts.wait("workdir")
        yield


def _check_config(workdir: Path, config: ConfigDict) -> None:
    path = workdir / "config.json"
    if path.is_file():
        stored, given = _flatten(load_config(workdir, config)), _flatten(config)
        changeable = set(CHANGEABLE)
        if stored["data.records"] is None:  # imported weights: no records were needed
            changeable.add("data.records")
        differing = [k for k in given if stored.get(k) != given[k] and k not in changeable]
        if differing:
            listing = ", ".join(f"{k} ({stored.get(k)!r} there)" for k in differing)
            raise ValueError(
                f"{workdir} holds a run of another config: {listing}; "
                "give the same values or another --workdir"
            )


def load_config(workdir: Path, default: ConfigDict) -> ConfigDict:
    """Reads a run's config; knobs that it does not know yet keep their default.

    So do those that say which processes there were: they were of one start of the run.

    Args:
      workdir: The run's folder.
      default: configs/default.py's config.

    Raises:
      FileNotFoundError: There is no run in the folder.
    """
    path = workdir / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{workdir} holds no run: there is no {path.name} in it")
    config = default.copy_and_resolve_references()
    stored = json.loads(path.read_text())
    for name in _OF_ONE_START:
        stored.get("parallel", {}).pop(name, None)
    with config.unlocked():
        config.update(_with_tuples(stored))
    return config


def open_checkpoints(workdir: Path) -> Checkpoints:
    """Opens a run's checkpoints to read them, also while another process trains the run."""
    return Checkpoints(workdir / "checkpoints", tidy=not hosts.any_of(is_locked(_lock(workdir))))


def _lock(workdir: Path) -> Path:
    return workdir / "lock"


def _flatten(config: ConfigDict) -> dict[str, Any]:
    def items(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name, value in values.items():
            if isinstance(value, Mapping):
                flat |= items(value, f"{prefix}{name}.")
            else:
                flat[prefix + name] = value
        return flat

    return items(config.to_dict(), "")


def _with_tuples(values: Any) -> Any:
    """JSON knows lists only; the configs hold tuples."""
    if isinstance(values, dict):
        return {k: _with_tuples(v) for k, v in values.items()}
    return tuple(values) if isinstance(values, list) else values
