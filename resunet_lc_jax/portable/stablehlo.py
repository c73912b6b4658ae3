"""A network as StableHLO, with its weights, for any program that has JAX."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export
from jax import lax

from resunet_lc_jax.models import Network, form_for
from resunet_lc_jax.models.folding import fold

PLATFORMS = ("cpu", "cuda")
_CALLED = "jax_hlo_source_file_canonicalization_regex"  # what goes from the names of source files


def stablehlo(model: Network, variables: dict[str, Any], *, length: int) -> bytes:
    """Serialises (signal, lead_present) -> (logits, scores).

    The file holds the weights once and the program twice, each platform's in the form that is fast
    there: with XLA's own convolutions alone a CPU would take 1.8 times as long.

    Args:
      model: The network.
      variables: Its parameters and statistics; they become constants.
      length: T. signal is [B, L, T] float32, z-scored, 0 where there is no sample; lead_present
        [B, L] float32; both results [B, K] float32.

    Returns:
      What `jax.export.deserialize` reads, for `PLATFORMS`.
    """
    folded, fewer = fold(model, variables, length=length)

    def on(platform: str) -> Callable:
        numerics = replace(folded.numerics, form=form_for(platform))
        return partial(folded.clone(numerics=numerics).apply, train=False)

    def scores(signal: jax.Array, lead_present: jax.Array) -> tuple[jax.Array, jax.Array]:
        branches = {platform: on(platform) for platform in PLATFORMS}
        outputs = lax.platform_dependent(fewer, signal, lead_present, **branches)
        return outputs.logits, outputs.scores

    leads = model.num_leads
    shapes = jax_export.symbolic_args_specs(
        (jnp.zeros((1, leads, length)), jnp.zeros((1, leads))), ("b, ...", "b, ...")
    )
    with _without_folders():
        return bytes(jax_export.export(jax.jit(scores), platforms=PLATFORMS)(*shapes).serialize())


@contextmanager
def _without_folders() -> Iterator[None]:
    """Lets JAX name source files without their folders, which tell who exported where."""
    before = getattr(jax.config, _CALLED)
    jax.config.update(_CALLED, ".*/")
    try:
        yield
    finally:
        jax.config.update(_CALLED, before)
