"""Networks that come with the package: made of finished runs, and set beside other runs.

  python -m resunet_lc_jax.shipping --name=simulated --workdir=RUN --real=RUN/evaluation/all.json
  python -m resunet_lc_jax.shipping --name=finetuned --workdir=RUN --crossvalidation=FOLDER

writes resunet_lc_jax/pretrained/NAME: weights, config, thresholds, calibration, the records seen
and the card. The same run and reports give the same bytes.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from resunet_lc_jax import pretrained
from resunet_lc_jax.command_line.config_files import default_config
from resunet_lc_jax.data.sources import VARIANTS
from resunet_lc_jax.evaluate import evaluate
from resunet_lc_jax.measures import thresholds
from resunet_lc_jax.measures.calibration import CALIBRATION, Temperatures
from resunet_lc_jax.measures.predictions import load_predictions
from resunet_lc_jax.measures.shipped_card import build_shipped_card, format_shipped_card
from resunet_lc_jax.runs import kept_thresholds, provenance
from resunet_lc_jax.runs.config import load_config, store_config, with_records_of
from resunet_lc_jax.runs.flat import flatten
from resunet_lc_jax.runs.kind import RUN, SHIPPED, expect, kind_of
from resunet_lc_jax.runs.making import describe_training
from resunet_lc_jax.runs.open_run import OpenRun, load_run
from resunet_lc_jax.runs.screen import say
from resunet_lc_jax.runs.seen import Seen, read_seen, write_seen
from resunet_lc_jax.runs.splits import read_splits
from resunet_lc_jax.runs.trust import judge, of_simulated
from resunet_lc_jax.runs.weights import CARD, write_weights
from tfds_physionet.files import read_values, replacing, write_json
from tfds_physionet.simulate.record import is_simulated


def ship(
    name: str,
    workdir: Path,
    output: Path,
    *,
    real: Path,
    simulated: Path | None = None,
    crossvalidation: Path | None = None,
    checkpoint: str = "best",
) -> None:
    """Writes a run as a network that comes with the package.

    Args:
      name: What it is called.
      workdir: The run's folder.
      output: The folder to write; what is there already is written anew.
      real: A report on real records, which say what can be trusted.
      simulated: A report on simulated records.
      crossvalidation: Folds of the same recipe, by whose out-of-fold scores thresholds and
        temperatures are chosen; then `real` is its report. None: the run's own.
      checkpoint: 'best' or 'latest'.

    Raises:
      FileNotFoundError: The run or a report is not there.
      ValueError: A report is of another kind or checkpoint, or the run's thresholds are.
    """
    expect(workdir, RUN)
    expect(output, SHIPPED)
    run = load_run(workdir, load_config(workdir, default_config()), checkpoint=checkpoint)
    about = provenance.read_provenance(workdir)
    reports = {"real": _report(real, run, whole=crossvalidation is None)}
    if of_simulated(reports["real"]):
        raise ValueError(f"{real} is a report on simulated records; give one on real records")
    if simulated is not None:
        reports["simulated"] = _report(simulated, run, whole=True)
    seen = _real_seen(workdir)
    if crossvalidation is None:
        if run.kept.remark:
            raise ValueError(f"{workdir}: {run.kept.remark}")
        chosen, fitted = (
            run.thresholds,
            Temperatures.from_json(workdir / CALIBRATION, step=run.step),
        )
        chosen_on = "on the run's own validation records"
    else:
        scored = load_predictions(crossvalidation / "evaluation" / "test.npz")
        chosen = thresholds.choose(run.config.eval.thresholds, scored.labels, scored.scores)
        fitted = Temperatures.fit(scored.labels, scored.scores)
        chosen_on = f"on out-of-fold scores of {len(scored.record_id):,} real records"
        for fold in sorted(crossvalidation.glob("fold_*")):
            seen = seen.over(_as_thresholds(_real_seen(fold)))
    untrusted = judge(reports["real"])
    card = build_shipped_card(
        {
            "name": name,
            "network": run.config.model.name,
            "weights": write_weights(output, run.variables, step=run.step),
            "step": run.step,
            "checkpoint": run.checkpoint.hash,
            **_described(run, about, real=len(seen.served)),
            "decisions": {
                "thresholds": f"by the rule {chosen.method}, {chosen_on}",
                "calibration": f"a temperature a class, {chosen_on}" if fitted else "none",
            },
        },
        reports=reports,
        measured={
            "real": "Out of fold: each record was scored by a network of the same recipe that had "
            "not seen it nor another record of its patient, at thresholds of its own; this one, "
            "trained on all of them, cannot be measured on them"
            if crossvalidation
            else "None of them trained it, or chose its thresholds",
            "simulated": "None of them trained it",
        },
        thresholds=chosen.values,
        temperatures=fitted.values if fitted else None,
        untrusted=untrusted,
        seen=sorted(seen.served),
    )
    store_config(output, _of_anywhere(run.config))
    kept_thresholds.keep(output, chosen, run.checkpoint)
    if crossvalidation is None:
        kept_thresholds.keep_by_leads(output, run.kept.by_leads, run.checkpoint)
    if fitted:
        fitted.to_json(output / CALIBRATION, step=run.step)
    write_seen(output, Seen(dict(sorted(seen.served.items())), seen.landmarks))
    write_json(output / CARD, card)
    with replacing(output / "card.md") as beside:
        beside.write_text(format_shipped_card(card), encoding="utf-8")
    say(f"written: {output}, {sum(p.stat().st_size for p in output.iterdir()) / 1e6:.2f} MB")


def _report(path: Path, run: OpenRun, *, whole: bool) -> dict[str, Any]:
    """Reads a report; with `whole` it must be of this very checkpoint."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: --mode=evaluate writes it")
    report = read_values(path, remedy="evaluate the run again")
    if whole and report["about"]["checkpoint"] != run.checkpoint.hash:
        raise ValueError(f"{path} is of another checkpoint than {run.workdir}; evaluate it again")
    return _numbers(report)


def _numbers(value: Any) -> Any:
    """A report with NaN where JSON has null."""
    if isinstance(value, dict):
        return {key: _numbers(of_key) for key, of_key in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    return float("nan") if value is None else value


def _real_seen(workdir: Path) -> Seen:
    """What a run has seen, without simulated records: another seed gives others of them."""
    seen = read_seen(workdir)
    if seen.unknown:
        raise ValueError(f"{workdir} was trained on unknown records; a card must name them")
    left_out = _simulated(workdir)
    return Seen({k: of for k, of in seen.served.items() if k not in left_out}, seen.landmarks)


def _simulated(workdir: Path) -> set[str]:
    """The hashes of simulated records among those of a run and of what it was started from."""
    config, splits = load_config(workdir, default_config()), read_splits(workdir) or {}
    before = pretrained.located(config.init_from) if config.init_from else None
    found = _simulated(before) if before and before.is_dir() else set()
    records = [record for of in splits.values() for record in of]
    return found | {digest for name, digest in records if is_simulated(name)}


def _as_thresholds(seen: Seen) -> Seen:
    return Seen(dict.fromkeys(seen.served, frozenset({"thresholds"})), seen.landmarks)


def _described(run: OpenRun, about: dict[str, Any], *, real: int) -> dict[str, Any]:
    """What a card says of input and training; nothing of when and where, so that it is the same."""
    config, told = run.config, describe_training(run)
    variant = VARIANTS[config.data.variant]
    band = "no filter" if variant.band_hz is None else "{:g} to {:g} Hz".format(*variant.band_hz)
    data = about.get("data", {})
    kept = ("step", "command", "commit", "python", "packages")
    return {
        "parameters": told["parameters"],
        "input": {
            "leads": list(config.data.leads),
            "sampling_rate_hz": variant.sampling_rate,
            "filter": band,
            "length": config.data.length,
            "units": "z-scores of each lead, whatever its unit: (sample - mean) / standard "
            f"deviation of the {config.data.statistics}, 0 where there is no sample",
            "windows": config.eval.windows,
        },
        "training": {
            "records": f"{data.get('records', 0):,}, of which {real:,} are real, the others "
            f"simulated; fingerprint {data.get('fingerprint')}",
            "started_from": config.init_from and Path(config.init_from).name,
            "config": told["config"],
            "starts": [{key: start.get(key) for key in kept} for start in told["starts"]],
        },
    }


def _of_anywhere(config: ConfigDict) -> ConfigDict:
    """A run's config without its records and what belongs to the machine that trained it."""
    default = default_config()
    changed, given = with_records_of(config, default), flatten(default.to_dict())
    own = ("init_from", "compilation_cache", "eval.seen_records", "eval.other_records")
    names = [name for name in given if name in own or name.startswith("parallel.")]
    changed.update_from_flattened_dict({name: given[name] for name in names})
    return changed


def evaluated(
    runs: Sequence[str], config_of: Callable[[Path], ConfigDict], output: Path, *, split: str
) -> list[str]:
    """Evaluates the package's networks among the entrants of a comparison on a run's records.

    Args:
      runs: The entrants.
      config_of: Reads a run's config.
      output: The comparison's folder; the reports go to OUTPUT/evaluated/NAME.
      split: Of the records of the first run among the entrants.

    Returns:
      The entrants, with these folders in place of the networks' names.

    Raises:
      ValueError: There is no run among them.
    """
    if not (shipped := [name for name in pretrained.NAMES if name in runs]):
        return list(runs)
    others = [Path(run).expanduser() for run in runs if run not in shipped]
    if not (own := [run for run in others if kind_of(run) == RUN]):
        raise ValueError(
            f"--runs={','.join(runs)}: there is no run on whose records {' and '.join(shipped)} "
            "can be evaluated; evaluate each with --output on records of yours, and give its output"
        )
    for name in shipped:
        workdir = pretrained.located(name)
        config = with_records_of(config_of(workdir), config_of(own[0]))
        evaluate(config, workdir, split=split, output=output / "evaluated" / name)
    return [str(output / "evaluated" / run) if run in shipped else run for run in runs]


def main() -> int:
    """Returns the exit status: 0, or 2 where an argument can't be used."""
    parser = argparse.ArgumentParser(
        prog="python -m resunet_lc_jax.shipping",
        description="Writes a finished run as a network that comes with the package.",
    )
    parser.add_argument("--name", required=True, choices=pretrained.NAMES, help="of the network")
    parser.add_argument("--workdir", type=Path, required=True, help="the run's folder")
    parser.add_argument("--real", type=Path, help="a report (JSON) on real records")
    parser.add_argument("--simulated", type=Path, help="a report (JSON) on simulated records")
    parser.add_argument(
        "--crossvalidation", type=Path, help="folds of the same recipe on real records"
    )
    parser.add_argument("--checkpoint", default="best", choices=("best", "latest"))
    parser.add_argument("--output", type=Path, help="default: the package's own folder")
    given = parser.parse_args()
    folds = given.crossvalidation
    if (real := given.real or (folds and folds / "evaluation" / "test.json")) is None:
        parser.error("give --real, or --crossvalidation, whose report is one")
    try:
        ship(
            given.name,
            given.workdir,
            given.output or pretrained.FOLDER / given.name,
            real=real,
            simulated=given.simulated,
            crossvalidation=folds,
            checkpoint=given.checkpoint,
        )
    except (ValueError, OSError) as error:
        print(f"shipping: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
