"""Scores the records of a split and measures them; chooses thresholds on the validation folds."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorflow_datasets as tfds
from flax import linen as nn
from ml_collections import ConfigDict
from tqdm import tqdm

from resunet_lc_jax.data import stream
from resunet_lc_jax.data.selection import Split, check_unseen
from resunet_lc_jax.data.sources import open_records
from resunet_lc_jax.data.windows import score_records
from resunet_lc_jax.devices import hosts, parallel
from resunet_lc_jax.learning import steps
from resunet_lc_jax.measures import figures, metrics, report, thresholds
from resunet_lc_jax.measures.predictions import Predictions, save_predictions
from resunet_lc_jax.measures.thresholds import Thresholds
from resunet_lc_jax.models.folding import fold
from resunet_lc_jax.runs import provenance
from resunet_lc_jax.runs.workdir import Run, configure_jax, load_run, write_json
from tfds_physionet.diagnoses import CLASS_NAMES, NUM_CLASSES
from tfds_physionet.signals import PreparedSignal

ScoreBatch = Callable[[dict[str, np.ndarray]], np.ndarray]


def compile_scoring(model: nn.Module, devices: parallel.Devices, *, statistics: str) -> Callable:
    """Compiles a network's evaluation: (variables, NumPy batch) -> scores [B, K]."""
    step = partial(steps.eval_step, model=model, statistics=statistics)
    compiled = parallel.compile_eval_step(step, devices)

    def score_batch(variables: dict, batch: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(compiled(variables, parallel.place_batch(batch, devices)))

    return score_batch


def score_run(run: Run) -> ScoreBatch:
    """Compiles a trained run's network: from a NumPy batch to scores [B, K]."""
    devices = parallel.choose_devices(run.config.parallel.mode, jax.local_devices())
    parallel.check_batch_size(devices, run.config.eval.batch_size, name="config.eval.batch_size")
    model, variables = fold(run.model, run.variables, length=run.config.data.length)
    variables = parallel.place_state(variables, devices)
    scoring = compile_scoring(model, devices, statistics=run.config.data.statistics)
    return partial(scoring, variables)


def score_split(
    config: ConfigDict,
    builder: tfds.core.DatasetBuilder,
    records: Split,
    score_batch: ScoreBatch,
    *,
    windows: str,
) -> Predictions:
    """Scores each of these records exactly once; decisions are made at 0.5.

    Several processes share the records out and each gets all of the scores.

    Args:
      config: The run's config.
      builder: The prepared data set.
      records: Which.
      score_batch: From a batch of windows to scores.
      windows: 'all', 'first' or 'random'; see `windows.window_starts`.
    """
    process = (jax.process_index(), jax.process_count())
    scores = np.zeros((len(records), NUM_CLASSES), np.float32)

    def mine() -> Iterator[tuple[int, PreparedSignal]]:
        numbers = range(len(records))[process[0] :: process[1]]
        stored = stream.stored_records(builder, records, process=process)
        bar = tqdm(stored, records.name, len(numbers), leave=False, disable=not hosts.is_main())
        for number, record in zip(numbers, bar, strict=True):
            yield number, record.prepared

    for number, found in score_records(
        mine(),
        score_batch,
        batch_size=config.eval.batch_size,
        length=config.data.length,
        rows=stream.lead_rows(config.data.leads),
        windows=windows,
        pad=config.data.pad,
        seed=config.seed,
    ):
        scores[number] = found
    table = records.table
    undecided = Predictions(
        record_id=table.record_id,
        patient_id=table.patient_id,
        database=table.database,
        labels=table.labels,
        scores=hosts.total(scores),
        decisions=np.zeros_like(table.labels),
        thresholds=np.zeros(NUM_CLASSES),
    )
    return decide(undecided, Thresholds.fixed())


def decide(predictions: Predictions, chosen: Thresholds) -> Predictions:
    """Returns the predictions with the decisions that these thresholds make."""
    return replace(
        predictions, decisions=chosen.decide(predictions.scores), thresholds=chosen.values
    )


def validate(
    config: ConfigDict, builder: tfds.core.DatasetBuilder, records: Split, score_batch: ScoreBatch
) -> dict[str, float]:
    """Measures a network under training on validation records, one window each.

    Returns:
      The loss and the macro metrics; decisions are made at 0.5.
    """
    split = score_split(
        config,
        builder,
        records,
        score_batch,
        windows="random" if config.eval.windows == "random" else "first",
    )
    clipped = np.clip(split.scores.astype(np.float64), 1e-7, 1 - 1e-7)
    loss = -np.mean(np.where(split.labels, np.log(clipped), np.log1p(-clipped)))
    measured = metrics.score(split.labels, split.scores, split.decisions)
    macro = ("auprc", "auroc", "f_measure", "challenge_metric")
    return {"loss": float(loss)} | {name: measured[name] for name in macro}


def choose_thresholds(config: ConfigDict, workdir: Path) -> Thresholds:
    """Chooses a run's thresholds on its validation records and stores them in the run."""
    (validation,) = score_stored_run(config, workdir, "validation").scored
    return keep_thresholds(config, workdir, validation)


def keep_thresholds(config: ConfigDict, workdir: Path, validation: Predictions) -> Thresholds:
    """Chooses thresholds on the predictions of a validation split and writes thresholds.json."""
    chosen = thresholds.choose(config.eval.thresholds, validation.labels, validation.scores)
    if hosts.is_main():
        chosen.to_json(workdir / "thresholds.json")
    hosts.wait("thresholds")
    if chosen.without_positives and hosts.is_main():
        kept = chosen.values[CLASS_NAMES.index(chosen.without_positives[0])]
        print(
            f"no positive record for validation, so the threshold is {kept:g}: "
            + ", ".join(chosen.without_positives)
        )
    return chosen


def evaluate(config: ConfigDict, workdir: Path, *, split: str) -> dict[str, Any]:
    """Evaluates a run's best checkpoint on a split; see `publish` for what is written.

    Args:
      config: The run's config.
      workdir: The run's folder.
      split: 'train', 'validation', 'test', 'all', or one fold as 'fold_3'.

    Returns:
      The report, see `report.build_report`.

    Raises:
      ValueError: There is no such split, or its records had a part in making the run.
    """
    run = score_stored_run(config, workdir, split)
    (scored,) = run.scored
    return publish(
        config,
        workdir,
        decide(scored, run.thresholds),
        split=split,
        title=f"{config.model.name}, step {run.step:,}",
        notes=run.notes,
    )


def publish(
    config: ConfigDict,
    workdir: Path,
    predictions: Predictions,
    *,
    split: str,
    title: str,
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """Measures predictions and writes what there is to know of them.

    Writes evaluation/<split>.npz (the predictions), <split>.json (the report, which is printed
    too) and <split>/*.png (its figures).

    Args:
      config: Of the run; gives the bootstrap's replicates and seed.
      workdir: The run's folder.
      predictions: With their decisions.
      split: What they are of.
      title: What made them.
      notes: What a reader must know of the records.

    Returns:
      The report, see `report.build_report`, and the notes.
    """
    measured = report.build_report(
        predictions, replicates=config.eval.bootstrap_replicates, seed=config.seed
    ) | {"notes": list(notes)}
    if hosts.is_main():
        folder = workdir / "evaluation"
        save_predictions(folder / f"{split}.npz", predictions)
        write_json(folder / f"{split}.json", measured)
        figures.write_figures(measured, folder / split, title=f"{title}, {split}")
        print(report.format_report(measured, title=f"{title}, {split}"), *notes, sep="\n")
        print(f"written: {folder / split}.json and .npz, figures in {folder / split}/")
    hosts.wait("published")
    return measured


@dataclass(frozen=True, eq=False)
class ScoredRun:
    """What a stored run says of some splits.

    Attributes:
      scored: Its predictions of each; the decisions in them are made at 0.5.
      thresholds: Its own thresholds.
      step: Of the checkpoint.
      notes: See `selection.Selection`.
    """

    scored: tuple[Predictions, ...]
    thresholds: Thresholds
    step: int
    notes: tuple[str, ...]


def score_stored_run(config: ConfigDict, workdir: Path, *splits: str) -> ScoredRun:
    """Scores splits with a run's best checkpoint.

    Raises:
      FileNotFoundError: The run has no checkpoint.
      ValueError: There is no such split, or its records had a part in making the run.
    """
    configure_jax(config)
    builder, selection = open_records(config.data)
    provenance.check_data(workdir, builder.data_dir, allowed=config.eval.other_records)
    chosen = [selection.split(split) for split in splits]
    for records in chosen:
        check_unseen(workdir / "splits.csv", records)
    run = load_run(workdir, config)
    score_batch, windows = score_run(run), config.eval.windows
    scored = tuple(
        score_split(config, builder, records, score_batch, windows=windows) for records in chosen
    )
    return ScoredRun(scored, run.thresholds, run.step, selection.notes)
