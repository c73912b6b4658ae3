"""The PyTorch baseline of docs/evaluation.md sees a run's records as the run sees them."""

from pathlib import Path

import numpy as np
import pytest

from configs import default
from resunet_lc_jax.data.sources import Records
from resunet_lc_jax.data.stream import stored_signals
from resunet_lc_jax.measures.score_tables import read_score_table
from tfds_physionet.diagnoses import CLASS_NAMES

torch = pytest.importorskip("torch")
from benchmarks import torch_scores  # noqa: E402  (after the skip)


def test_the_baseline_is_given_z_scored_signals_in_the_order_of_their_names(
    records: Records,
) -> None:
    names, signals, labels = torch_scores.read_split(records, "test", 1200)
    table = records.selection.split("test").table
    assert names.tolist() == table.record_id.tolist()
    np.testing.assert_array_equal(labels.numpy(), table.labels)
    name, first = next(iter(stored_signals(records, records.selection.split("test"))))
    assert name == names[0]
    count = first.signal.shape[1]
    expected = (first.signal - first.lead_mean[:, None]) / first.lead_std[:, None]
    np.testing.assert_allclose(signals[0, :, :count], expected, atol=1e-5)
    assert not signals[0, :, count:].any() and signals.shape == (len(names), 12, 1200)


def test_the_baseline_learns_and_its_table_is_one_that_compare_reads(
    records: Records, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)  # threads that wait for one another take minutes on a busy machine
    config = default.get_config()
    config.model.name, config.model.width = "res1d_maxpool", 8
    config.data.length, config.train.batch_size = 128, 16
    network = torch_scores.train(config, records, epochs=2, seed=0)
    losses = [float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 2 and losses[-1] < losses[0]
    names, signals, _ = torch_scores.read_split(records, "test", 128)
    scores = torch_scores.score(network, signals)
    torch_scores.write_scores(tmp_path / "test.csv", names, scores)
    table = read_score_table(tmp_path / "test.csv")
    assert table.record_id.tolist() == names.tolist() and table.lacking == ()
    np.testing.assert_allclose(table.scores, scores, rtol=1e-7)
    assert scores.shape == (len(names), len(CLASS_NAMES))
