"""What a report is of: the run, its checkpoint, its settings, the records, the code."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resunet_lc_jax import __version__
from resunet_lc_jax.runs import provenance
from resunet_lc_jax.runs.kind import SHIPPED, kind_of
from resunet_lc_jax.runs.open_run import OpenRun


def about_run(run: OpenRun, split: str | None) -> dict[str, Any]:
    """Describes what made a run's predictions of a split; None stands for what is not known.

    Args:
      run: The run, opened with its records.
      split: Which of them; None: other records.

    Returns:
      run (its folder's name), network, width, checkpoint (a hash of its weights), step, split,
      thresholds (the rule), windows, changed (the settings that are not the run's own: [its, this
      one]), variant and leads of the signals, records (the fingerprint of what was prepared),
      patients_unknown (a sentence on whose patients are), commit, version; of a shipped network
      untrusted (classes that are not to be trusted, and why).
    """
    config = run.config
    source = provenance.data_source(run.records.folder) if run.records else {}
    return {
        "run": run.workdir.resolve().name,
        "network": config.model.name,
        "width": config.model.width,
        "checkpoint": run.checkpoint.hash,
        "step": run.step,
        "split": split,
        "thresholds": run.thresholds.method,
        "windows": config.eval.windows,
        "changed": {name: list(pair) for name, pair in run.changed.items()},
        "variant": config.data.variant,
        "leads": len(config.data.leads),
        "records": source.get("fingerprint"),
        "patients_unknown": run.records.patients_unknown if run.records else None,
        "commit": provenance.code_commit(),
        "version": __version__,
    } | ({"untrusted": dict(run.untrusted)} if kind_of(run.workdir) == SHIPPED else {})


def about_together(
    members: Sequence[Mapping[str, Any]], workdir: Path, **own: str | None
) -> dict[str, Any]:
    """Describes what several runs made together.

    Args:
      members: Of `about_run`, of each.
      workdir: The folder of what they made.
      own: What is said of the whole, as its network and its rule of thresholds.

    Returns:
      The keys of `about_run`, None where the members differ, and members.
    """
    first = members[0]
    alike = {
        key: value if all(other.get(key) == value for other in members) else None
        for key, value in first.items()
    }
    alone = {"run": workdir.resolve().name, "checkpoint": None, "step": None}
    return alike | alone | own | {"members": [dict(member) for member in members]}
