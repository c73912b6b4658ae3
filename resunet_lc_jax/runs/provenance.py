"""What a run was made of: versions, devices, data and code, in W/provenance.json."""

import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jax

from resunet_lc_jax import __version__
from resunet_lc_jax.runs.screen import say
from tfds_physionet.files import write_json

_FILE = "provenance.json"
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tensorflow-datasets")


def record_start(workdir: Path, *, step: int, data: dict[str, Any]) -> None:
    """Adds one start of the run to its provenance.json.

    Args:
      workdir: The run's folder.
      step: At which step it starts.
      data: What it is trained on, see `data_source`.
    """
    known = read_provenance(workdir)
    if step > 0 and not known:
        say(f"{workdir / _FILE} is gone: what made the first {step:,} steps is not known")
    start = {
        "time": _now(),
        "step": step,
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {"resunet_lc_jax": __version__}
        | {name: importlib.metadata.version(name) for name in _PACKAGES},
        "commit": code_commit(),
        "processes": jax.process_count(),
        "devices": [device.device_kind for device in jax.devices()],
    }
    content = {"data": data, "starts": [*known.get("starts", []), start]}
    write_json(workdir / _FILE, content)


def record_end(workdir: Path) -> None:
    """Adds to the last start of a run when its training came to its end."""
    known = read_provenance(workdir)
    if known.get("starts"):
        known["starts"][-1].setdefault("ended", _now())
        write_json(workdir / _FILE, known)


def data_source(builder_dir: str | Path) -> dict[str, Any]:
    """Returns what a prepared data set was made of: its records' fingerprint and number."""
    return json.loads((Path(builder_dir) / "source.json").read_text())


def check_data(workdir: Path, builder_dir: str | Path, *, allowed: bool) -> None:
    """Refuses records that the run was not trained on a part of.

    Args:
      workdir: The run's folder.
      builder_dir: The prepared data set that is to be evaluated.
      allowed: Whether other records are wanted.

    Raises:
      ValueError: The records have another fingerprint, and that is not allowed.
    """
    trained = read_provenance(workdir).get("data", {}).get("fingerprint")
    given = data_source(builder_dir)["fingerprint"]
    if trained is not None and trained != given and not allowed:
        raise ValueError(
            f"the run in {workdir} was trained on the records with fingerprint {trained}, these "
            f"have {given}: their folds may hold records that it was trained on. If they are other "
            "records by intention, add --config.eval.other_records=True"
        )


def read_provenance(workdir: Path) -> dict[str, Any]:
    """Returns what provenance.json holds, {} where there is none: data, and starts (a list).

    Raises:
      ValueError: The file is damaged.
    """
    path = workdir / _FILE
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(content["data"], dict) and isinstance(content["starts"], list)):
            raise ValueError("'data' or 'starts' is of another form")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}); put it back, or take it away: then nothing is known of "
            "the records that made the run"
        ) from error
    return dict(content)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def code_commit() -> str | None:
    """The commit of the code, marked where files differ from it; None where it is not known."""
    built_from = Path(__file__).parents[1] / "commit.txt"  # of an installed package, see setup.py
    if built_from.is_file():
        return built_from.read_text().strip()
    told = ""
    try:
        # The folder may lie in another repository, as a virtual environment does.
        for command in (
            ["ls-files", "--error-unmatch", Path(__file__).name],
            ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
        ):
            done = subprocess.run(
                ["git", "-C", str(Path(__file__).parent), *command],
                capture_output=True,
                text=True,
                check=True,
                timeout=10,
            )
            told = done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return told
