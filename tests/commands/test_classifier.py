"""A network as a Python object says what --mode=predict says."""

import csv
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from configs import quickstart
from resunet_lc_jax import Classifier
from resunet_lc_jax.predict import predict
from resunet_lc_jax.runs.config import load_config
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.errors import RecordError
from tfds_physionet.leads import STANDARD_LEADS
from tfds_physionet.reading.records import read_record


@pytest.fixture(scope="module")
def model(trained: Path) -> Classifier:
    """That of the small trained run."""
    return Classifier.load(trained)


def _ecgs(folder: Path, count: int) -> tuple[list[Path], np.ndarray]:
    """Headers, and float64 [count, 12, 5000] in mV at 500 Hz."""
    headers = sorted(folder.rglob("*.hea"))[:count]
    records = [read_record(header) for header in headers]
    signals = [
        (r.signal - np.array(r.baselines)[:, None]) / np.array(r.gains)[:, None] for r in records
    ]
    assert all(r.sampling_rate == 500 and r.leads == STANDARD_LEADS for r in records)
    return headers, np.stack([signal[:, :5000] for signal in signals])


def test_a_classifier_says_what_predict_says(
    model: Classifier, trained: Path, simulated_records: Path, tmp_path: Path
) -> None:
    headers, signals = _ecgs(simulated_records, 3)
    found = model(signals, leads=STANDARD_LEADS, sampling_rate=500)
    assert found.scores.shape == found.decisions.shape == (3, 26)
    for header, scores, decisions in zip(headers, found.scores, found.decisions, strict=True):
        predict(load_config(trained, quickstart.get_config()), trained, header, tmp_path / "out")
        table = (tmp_path / "out" / "predictions.csv").read_text()
        (row,) = csv.DictReader(table.splitlines())
        np.testing.assert_allclose(
            [float(row[name]) for name in model.classes], scores, rtol=0, atol=1e-5
        )
        assert row["diagnoses"] == "|".join(np.array(CLASS_NAMES)[decisions == 1])


def test_unit_order_of_leads_and_number_of_ecgs_do_not_matter(
    model: Classifier, simulated_records: Path
) -> None:
    _, signals = _ecgs(simulated_records, 3)
    one = model(signals[0], leads=STANDARD_LEADS, sampling_rate=500)
    assert one.scores.shape == one.decisions.shape == (26,)
    several = model(signals, leads=STANDARD_LEADS, sampling_rate=500)
    np.testing.assert_allclose(one.scores, several.scores[0], rtol=0, atol=1e-5)
    names = ["DI", *(f"lead {name}" for name in STANDARD_LEADS[1:])][::-1]
    other = model(1000 * signals[0, ::-1], leads=names, sampling_rate=500, unit="uV")
    np.testing.assert_allclose(one.scores, other.scores, rtol=0, atol=1e-4)
    assert np.array_equal(one.decisions, (one.scores >= model.thresholds).astype(np.uint8))


def test_threads_get_what_one_gets(model: Classifier, simulated_records: Path) -> None:
    _, signals = _ecgs(simulated_records, 4)

    def score(signal: np.ndarray) -> np.ndarray:
        return model(signal, leads=STANDARD_LEADS, sampling_rate=500).scores

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(score, signals))
    np.testing.assert_array_equal(together, [score(signal) for signal in signals])


def test_an_embedding_is_what_the_last_layer_takes(
    model: Classifier, simulated_records: Path
) -> None:
    _, signals = _ecgs(simulated_records, 2)
    vectors = model.embeddings(signals, leads=STANDARD_LEADS, sampling_rate=500)
    one = model.embeddings(signals[1], leads=STANDARD_LEADS, sampling_rate=500)
    np.testing.assert_allclose(vectors[1], one, rtol=1e-4, atol=1e-6)
    # Records of 10 s at 100 Hz have several windows of 256 samples here; of one window the layer
    # makes the very score.
    short = signals[0][:, : 256 * 5]
    vector = model.embeddings(short, leads=STANDARD_LEADS, sampling_rate=500)
    layer = model._run.variables["params"]["fc"]
    logits = vector @ layer["kernel"] + layer["bias"]
    scores = model(short, leads=STANDARD_LEADS, sampling_rate=500).scores
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), scores, rtol=0, atol=1e-5)


def test_what_cannot_be_used_is_said(model: Classifier, tmp_path: Path) -> None:
    signal = np.zeros((12, 5000))
    with pytest.raises(RecordError, match="standard lead"):
        model(signal, leads=[f"x{n}" for n in range(12)], sampling_rate=500)
    with pytest.raises(RecordError, match="no axis|shape"):
        model(signal, leads=STANDARD_LEADS[:5], sampling_rate=500)
    with pytest.raises(RecordError, match="unit"):
        model(signal, leads=STANDARD_LEADS, sampling_rate=500, unit="A")
    with pytest.raises(FileNotFoundError, match="no folder"):
        Classifier.load(tmp_path / "none")


def test_a_classifier_needs_no_tensorflow(trained: Path, repository: Path) -> None:
    code = (
        "import sys, numpy as np; from resunet_lc_jax import Classifier; "
        f"model = Classifier.load({str(trained)!r}); "
        "model(np.random.default_rng(0).normal(size=(8, 5000)), sampling_rate=500, "
        "leads=['I', 'II', 'V1', 'V2', 'V3', 'V4', 'V5', 'V6']); "
        "print('tensorflow' in sys.modules)"
    )
    told = subprocess.check_output([sys.executable, "-c", code], cwd=repository, text=True)
    assert told.split()[-1] == "False"
