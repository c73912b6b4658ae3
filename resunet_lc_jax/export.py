"""Writes a trained network as StableHLO, to be run without this package."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export
from ml_collections import ConfigDict

from resunet_lc_jax.models import Network
from resunet_lc_jax.models.folding import fold
from resunet_lc_jax.runs.open_run import open_run
from resunet_lc_jax.runs.screen import say
from tfds_physionet.files import replacing

PLATFORMS = ("cpu", "cuda")


def export(config: ConfigDict, workdir: Path, output: Path) -> None:
    """Writes a run's network, folded and with its weights, for a batch of any size.

    `jax.export.deserialize(bytes).call(signal, lead_present)` gives (logits, scores).

    Args:
      config: The run's config.
      workdir: The run's folder.
      output: The .stablehlo file to write.

    Raises:
      ValueError: The file is of another kind.
    """
    if output.is_dir():
        raise ValueError(f"--output is {output}, a folder; name a file, as model.stablehlo in it")
    if output.suffix != ".stablehlo":
        raise ValueError(f"--output is {output}; export writes a file that ends in .stablehlo")
    run = open_run(workdir, config)
    content = stablehlo(run.model, run.variables, length=run.windowing.length)
    with replacing(output) as beside:
        beside.write_bytes(content)
    say(f"written: {output}, step {run.step:,}, {len(content) / 1e6:.1f} MB")


def stablehlo(model: Network, variables: dict[str, Any], *, length: int) -> bytes:
    """Serialises (signal, lead_present) -> (logits, scores).

    Args:
      model: The network.
      variables: Its parameters and statistics; they become constants.
      length: T. signal is [B, L, T] float32, z-scored, 0 where there is no sample; lead_present
        [B, L] float32; both results [B, K] float32.

    Returns:
      What `jax.export.deserialize` reads, for `PLATFORMS`.
    """
    folded, fewer = fold(model, variables, length=length)

    def scores(signal: jax.Array, lead_present: jax.Array) -> tuple[jax.Array, jax.Array]:
        outputs: Any = folded.apply(fewer, signal, lead_present, train=False)
        return outputs.logits, outputs.scores

    leads = model.num_leads
    shapes = jax_export.symbolic_args_specs(
        (jnp.zeros((1, leads, length)), jnp.zeros((1, leads))), ("b, ...", "b, ...")
    )
    return bytes(jax_export.export(jax.jit(scores), platforms=PLATFORMS)(*shapes).serialize())
