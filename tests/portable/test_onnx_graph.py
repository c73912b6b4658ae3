"""An ONNX file gives what the network gives, for any number of records."""

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

from resunet_lc_jax.learning.state import init_variables
from resunet_lc_jax.learning.steps import normalise
from resunet_lc_jax.models import MODEL_NAMES, Network, Outputs, create_model
from resunet_lc_jax.portable.onnx_file import onnx_file
from resunet_lc_jax.portable.onnx_graph import onnx_model
from tfds_physionet.reading.records import MISSING

_LENGTH = 256
_LARGE = pytest.mark.slow  # their converting takes seconds
_NAMES = [
    pytest.param(name, marks=_LARGE if name in ("mvms_net", "isibrno") else ())
    for name in MODEL_NAMES
    if name != "resu2d_lc"  # another name of resunet_lc
]


def _batch(size: int) -> dict[str, np.ndarray]:
    """Windows with an absent lead and missing samples."""
    rng = np.random.default_rng(size)
    signal = rng.integers(-900, 900, (size, 12, _LENGTH)).astype(np.int16)
    present = np.ones((size, 12), bool)
    signal[0, 2], present[0, 2], signal[:, :, -30:] = MISSING, False, MISSING
    mean, std = rng.normal(0, 9, (size, 12)), rng.uniform(100, 300, (size, 12))
    values = {"lead_mean": mean.astype(np.float32), "lead_std": std.astype(np.float32)}
    return {"signal": signal, "lead_present": present, **values}


def _outputs(model: Network, variables: dict, batch: dict, statistics: str) -> Outputs:
    inputs = normalise(batch, statistics=statistics)
    return jax.jit(model.apply)(variables, inputs["signal"], inputs["lead_present"])


@pytest.mark.parametrize("name", _NAMES)
def test_onnx_runtime_gives_the_networks_scores(name: str) -> None:
    statistics = "crop" if name == "res1d_maxpool" else "record"
    model = create_model(name, width=None if name == "isibrno" else 4)
    variables = init_variables(model, seed=0, num_leads=12, length=_LENGTH)
    content = onnx_file(
        model, variables, length=_LENGTH, statistics=statistics, metadata={"a": "b"}
    )
    session = onnxruntime.InferenceSession(content)
    for size in (1, 3):
        batch = _batch(size)
        logits, scores = session.run(["logits", "scores"], batch)
        expected = _outputs(model, variables, batch, statistics)
        np.testing.assert_allclose(scores, expected.scores, rtol=0, atol=1e-6)
        np.testing.assert_allclose(logits, expected.logits, rtol=0, atol=1e-5)


def test_what_has_no_onnx_form_is_named() -> None:
    with pytest.raises(NotImplementedError, match="no ONNX form of JAX's sort"):
        onnx_model(lambda x: {"y": jnp.sort(x)}, {"x": ((3,), np.float32)}, metadata={})


def test_broadcasting_slices_and_rows_are_numpys() -> None:
    def function(x: jax.Array) -> dict[str, jax.Array]:
        rows = x[:, jnp.array([2, 0, 1])]
        sums = jax.lax.slice_in_dim(x[:, :1], 0, 6, 2, axis=2).sum(axis=2, keepdims=True)
        both = jnp.concatenate([rows * sums, x[:, ::-1]], 1)
        return {"y": jnp.stack([both, jnp.broadcast_to(x.max(axis=1)[:, None], both.shape)], 1)}

    model = onnx_model(function, {"x": ((3, 6), np.float32)}, metadata={})
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = np.random.default_rng(0).normal(size=(2, 3, 6)).astype(np.float32)
    (y,) = session.run(None, {"x": x})
    np.testing.assert_allclose(y, function(jnp.asarray(x))["y"], rtol=1e-6)
