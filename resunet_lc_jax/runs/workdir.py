"""A run's folder: config.json, metrics.jsonl, checkpoints/, thresholds.json, evaluation/."""

from collections.abc import Iterator
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
from resunet_lc_jax.models import Network, Numerics, create_model, form_for
from resunet_lc_jax.runs.checkpoints import Checkpoints
from resunet_lc_jax.runs.config import check_resumable, store_config
from tfds_physionet.diagnoses import NUM_CLASSES
from tfds_physionet.files import is_locked, lock


def build_model(config: ConfigDict, *, platform: str | None = None) -> Network:
    """Creates the network that a config names.

    Args:
      config: The config.
      platform: Of the devices that it is for: 'cpu', 'cuda', ..; by default that of JAX's own.
    """
    dtypes = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
    precisions = {"default": None, "high": lax.Precision.HIGH, "highest": lax.Precision.HIGHEST}
    return create_model(
        config.model.name,
        num_classes=NUM_CLASSES,
        num_leads=len(config.data.leads),
        width=config.model.width,
        dropout=config.model.dropout,
        numerics=Numerics(
            dtype=dtypes[config.model.dtype],
            precision=precisions[config.precision],
            form=form_for(platform or jax.default_backend()),
            unbiased_variance=config.model.unbiased_variance,
            freeze_statistics=config.model.freeze_statistics,
            remat=config.model.remat,
            odd_lead_shift=config.model.odd_lead_shift,
        ),
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
      ValueError: The folder holds a run whose config differs in more than may change.
    """
    if not hosts.is_main():
        hosts.wait("workdir")
        yield
        return
    check_resumable(workdir, config)
    with lock(_lock(workdir), wait=False):
        store_config(workdir, config)
        hosts.wait("workdir")
        yield


def open_checkpoints(workdir: Path) -> Checkpoints:
    """Opens a run's checkpoints to read them, also while another process trains the run."""
    return Checkpoints(workdir / "checkpoints", tidy=not hosts.any_of(is_locked(_lock(workdir))))


def _lock(workdir: Path) -> Path:
    return workdir / "lock"
