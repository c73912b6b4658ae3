"""A network as an ONNX file, with its weights and the z-score, for any ONNX runtime."""

from typing import Any

import jax
import numpy as np

from resunet_lc_jax.learning.steps import normalise
from resunet_lc_jax.models import Network
from resunet_lc_jax.models.folding import fold
from resunet_lc_jax.portable.onnx_graph import onnx_model


def onnx_file(
    model: Network,
    variables: dict[str, Any],
    *,
    length: int,
    statistics: str,
    metadata: dict[str, str],
) -> bytes:
    """Serialises (signal, lead_mean, lead_std, lead_present) -> (logits, scores).

    Args:
      model: The network.
      variables: Its parameters and statistics; they become constants.
      length: T. signal is [batch, L, T] int16, -32768 where there is no sample; lead_mean and
        lead_std [batch, L] float32, of the lead's whole record; lead_present [batch, L] bool; both
        results [batch, K] float32.
      statistics: See `steps.normalise`; with 'crop', lead_mean and lead_std are not looked at.
      metadata: Goes into the file's `metadata_props`.

    Raises:
      ImportError: The package onnx is missing.
    """
    folded, fewer = fold(model, variables, length=length)

    def score(*arrays: jax.Array) -> dict[str, jax.Array]:
        batch = normalise(dict(zip(inputs, arrays, strict=True)), statistics=statistics)
        outputs: Any = folded.apply(fewer, batch["signal"], batch["lead_present"], train=False)
        return {"logits": outputs.logits, "scores": outputs.scores}

    lead = (model.num_leads,)
    inputs = {
        "signal": ((*lead, length), np.int16),
        "lead_mean": (lead, np.float32),
        "lead_std": (lead, np.float32),
        "lead_present": (lead, np.bool_),
    }
    return onnx_model(score, inputs, metadata=metadata).SerializeToString()
