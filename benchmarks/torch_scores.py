"""Trains the PyTorch twin of a run on the run's own records and writes its scores as tables.

python -m benchmarks.torch_scores --workdir=RUN --output=DIR [--epochs=N] [--seed=N]

An example of a baseline that another program made: DIR/validation.csv and DIR/test.csv hold a row a
record and a column a class, as `compare` takes them. Batches, loss and optimiser are PyTorch's own.
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ml_collections import ConfigDict
from torch import nn

from benchmarks.torch_twin import create_twin
from configs import default
from resunet_lc_jax.data.sources import Records, open_records
from resunet_lc_jax.data.stream import stored_signals
from resunet_lc_jax.runs import settings
from resunet_lc_jax.runs.config import load_config
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.files import replacing
from tfds_physionet.reading.records import MISSING


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.torch_scores")
    parser.add_argument("--workdir", type=Path, required=True, help="a run with a twin")
    parser.add_argument("--output", type=Path, required=True, help="the folder of the tables")
    parser.add_argument("--epochs", type=int, help="by default the run's")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches")
    given = parser.parse_args(argv)
    config = load_config(given.workdir, default.get_config())
    records = open_records(settings.source(config), settings.split_rules(config))
    epochs = config.train.epochs if given.epochs is None else given.epochs
    network = train(config, records, epochs=epochs, seed=given.seed)
    for split in ("validation", "test"):
        names, signals, _ = read_split(records, split, config.data.length)
        write_scores(given.output / f"{split}.csv", names, score(network, signals))
        print(f"written: {given.output / split}.csv")


def read_split(
    records: Records, split: str, length: int
) -> tuple[np.ndarray, torch.Tensor, torch.Tensor]:
    """The first samples of each record, z-scored lead by lead.

    Args:
      records: Of a run.
      split: Which of them.
      length: How many samples; a shorter record is padded with zeros on the right.

    Returns:
      Names [N], signals float32 [N, L, length] and labels float32 [N, K].
    """
    chosen = records.selection.split(split)
    signals = []
    for _, record in stored_signals(records, chosen):
        scored = (record.signal - record.lead_mean[:, None]) / record.lead_std[:, None]
        cut = np.where(record.signal == MISSING, 0, scored)[:, :length]
        signals.append(np.pad(cut, [(0, 0), (0, length - cut.shape[1])]).astype(np.float32))
    labels = chosen.table.labels.astype(np.float32)
    return chosen.table.record_id, torch.tensor(np.stack(signals)), torch.tensor(labels)


def train(config: ConfigDict, records: Records, *, epochs: int, seed: int) -> nn.Module:
    """Trains the twin of a run's network from weights of its own.

    Args:
      config: The run's.
      records: The run's.
      epochs: How often each record is seen.
      seed: Of weights and batches.
    """
    torch.manual_seed(seed)
    network = create_twin(
        config.model.name, width=config.model.width, num_samples=config.data.length
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=config.train.learning_rate)
    loss = nn.BCEWithLogitsLoss()
    _, signals, labels = read_split(records, "train", config.data.length)
    for epoch in range(1, epochs + 1):
        total = 0.0
        for rows in torch.randperm(len(signals)).split(config.train.batch_size):
            if len(rows) < 2:  # BatchNorm needs two
                continue
            optimizer.zero_grad()
            value = loss(network.train()(signals[rows]), labels[rows])
            value.backward()
            optimizer.step()
            total += value.item() * len(rows)
        print(f"epoch {epoch}: loss {total / len(signals):.4f}")
    return network


@torch.no_grad()
def score(network: nn.Module, signals: torch.Tensor) -> np.ndarray:
    """Scores [N, K] of signals [N, L, T]."""
    parts = [network.eval()(part).sigmoid() for part in signals.split(64)]
    return torch.cat(parts).numpy()


def write_scores(path: Path, names: Sequence[str] | np.ndarray, scores: np.ndarray) -> None:
    """Writes a row a record: its name, then a column of scores for each class."""
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["record", *CLASS_NAMES])
        for name, row in zip(names, scores, strict=True):
            rows.writerow([name, *(f"{value:.9g}" for value in row)])


if __name__ == "__main__":
    main()
