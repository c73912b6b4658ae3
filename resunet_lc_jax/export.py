"""Writes a trained network as a file that other programs run: StableHLO or ONNX."""

import json
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from resunet_lc_jax.data.sources import VARIANTS
from resunet_lc_jax.measures.calibration import CALIBRATION, Temperatures
from resunet_lc_jax.portable.onnx_file import onnx_file
from resunet_lc_jax.portable.stablehlo import stablehlo
from resunet_lc_jax.runs.about import about_run
from resunet_lc_jax.runs.open_run import OpenRun, open_run
from resunet_lc_jax.runs.screen import say
from tfds_physionet.diagnoses import CLASS_NAMES, DIAGNOSES
from tfds_physionet.files import replacing, write_json
from tfds_physionet.reading.records import MISSING

_MEASURED = ("auroc", "auprc", "f_measure", "challenge_metric", "records")


def export(config: ConfigDict, workdir: Path, output: Path) -> None:
    """Writes a run's network, folded and with its weights, for a batch of any size.

    Beside it, OUTPUT.json says what goes in and what comes out (see `described`); an .onnx file
    holds the same as its `metadata_props`.

    Raises:
      ValueError: The file is of another kind.
      ImportError: The package onnx is missing, for an .onnx file.
    """
    if output.is_dir():
        raise ValueError(f"--output is {output}, a folder; name a file, as model.onnx in it")
    if output.suffix not in (".onnx", ".stablehlo"):
        raise ValueError(f"--output is {output}; export writes .onnx or .stablehlo files")
    run = open_run(workdir, config)
    told = described(run)
    if output.suffix == ".onnx":
        content = onnx_file(
            run.model,
            run.variables,
            length=run.windowing.length,
            statistics=run.windowing.statistics,
            metadata={k: v if isinstance(v, str) else json.dumps(v) for k, v in told.items()},
        )
    else:
        content = stablehlo(run.model, run.variables, length=run.windowing.length)
    with replacing(output) as beside:
        beside.write_bytes(content)
    write_json(output.with_name(output.name + ".json"), told)
    say(f"written: {output} and {output.name}.json, step {run.step:,}, {len(content) / 1e6:.1f} MB")


def described(run: OpenRun) -> dict[str, Any]:
    """What one must know to run a network without this package.

    Returns:
      about (see `about_run`), classes and codes (SNOMED CT, by class) in the order of the scores;
      leads in the order of the signal, sampling_rate and band in Hz (the band that signals are
      filtered to, or None), length in samples, unit, missing (what marks a missing sample), pad,
      windows and statistics (as in the config); thresholds, by class, and their rule; temperatures
      (see `Temperatures`) or None; measured: areas and scores of the run's reports, by split.
    """
    variant, cut = VARIANTS[run.config.data.variant], run.windowing
    temperatures = Temperatures.from_json(run.workdir / CALIBRATION, step=run.step)
    return {
        "about": about_run(run, None),
        "classes": list(CLASS_NAMES),
        "codes": ["|".join(diagnosis.codes) for diagnosis in DIAGNOSES],
        "leads": list(cut.leads),
        "sampling_rate": variant.sampling_rate,
        "band": variant.band_hz,
        "length": cut.length,
        "unit": "any, the same for a lead's samples, mean and standard deviation",
        "missing": MISSING,
        "pad": cut.pad,
        "windows": cut.rule,
        "statistics": cut.statistics,
        "thresholds": dict(zip(CLASS_NAMES, run.thresholds.values.tolist(), strict=True)),
        "thresholds_rule": run.thresholds.method,
        "temperatures": temperatures
        and dict(zip(CLASS_NAMES, temperatures.values.tolist(), strict=True)),
        "measured": _measured(run),
    }


def _measured(run: OpenRun) -> dict[str, dict[str, Any]]:
    """The main numbers of the reports that the run's checkpoint has, by split."""
    found = {}
    for path in sorted((run.workdir / "evaluation").glob("*.json")):
        report = json.loads(path.read_text())
        about = report.get("about", {})
        if about.get("checkpoint") == run.checkpoint.hash and about.get("split") == path.stem:
            found[path.stem] = {key: report[key] for key in _MEASURED}
    return found
