"""Cross-validation: each fold is tested by a run that was trained on the others."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from resunet_lc_jax.data.sources import Records, open_records
from resunet_lc_jax.devices import hosts
from resunet_lc_jax.evaluate import publish
from resunet_lc_jax.measures.calibration import differently_calibrated
from resunet_lc_jax.measures.metrics import MACRO_METRICS, score
from resunet_lc_jax.measures.predictions import Predictions, concatenate, load_predictions
from resunet_lc_jax.runs import provenance, settings
from resunet_lc_jax.runs.about import about_together
from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.runs.kind import CROSSVALIDATION, expect
from resunet_lc_jax.runs.overlaps import Overlap, check_start, overlaps_in
from resunet_lc_jax.runs.screen import say
from resunet_lc_jax.runs.seen import seen_at_start
from resunet_lc_jax.runs.workdir import configure_jax, hold
from resunet_lc_jax.train import train
from tfds_physionet.building.build_plan import NUM_FOLDS
from tfds_physionet.building.records_table import RecordTable
from tfds_physionet.files import read_values, replacing, write_json
from tfds_physionet.wording import shortlist


def crossvalidate(config: ConfigDict, workdir: Path, folds: Sequence[int]) -> int:
    """Trains and tests a run for each fold, then measures them together.

    The run of fold k in workdir/fold_<k> tests on it, validates on the next one and trains on the
    others. The same command takes up what was interrupted and skips what is finished, all on the
    same records: crossvalidation.json says which, folds.csv which fold each is in. In the end
    crossvalidation.json also holds each metric's mean and standard deviation over the folds, and
    evaluation/test.* all records, each predicted by the run that had not seen it (so that
    `compare` takes the folder as it takes a run's).

    Args:
      config: Of the runs; its folds are ignored.
      workdir: The folder for all of them.
      folds: The folds to test, two or more.

    Returns:
      The exit status: 0, or 75 if a signal stopped a run (it is saved then).

    Raises:
      ValueError: The folds, a config that selects its test records in another way, or records that
        differ from those of the folds before.
    """
    if len(set(folds)) < 2 or not set(folds) <= set(range(1, NUM_FOLDS + 1)):
        raise ValueError(f"--folds={','.join(map(str, folds))}; give two or more of 1 to 10")
    for name in ("leave_out", "train_list", "validation_list", "test_list"):
        if config.data[name]:
            raise ValueError(f"cross-validation goes by folds; unset config.data.{name}")
    configure_jax(config)
    mark = _begin(workdir)
    with hold(workdir, config, CROSSVALIDATION):
        return _crossvalidate(config, workdir, sorted(set(folds)), mark)


def _crossvalidate(
    config: ConfigDict, workdir: Path, folds: Sequence[int], mark: dict[str, Any]
) -> int:
    parts: dict[int, Predictions] = {}
    members: list[dict[str, Any]] = []
    runs = {fold: (workdir / f"fold_{fold:02d}", _of_fold(config, fold)) for fold in folds}
    left = {fold: its for fold, (run, its) in runs.items() if not _finished(run, its)}
    records = None
    if left:
        records, mark = _open(next(iter(left.values())), workdir, left, mark)
    overlaps: list[Overlap] = []
    for fold, (run, its_config) in runs.items():
        finished = fold not in left
        say(f"fold {fold}: finished before, in {run}" if finished else f"fold {fold}, in {run}")
        if finished:
            mark |= _same(
                workdir,
                mark,
                provenance.read_provenance(run).get("data", {}),
                f"fold {fold} was made of",
            )
        elif status := train(its_config, run, records):
            return status
        parts[fold] = load_predictions(run / "evaluation" / "test.npz")
        path = run / "evaluation" / "test.json"
        report = read_values(path, remedy="take the run's folder away, and it is made again")
        members.append(report.get("about", {}))
        overlaps += overlaps_in(report, path) or []
    title = f"{config.model.name}, {len(parts)} folds"
    summary = summarise(parts)
    unknown = dict.fromkeys(member.get("patients_unknown") for member in members)
    publish(
        concatenate(list(parts.values())),
        config,
        workdir,
        split="test",
        title=title,
        notes=[*mixed_scales(summary), *filter(None, unknown)],
        about=about_together(members, workdir, network=title),
        overlaps=overlaps,
    )
    if hosts.is_main():
        write_json(workdir / CROSSVALIDATION.mark, mark | summary)
        say(format_summary(summary), f"written: {workdir / CROSSVALIDATION.mark}")
    return 0


def _open(
    config: ConfigDict, workdir: Path, configs: Mapping[int, ConfigDict], mark: dict[str, Any]
) -> tuple[Records, dict[str, Any]]:
    """Opens the records; returns them and the mark. What each run will have seen is checked."""
    records = open_records(settings.source(config), settings.split_rules(config))
    mark |= _same(workdir, mark, provenance.data_source(records.folder), "there are now")
    for fold, its_config in configs.items():
        run, source = workdir / f"fold_{fold:02d}", its_config.init_from
        selection = records.selected(settings.split_rules(its_config)).selection
        allowed = its_config.eval.seen_records
        check_start(seen_at_start(run, source), selection, run, source, allowed=allowed)
    if hosts.is_main():
        write_json(workdir / CROSSVALIDATION.mark, mark)
        _keep_assignment(workdir, records.selection.table)
    return records, mark


def _begin(workdir: Path) -> dict[str, Any]:
    """Marks the folder; returns which records its folds are of, if that is known already."""
    path = workdir / CROSSVALIDATION.mark
    expect(workdir, CROSSVALIDATION)
    if hosts.is_main() and not path.is_file():
        write_json(path, {})
    hosts.wait("marked")
    content = read_values(path, remedy="put it back or take it away")
    return {"data": content["data"]} if "data" in content else {}


def _same(workdir: Path, mark: dict, given: dict, what: str) -> dict[str, Any]:
    """Returns what a part says of its records; ValueError if they are others than before."""
    one, other = (data.get("fingerprint") for data in (mark.get("data", {}), given))
    if one and other and one != other:
        raise ValueError(
            f"{workdir} was begun with the records with fingerprint {one}, and {what} those with "
            f"{other}: folds of both would share records; give the same records or another "
            "--workdir"
        )
    return mark if one else {"data": given} if given else {}


def _keep_assignment(workdir: Path, table: RecordTable) -> None:
    """Writes folds.csv (record, signal_hash, fold), or checks the one that is there."""
    path, lines = workdir / "folds.csv", io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["record", "signal_hash", "fold"])
    writer.writerows(
        sorted(zip(table.record_id, table.signal_hash, table.fold.tolist(), strict=True))
    )
    if not path.is_file():
        with replacing(path) as beside:
            beside.write_text(lines.getvalue(), encoding="utf-8")
        return
    before = path.read_text(encoding="utf-8", errors="replace").splitlines()
    if changed := set(before) ^ set(lines.getvalue().splitlines()):
        names = {line.partition(",")[0] for line in changed}
        raise ValueError(
            f"{path}: {len(names):,} records were in other folds ({shortlist(names)}); give the "
            "same records, with the same config.data.patients, or another --workdir"
        )


def _of_fold(config: ConfigDict, fold: int) -> ConfigDict:
    """The config of the run that tests a fold."""
    own = config.copy_and_resolve_references()
    validation = fold % NUM_FOLDS + 1
    own.data.test_folds = (fold,)
    own.data.validation_folds = (validation,)
    own.data.train_folds = tuple(
        other for other in range(1, NUM_FOLDS + 1) if other not in (fold, validation)
    )
    return own


def _finished(run: Path, config: ConfigDict) -> bool:
    """Whether a run was trained to its end, with the same config, and evaluated."""
    if not (run / "evaluation" / "test.json").is_file():
        return False
    return load_config(run, config).to_dict() == config.to_dict()


def summarise(parts: dict[int, Predictions]) -> dict:
    """Measures each fold's test predictions.

    Args:
      parts: By fold.

    Returns:
      A JSON-able dict: folds (by number: records and the macro metrics), mean and
      standard_deviation (by metric, over the folds; n - 1 in the denominator), pooled (the macro
      metrics of all records at once) and differently_calibrated (classes whose pooled areas mix
      scores of different scales).
    """
    measured = {
        fold: score(part.labels, part.scores, part.decisions) for fold, part in parts.items()
    }
    values = {key: [measured[fold][key] for fold in parts] for key in MACRO_METRICS}
    whole = concatenate(list(parts.values()))
    pooled = score(whole.labels, whole.scores, whole.decisions)
    return {
        "folds": {
            str(fold): {"records": len(part.record_id)}
            | {key: measured[fold][key] for key in MACRO_METRICS}
            for fold, part in parts.items()
        },
        "mean": {key: float(np.nanmean(of)) for key, of in values.items()},
        "standard_deviation": {key: float(np.nanstd(of, ddof=1)) for key, of in values.items()},
        "pooled": {key: pooled[key] for key in MACRO_METRICS},
        "differently_calibrated": differently_calibrated(
            [(part.labels, part.scores) for part in parts.values()]
        ),
    }


def mixed_scales(summary: dict) -> list[str]:
    """What a reader must know of the pooled areas; [] if the folds' scores are of one scale."""
    if not (mixed := summary["differently_calibrated"]):
        return []
    areas = ", ".join(
        f"{key.upper()} {summary['mean'][key]:.3f} in the mean of the folds and "
        f"{summary['pooled'][key]:.3f} pooled"
        for key in ("auroc", "auprc")
    )
    return [
        f"the folds' scores are calibrated differently in {len(mixed)} classes "
        f"({shortlist(mixed)}), so that areas and curves of all records at once rank scores of "
        f"different scales: {areas}; take the folds' mean"
    ]


def format_summary(summary: dict) -> str:
    """Lays out `summarise` as a table: a row a metric, a column a fold."""
    folds = summary["folds"]
    header = "".join(f"{'fold ' + fold:>9}" for fold in folds)
    lines = [f"  {'':18} {'mean':>7} {'s.d.':>7} {'pooled':>7}{header}"]
    for key in MACRO_METRICS:
        numbers = [summary[name][key] for name in ("mean", "standard_deviation", "pooled")]
        each = "".join(f"{fold[key]:9.3f}" for fold in folds.values())
        lines.append(f"  {key:18} " + " ".join(f"{number:7.3f}" for number in numbers) + each)
    return "\n".join(lines)
