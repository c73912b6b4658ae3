"""The exported network gives what the network gives, without this package's code."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import resunet_lc_jax
from configs import quickstart
from resunet_lc_jax.export import export, stablehlo
from resunet_lc_jax.learning.state import init_variables
from resunet_lc_jax.models import create_model


def test_exported_network_scores_batches_of_any_size_as_the_network_does():
    model = create_model("resunet_lc", width=8, num_classes=4)
    variables = init_variables(model, seed=0, num_leads=12, length=256)
    called = jax.export.deserialize(bytearray(stablehlo(model, variables, length=256)))
    for size in (1, 3):
        signal = np.random.default_rng(size).standard_normal((size, 12, 256)).astype(np.float32)
        present = jnp.ones((size, 12))
        expected = jax.jit(model.apply)(variables, signal, present)
        logits, scores = called.call(signal, present)
        np.testing.assert_allclose(logits, expected.logits, rtol=0, atol=1e-5)
        np.testing.assert_allclose(scores, expected.scores, rtol=0, atol=1e-5)


def test_exported_file_holds_the_weights_once_and_a_program_for_each_platform():
    model = create_model("res2d_maxpool", width=64)
    variables = init_variables(model, seed=0, num_leads=12, length=256)
    content = stablehlo(model, variables, length=256)
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(variables["params"]))
    assert weights < len(content) < 1.1 * weights
    for folder in (Path(resunet_lc_jax.__file__).parents[1], Path(jax.__file__).parents[1]):
        assert str(folder).encode() not in content
    exported = jax.export.deserialize(bytearray(content))
    assert exported.platforms == ("cpu", "cuda")
    program = jax.jit(exported.call).lower(jnp.zeros((1, 12, 256)), jnp.ones((1, 12))).compile()
    # Of nine convolutions two are large enough to be six each in Winograd's form.
    assert program.as_text().count(" convolution(") == 7 + 2 * 6


def test_export_to_a_folder_or_a_file_of_another_kind_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="a folder; name a file"):
        export(quickstart.get_config(), tmp_path, tmp_path)
    with pytest.raises(ValueError, match="model.onnx.*stablehlo"):
        export(quickstart.get_config(), tmp_path, tmp_path / "model.onnx")
