"""Settings of a command that are not the run's own, and how what is written is called by them.

Which settings a finished run may be used with at all says `knobs`; what it is measured on is not
one of its settings.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.runs.flat import flatten

_NAMED = ["eval.thresholds", "eval.windows", "eval.batch_size", "precision"]
_NAMED += ["parallel.mode", "parallel.batch_statistics"]

Changes = Mapping[str, tuple[Any, Any]]
"""(The run's own value, the command's) by dotted name."""


def changes(workdir: Path, config: ConfigDict) -> Changes:
    """Returns in which settings a command's config differs from that of the run in a folder."""
    if not (workdir / "config.json").is_file():
        return {}
    own, given = flatten(load_config(workdir, config).to_dict()), flatten(config.to_dict())
    return {name: (own[name], given[name]) for name in _NAMED if own[name] != given[name]}


def named(split: str, changed: Changes) -> str:
    """Returns what a report of a split is called: 'test', or 'test-windows=first'."""
    settings = (f"{name.rpartition('.')[2]}={given}" for name, (_, given) in changed.items())
    return "-".join((split, *settings))


def remarks(changed: Changes) -> tuple[str, ...]:
    """Returns a sentence on each change."""
    return tuple(
        f"made with config.{name}={given!r}; the run's own is {own!r}"
        for name, (own, given) in changed.items()
    )
