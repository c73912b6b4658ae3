"""The exported network gives what the network gives, without this package's code."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnxruntime
import pytest

import resunet_lc_jax
from configs import quickstart
from resunet_lc_jax.export import export
from resunet_lc_jax.learning.state import init_variables
from resunet_lc_jax.models import create_model
from resunet_lc_jax.portable.stablehlo import stablehlo
from resunet_lc_jax.predict import predict
from resunet_lc_jax.runs.config import load_config
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.leads import STANDARD_LEADS


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


@pytest.mark.parametrize("suffix", ["onnx", "stablehlo"])
def test_examples_without_this_package_score_a_record_as_predict_does(
    suffix: str,
    trained: Path,
    simulated_records: Path,
    repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    header = sorted(simulated_records.rglob("*.hea"))[0]
    config, output = load_config(trained, quickstart.get_config()), tmp_path / f"model.{suffix}"
    predict(config, trained, header, tmp_path / "predicted")
    export(config, trained, output)
    script = repository / "docs" / "examples" / f"run_{suffix}.py"
    assert len(script.read_text().splitlines()) <= 30 and "resunet" not in script.read_text()
    done = subprocess.run(
        [sys.executable, script, output, header.with_suffix("")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = list(csv.reader(done.stdout.splitlines()))
    names, codes, decided, scores = zip(
        *_predicted(tmp_path / "predicted", header.stem), strict=True
    )
    assert tuple(row[0] for row in rows) == names
    np.testing.assert_allclose([float(row[1]) for row in rows], scores, rtol=0, atol=1e-5)
    assert [int(row[2]) for row in rows] == list(decided)
    told = json.loads((tmp_path / f"model.{suffix}.json").read_text())
    assert tuple(told["codes"]) == codes and told["about"]["network"] == config.model.name


def _predicted(folder: Path, record: str) -> list[tuple[str, str, int, float]]:
    """Name, codes, decision and score of each class, of a record's Challenge file."""
    _, codes, decisions, scores = csv.reader(
        (folder / f"{record}.csv").read_text().splitlines(), skipinitialspace=True
    )
    values = zip(CLASS_NAMES, codes, map(int, decisions), map(float, scores), strict=True)
    return list(values)


def test_an_onnx_file_tells_what_its_json_tells(trained: Path, tmp_path: Path) -> None:
    output = tmp_path / "model.onnx"
    export(load_config(trained, quickstart.get_config()), trained, output)
    session = onnxruntime.InferenceSession(output)
    props = session.get_modelmeta().custom_metadata_map
    told = json.loads((tmp_path / "model.onnx.json").read_text())
    assert props.keys() == told.keys()
    for key, value in told.items():
        assert (props[key] if isinstance(value, str) else json.loads(props[key])) == value
    assert told["leads"] == list(STANDARD_LEADS) and told["sampling_rate"] == 100
    report = json.loads((trained / "evaluation" / "test.json").read_text())
    assert told["measured"]["test"]["auroc"] == report["auroc"]
    assert told["temperatures"] and told["about"]["checkpoint"]
    assert [entry.shape[0] for entry in session.get_inputs()] == ["batch"] * 4


def test_export_to_a_folder_or_a_file_of_another_kind_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="a folder; name a file"):
        export(quickstart.get_config(), tmp_path, tmp_path)
    with pytest.raises(ValueError, match=r"model\.pb; export writes \.onnx or"):
        export(quickstart.get_config(), tmp_path, tmp_path / "model.pb")
