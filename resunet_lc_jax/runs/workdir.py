"""A run's folder: config.json, metrics.jsonl, checkpoints/, thresholds.json, evaluation/."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
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
from resunet_lc_jax.runs.config import OF_ONE_PROCESS, check_resumable, store_config
from resunet_lc_jax.runs.flat import flatten
from resunet_lc_jax.runs.kind import RUN, Kind, expect
from resunet_lc_jax.runs.metrics_log import read_metrics, read_validations
from resunet_lc_jax.runs.screen import say
from tfds_physionet.diagnoses import NUM_CLASSES
from tfds_physionet.files import is_locked, lock, sweep


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
    """Joins the run's other processes and applies the config's process-wide settings of JAX.

    Raises:
      ValueError: Another process has another config.
    """
    hosts.join(
        config.parallel.coordinator, config.parallel.num_processes, config.parallel.process_id
    )
    values = flatten(config.to_dict())
    hosts.agree(
        "start", {f"config.{name}": values[name] for name in values if name not in OF_ONE_PROCESS}
    )
    if config.compilation_cache != "off":
        folder = Path(config.compilation_cache).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(folder))


@contextmanager
def hold(workdir: Path, config: ConfigDict, kind: Kind = RUN) -> Iterator[None]:
    """Makes the folder this run's own and stores the config in it.

    The lock ends with the process, however that ends; nothing stale is left to be removed.

    Args:
      workdir: The folder.
      config: The config.
      kind: What the folder is to be.

    Raises:
      BlockingIOError: Another process is writing the folder; the message names it.
      ValueError: The folder holds a run whose config differs in more than may change, or what is
        no run; or the run's processes do not see the same folder.
    """
    with _written(workdir, config, kind) if hosts.is_main() else nullcontext():
        hosts.agree("the run's folder", {"--workdir": str(workdir.absolute())})
        hosts.check_shared(_lock(workdir))
        yield


@contextmanager
def _written(workdir: Path, config: ConfigDict, kind: Kind) -> Iterator[None]:
    expect(workdir, kind)
    check_resumable(workdir, config)
    with lock(_lock(workdir), wait=False):
        sweep(workdir)
        store_config(workdir, config)
        yield


def open_checkpoints(workdir: Path) -> Checkpoints:
    """Opens a run's checkpoints to read them, also while another process trains the run."""
    return Checkpoints(workdir / "checkpoints", tidy=not hosts.any_of(is_locked(_lock(workdir))))


def check_unbegun(workdir: Path) -> None:
    """Checks that a folder without a checkpoint holds nothing that one was needed for.

    Raises:
      ValueError: The checkpoints of its run are gone, or all damaged.
    """
    rows, validations = read_metrics(workdir), read_validations(workdir)
    folder = workdir / "checkpoints"
    damaged = sorted(path.name for path in folder.glob("damaged_*"))
    left = (workdir / "thresholds.json").is_file() or next(folder.glob("checksums/*.json"), None)
    if damaged or left or len(validations) > 1:
        steps = f"; its log goes to step {rows[-1]['step']:,}" if rows else ""
        aside = f" ({', '.join(damaged)} are damaged)" if damaged else ""
        raise ValueError(
            f"{workdir} holds a run, but none of its checkpoints is left{aside}{steps}: put "
            "checkpoints/ back, or begin anew in another --workdir"
        )
    if rows:
        say(f"{workdir}: the run ended before its first checkpoint and begins anew")


def _lock(workdir: Path) -> Path:
    return workdir / "lock"
