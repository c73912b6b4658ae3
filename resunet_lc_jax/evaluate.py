"""Measures runs: validation while one trains, thresholds, a split, the reduced lead sets."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from resunet_lc_jax.data.leads import lead_mask
from resunet_lc_jax.data.sources import Records
from resunet_lc_jax.data.windows import ScoreBatch, Windowing
from resunet_lc_jax.devices import hosts
from resunet_lc_jax.measures import figures, metrics, report, thresholds
from resunet_lc_jax.measures.calibration import CALIBRATION, Temperatures
from resunet_lc_jax.measures.card import build_card, format_card
from resunet_lc_jax.measures.predictions import Predictions, save_predictions
from resunet_lc_jax.measures.thresholds import Thresholds
from resunet_lc_jax.runs import kept_thresholds
from resunet_lc_jax.runs.about import about_run
from resunet_lc_jax.runs.changes import named
from resunet_lc_jax.runs.kept_thresholds import Checkpoint, Kept
from resunet_lc_jax.runs.kind import EVALUATION, FOLDS, SHIPPED, expect, kind_of
from resunet_lc_jax.runs.making import describe_records, describe_training
from resunet_lc_jax.runs.open_run import OpenRun, open_run, score_split
from resunet_lc_jax.runs.overlaps import Overlap, notes_on, titled
from resunet_lc_jax.runs.screen import say
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.files import replacing, write_json


def validate(records: Records, score_batch: ScoreBatch, windowing: Windowing) -> dict[str, float]:
    """Measures a network under training on the validation records, one window each.

    Args:
      records: The run's.
      score_batch: The network.
      windowing: As the run is evaluated.

    Returns:
      The loss and the macro metrics; decisions are made at 0.5.
    """
    rule = "random" if windowing.rule == "random" else "first"
    split = records.selection.split("validation")
    scored = score_split(records, split, score_batch, replace(windowing, rule=rule))
    clipped = np.clip(scored.scores.astype(np.float64), 1e-7, 1 - 1e-7)
    loss = -np.mean(np.where(scored.labels, np.log(clipped), np.log1p(-clipped)))
    measured = metrics.score(scored.labels, scored.scores, scored.decisions)
    macro = ("auprc", "auroc", "f_measure", "challenge_metric")
    return {"loss": float(loss)} | {name: measured[name] for name in macro}


def choose_thresholds(run: OpenRun) -> OpenRun:
    """Chooses a run's thresholds on its validation records; returns the run with them.

    On the same records it is calibrated, see `keep_temperatures`.
    """
    method, validation = run.config.eval.thresholds, run.score("validation")
    keep_temperatures(run.workdir, validation, step=run.step)
    chosen = keep_thresholds(run.workdir, method, validation, run.checkpoint)
    return replace(run, kept=Kept(chosen))


def keep_temperatures(workdir: Path, validation: Predictions, *, step: int | None) -> None:
    """Fits temperatures on the predictions of a validation split and writes calibration.json.

    Args:
      workdir: The folder of a run or an ensemble.
      validation: The predictions.
      step: Of the checkpoint; None of an ensemble.
    """
    if hosts.is_main():
        fitted = Temperatures.fit(validation.labels, validation.scores)
        fitted.to_json(workdir / CALIBRATION, step=step)
    hosts.wait("calibration")


def keep_thresholds(
    workdir: Path, method: str, validation: Predictions, *checkpoints: Checkpoint
) -> Thresholds:
    """Chooses thresholds on the predictions of a validation split and writes thresholds.json.

    Args:
      workdir: Where to write to.
      method: Of `thresholds.METHODS`.
      validation: The predictions.
      checkpoints: What made them.
    """
    chosen = thresholds.choose(method, validation.labels, validation.scores)
    if hosts.is_main():
        kept_thresholds.keep(workdir, chosen, *checkpoints)
    hosts.wait("thresholds")
    if chosen.without_positives:
        kept = chosen.values[CLASS_NAMES.index(chosen.without_positives[0])]
        say(
            f"no positive record for validation, so the threshold is {kept:g}: "
            + ", ".join(chosen.without_positives)
        )
    return chosen


def evaluate(
    config: ConfigDict, workdir: Path, *, split: str, output: Path | None = None
) -> dict[str, Any]:
    """Evaluates a run's best checkpoint on a split; see `publish` for what is written.

    Where `config.eval.thresholds` is not the run's own, thresholds are chosen anew by it, and not
    kept. What is made with other settings than the run's own goes beside its own report, as
    'test-windows=first'.

    Args:
      config: The run's config, perhaps with other settings.
      workdir: The run's folder.
      split: 'train', 'validation', 'test', 'all', or one fold as 'fold_3'.
      output: Where to write to instead of the run's folder; a shipped network needs it.

    Returns:
      The report, see `report.build_report`.

    Raises:
      ValueError: There is no such split, its records had a part in making the run, or the output
        is missing or of another kind.
    """
    _check_output(workdir, output)
    run = open_run(workdir, config, split)
    if "eval.thresholds" in run.changed:
        validation = run.score("validation")
        chosen = thresholds.choose(config.eval.thresholds, validation.labels, validation.scores)
        run = replace(run, kept=Kept(chosen))
    return evaluate_run(run, split, output)


def _check_output(workdir: Path, output: Path | None) -> None:
    if output is not None:
        expect(output, EVALUATION)
    elif kind_of(workdir) == SHIPPED:
        raise ValueError(f"nothing is written into {workdir}: give --output=FOLDER for the report")


def evaluate_run(run: OpenRun, split: str, output: Path | None = None) -> dict[str, Any]:
    """Evaluates an open run, as `evaluate` does; of the test split it writes the model card."""
    scored = run.score(split)
    anew = "eval.thresholds" in run.changed
    measured = publish(
        scored,
        run.config,
        _made(run, output),
        split=named(split, run.changed),
        title=run.title,
        notes=run.notes,
        about=about_run(run, split),
        overlaps=run.tuned_overlaps(split) if anew else [run.overlaps[split]],
        temperatures=Temperatures.from_json(run.workdir / CALIBRATION, step=run.step),
    )
    own = output is None and not run.changed
    if split == "test" and own and run.records is not None and hosts.is_main():
        records, training = describe_records(run.records), describe_training(run)
        card = build_card(measured, records=records, training=training)
        write_json(run.workdir / "evaluation" / "card.json", card)
        with replacing(run.workdir / "evaluation" / "card.md") as beside:
            beside.write_text(format_card(card), encoding="utf-8")
    return measured


def _made(run: OpenRun, output: Path | None) -> Path:
    """The folder that reports of a run go to; another one than its own says of what they are."""
    if output is not None and hosts.is_main():
        config = run.config
        folds = {key: list(config.data[key]) for key in FOLDS}
        mark = {"name": config.model.name, "run": run.workdir.resolve().name, "data": folds}
        write_json(output / EVALUATION.mark, mark)
    return output or run.workdir


def publish(
    predictions: Predictions,
    config: ConfigDict,
    workdir: Path,
    *,
    split: str,
    title: str,
    about: Mapping[str, Any],
    notes: Sequence[str] = (),
    overlaps: Sequence[Overlap] = (),
    temperatures: Temperatures | None = None,
) -> dict[str, Any]:
    """Measures predictions and writes what there is to know of them.

    Writes evaluation/<split>.npz (the predictions), <split>.json (the report, which is printed
    too) and <split>/*.png (its figures).

    Args:
      predictions: With their decisions.
      config: Gives the bootstrap's replicates.
      workdir: Where to write to.
      split: What they are of, and how what is written is called.
      title: What made them.
      about: The same for machines, see `about.about_run`.
      notes: What a reader must know of the records.
      overlaps: What of the records had a part in making each of the runs.
      temperatures: Of what made the predictions.

    Returns:
      The report, see `report.build_report`, and the notes; `seen` holds the overlaps that there
      are.
    """
    notes, title = [*notes, *notes_on(overlaps)], titled(title, overlaps)
    measured = _report(predictions, config, about, temperatures) | {
        "notes": notes,
        "seen": [asdict(one) for one in overlaps if one.note],
    }
    if hosts.is_main():
        folder = workdir / "evaluation"
        save_predictions(folder / f"{split}.npz", predictions)
        write_json(folder / f"{split}.json", measured)
        figures.write_figures(measured, folder / split, title=f"{title}, {split}")
        say(report.format_report(measured, title=f"{title}, {split}"), *notes)
        say(f"written: {folder / split}.json and .npz, figures in {folder / split}/")
    hosts.wait("published")
    return measured


def _report(
    predictions: Predictions,
    config: ConfigDict,
    about: Mapping[str, Any],
    temperatures: Temperatures | None = None,
) -> dict[str, Any]:
    return report.build_report(
        predictions,
        replicates=config.eval.bootstrap_replicates,
        about=about,
        temperatures=temperatures,
    )


def evaluate_leads(
    config: ConfigDict,
    workdir: Path,
    *,
    split: str,
    sizes: Sequence[int],
    output: Path | None = None,
) -> dict[str, Any]:
    """Evaluates a run's best checkpoint on a split with each of several lead sets.

    The network keeps its input: a lead outside the set is missing, as it is in training with
    `config.augment.lead_sets`. Each set gets thresholds of its own, chosen on the validation
    records with the same leads, which thresholds.json keeps for records that have these leads
    alone. Writes evaluation/<split>_leads.json and prints a table.

    Args:
      config: The run's config.
      workdir: The run's folder.
      split: As in `evaluate`.
      sizes: Of `leads.LEAD_SETS`.
      output: As in `evaluate`; then no thresholds are kept.

    Returns:
      {'notes': [...], 'seen': [...], 'leads': {size: the report of `report.build_report`}}.

    Raises:
      ValueError: There is no such set or split, or its records had a part in making the run.
    """
    for size in sizes:
        lead_mask(size, config.data.leads)
    _check_output(workdir, output)
    run = open_run(workdir, config, split, "validation")
    overlaps = run.tuned_overlaps(split)
    reports, chosen = {}, {}
    for size in sizes:
        validation = run.score("validation", leads=size)
        at = thresholds.choose(config.eval.thresholds, validation.labels, validation.scores)
        scored = run.score(split, leads=size).decided(at)
        about = about_run(run, split) | {"leads": size, "thresholds": at.method}
        reports[str(size)] = _report(scored, config, about)
        if not lead_mask(size, config.data.leads).all():
            chosen[size] = at
    notes = [note for note in run.notes if note != run.kept.remark] + notes_on(overlaps)
    title = titled(run.title, overlaps)
    if unseen := sorted(set(sizes) - set(config.augment.lead_sets) - {12}):
        notes.append(
            f"the network was not trained on sets of {', '.join(map(str, unseen))} leads; "
            "config.augment.lead_sets=(12, 6, 4, 3, 2) would do that"
        )
    seen = [asdict(one) for one in overlaps if one.note]
    result = {"notes": notes, "seen": seen, "leads": reports}
    if hosts.is_main():
        path = _made(run, output) / "evaluation" / f"{named(split, run.changed)}_leads.json"
        write_json(path, result)
        if output is None and not run.changed:
            kept_thresholds.keep_by_leads(workdir, chosen, run.checkpoint)
        count = next(iter(reports.values()))["records"]
        say(f"{title}, {split}: {count:,} records")
        say(report.format_parts(reports, "leads"), *notes, f"written: {path}")
    hosts.wait("leads")
    return result
