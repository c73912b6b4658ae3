"""Evaluates a run on Challenge 2021's reduced lead sets: how much do fewer leads cost?"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from resunet_lc_jax.data.lead_sets import lead_mask
from resunet_lc_jax.data.selection import check_unseen
from resunet_lc_jax.data.sources import open_records
from resunet_lc_jax.devices import hosts
from resunet_lc_jax.evaluate import ScoreBatch, decide, score_run, score_split
from resunet_lc_jax.measures import report, thresholds
from resunet_lc_jax.runs import provenance
from resunet_lc_jax.runs.workdir import configure_jax, load_run, write_json
from tfds_physionet.records import MISSING

_COLUMNS = ("auroc", "auprc", "f_measure", "challenge_metric", "hamming_loss")


def evaluate_leads(
    config: ConfigDict, workdir: Path, *, split: str, sizes: Sequence[int]
) -> dict[str, Any]:
    """Evaluates a run's best checkpoint on a split with each of several lead sets.

    The network keeps its input: a lead outside the set is missing, as it is in training with
    `config.augment.lead_sets`. Each set gets thresholds of its own, chosen on the validation
    records with the same leads. Writes evaluation/<split>_leads.json and prints a table.

    Args:
      config: The run's config.
      workdir: The run's folder.
      split: As in `evaluate.evaluate`.
      sizes: Of `lead_sets.LEAD_SETS`.

    Returns:
      {'notes': [...], 'leads': {size: the report of `report.build_report`}}.

    Raises:
      ValueError: There is no such set or split, or its records had a part in making the run.
    """
    masks = {size: lead_mask(size, config.data.leads) for size in sizes}
    configure_jax(config)
    builder, selection = open_records(config.data)
    provenance.check_data(workdir, builder.data_dir, allowed=config.eval.other_records)
    records, validation = selection.split(split), selection.split("validation")
    check_unseen(workdir / "splits.csv", records)
    run = load_run(workdir, config)
    score_batch, windows = score_run(run), config.eval.windows
    reports = {}
    for size, mask in masks.items():
        score = partial(score_with_leads, score_batch, mask)
        chosen_on = score_split(config, builder, validation, score, windows=windows)
        chosen = thresholds.choose(config.eval.thresholds, chosen_on.labels, chosen_on.scores)
        scored = score_split(config, builder, records, score, windows=windows)
        reports[str(size)] = report.build_report(
            decide(scored, chosen), replicates=config.eval.bootstrap_replicates, seed=config.seed
        )
    notes = list(selection.notes)
    if unseen := sorted(set(sizes) - set(config.augment.lead_sets) - {12}):
        notes.append(
            f"the network was not trained on sets of {', '.join(map(str, unseen))} leads; "
            "config.augment.lead_sets=(12, 6, 4, 3, 2) would do that"
        )
    result = {"notes": notes, "leads": reports}
    if hosts.is_main():
        path = workdir / "evaluation" / f"{split}_leads.json"
        write_json(path, result)
        print(f"{config.model.name}, step {run.step:,}, {split}: {len(records):,} records")
        print(format_leads(reports), *notes, f"written: {path}", sep="\n")
    hosts.wait("leads")
    return result


def score_with_leads(
    score_batch: ScoreBatch, mask: np.ndarray, batch: dict[str, np.ndarray]
) -> np.ndarray:
    """Scores a batch as if its records had only the leads of mask [L] bool.

    Returns:
      Scores [B, K].
    """
    return score_batch(
        {
            **batch,
            "signal": np.where(mask[:, None], batch["signal"], np.int16(MISSING)),
            "lead_present": batch["lead_present"] & mask,
        }
    )


def format_leads(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Lays out reports by lead set as a table: macro metrics with their 95 % intervals."""
    lines = [f"  {'leads':>5}" + "".join(f"{key:>23}" for key in _COLUMNS)]
    for size, entry in reports.items():
        cells = []
        for key in _COLUMNS:
            low, high = entry["intervals"][key]
            cells.append(f"{entry[key]:.3f} ({low:.3f}-{high:.3f})")
        lines.append(f"  {size:>5}" + "".join(f"{cell:>23}" for cell in cells))
    return "\n".join(lines)
