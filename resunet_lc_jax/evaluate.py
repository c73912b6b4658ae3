"""Scores the records of a split and measures them; chooses thresholds on the validation folds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from flax import linen as nn
from ml_collections import ConfigDict
from tqdm import tqdm

from resunet_lc_jax import data, metrics, parallel, steps, thresholds
from resunet_lc_jax.sources import prepare_records
from resunet_lc_jax.windows import score_records
from resunet_lc_jax.workdir import Run, configure_jax, load_run, write_json
from tfds_physionet.diagnoses import CLASS_NAMES

ScoreBatch = Callable[[dict[str, np.ndarray]], np.ndarray]


@dataclass(frozen=True)
class ScoredSplit:
    """The scores of N records, in the stored order.

    Attributes:
      record_ids: [N] names.
      patient_ids: [N] names.
      databases: [N] sources.
      labels: [N, K] uint8.
      scores: [N, K] float64 probabilities.
    """

    record_ids: np.ndarray
    patient_ids: np.ndarray
    databases: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


def compile_scoring(model: nn.Module, devices: parallel.Devices) -> Callable:
    """Compiles a network's evaluation: (variables, NumPy batch) -> scores [B, K]."""
    compiled = parallel.compile_eval_step(partial(steps.eval_step, model=model), devices)

    def score_batch(variables: dict, batch: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(compiled(variables, parallel.place_batch(batch, devices)))

    return score_batch


def score_run(run: Run) -> ScoreBatch:
    """Compiles a trained run's network: from a NumPy batch to scores [B, K]."""
    devices = parallel.choose_devices(run.config.parallel.mode)
    parallel.check_batch_size(devices, run.config.eval.batch_size, name="config.eval.batch_size")
    variables = parallel.place_state(run.variables, devices)
    return partial(compile_scoring(run.model, devices), variables)


def score_split(
    config: ConfigDict,
    builder: tfds.core.DatasetBuilder,
    folds: Sequence[int],
    score_batch: ScoreBatch,
    *,
    windows: str,
    description: str,
) -> ScoredSplit:
    """Scores every record of these folds exactly once.

    Args:
      config: The run's config.
      builder: The prepared data set.
      folds: The folds.
      score_batch: From a batch of windows to scores.
      windows: 'all', 'first' or 'random'; see `windows.window_starts`.
      description: What the progress bar says.
    """
    records = data.stored_records(builder, folds)
    scored = score_records(
        ((record, record.prepared) for record in records),
        score_batch,
        batch_size=config.eval.batch_size,
        length=config.data.length,
        rows=data.lead_rows(config.data.leads),
        windows=windows,
        seed=config.seed,
    )
    total = data.count_records(builder, folds)
    rows = [
        (record.record_id, record.patient_id, record.database, record.labels, scores)
        for record, scores in tqdm(scored, description, total, leave=False, unit="record")
    ]
    columns = list(zip(*rows, strict=True))
    return ScoredSplit(*(np.array(column) for column in columns))


def validate(
    config: ConfigDict, builder: tfds.core.DatasetBuilder, score_batch: ScoreBatch
) -> dict[str, float]:
    """Measures a network under training on the validation folds, one window a record.

    Returns:
      The loss and the macro metrics; decisions are made at 0.5.
    """
    split = score_split(
        config,
        builder,
        config.data.validation_folds,
        score_batch,
        windows="random" if config.eval.crop == "random" else "first",
        description="validation",
    )
    clipped = np.clip(split.scores, 1e-7, 1 - 1e-7)
    loss = -np.mean(np.where(split.labels, np.log(clipped), np.log1p(-clipped)))
    measured = metrics.score(split.labels, split.scores, split.scores >= 0.5)
    macro = ("auprc", "auroc", "f_measure", "challenge_metric")
    return {"loss": float(loss)} | {name: measured[name] for name in macro}


def choose_thresholds(config: ConfigDict, workdir: Path) -> thresholds.Thresholds:
    """Chooses a run's thresholds on its validation folds and stores them in the run."""
    run, split = _score_stored_run(config, workdir, "validation")
    chosen = thresholds.choose(config.eval.thresholds, split.labels, split.scores)
    chosen.to_json(workdir / "thresholds.json")
    if chosen.without_positives:
        print(
            "no positive record on the validation folds, so the threshold stays 0.5: "
            + ", ".join(chosen.without_positives)
        )
    return chosen


def evaluate(config: ConfigDict, workdir: Path, *, split: str) -> dict:
    """Evaluates a run's best checkpoint on a split: evaluation/<split>.json and a table.

    Args:
      config: The run's config.
      workdir: The run's folder.
      split: 'train', 'validation', 'test', or one fold as 'fold_3'.

    Returns:
      What was written.

    Raises:
      ValueError: There is no such split.
    """
    run, scored = _score_stored_run(config, workdir, split)
    decisions = run.thresholds.decide(scored.scores)
    measured = metrics.score(scored.labels, scored.scores, decisions)
    write_json(workdir / "evaluation" / f"{split}.json", measured)
    print(_table(measured, split, len(scored.labels), run))
    return measured


def _score_stored_run(config: ConfigDict, workdir: Path, split: str) -> tuple[Run, ScoredSplit]:
    folds = split_folds(config, split)
    configure_jax(config)
    prepared = prepare_records(config.data)
    builder = data.open_dataset(prepared.data_dir, config.data.variant)
    run = load_run(workdir, config)
    scored = score_split(
        config,
        builder,
        folds,
        score_run(run),
        windows=record_windows(config),
        description=split,
    )
    return run, scored


def record_windows(config: ConfigDict) -> str:
    """How thresholds, evaluation and prediction cut a record; see `windows.window_starts`."""
    choices = {"fixed": config.eval.windows, "random": "random"}
    if config.eval.crop not in choices:
        raise ValueError(f"config.eval.crop is {config.eval.crop!r}; choose 'fixed' or 'random'")
    return choices[config.eval.crop]


def split_folds(config: ConfigDict, split: str) -> tuple[int, ...]:
    """Returns the folds of a split by its name."""
    named = {
        "train": config.data.train_folds,
        "validation": config.data.validation_folds,
        "test": config.data.test_folds,
        **{f"fold_{fold}": (fold,) for fold in range(1, 11)},
    }
    if split not in named:
        raise ValueError(f"--split is {split!r}; choose one of {', '.join(named)}")
    return named[split]


def _table(measured: dict, split: str, records: int, run: Run) -> str:
    lines = [f"{run.config.model.name}, step {run.step:,}, {split}: {records:,} records"]
    lines += [f"  {k:20} {v:.4f}" for k, v in measured.items() if isinstance(v, float)]
    lines.append(f"  {'class':20} {'AUROC':>7} {'AUPRC':>7} {'F1':>7}")
    per_class = zip(
        CLASS_NAMES,
        *(measured[f"{name}_classes"] for name in ("auroc", "auprc", "f_measure")),
        strict=True,
    )
    lines += [f"  {name:20} {a:7.3f} {p:7.3f} {f:7.3f}" for name, a, p, f in per_class]
    return "\n".join(lines)
