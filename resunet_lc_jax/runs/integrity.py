"""Checksums of checkpoints: a damaged one is found, named and set aside before it is used.

Beside them lie the metrics that were measured after a checkpoint was saved, which is not written
anew for that.
"""

import contextlib
import hashlib
import json
from pathlib import Path

from resunet_lc_jax.runs.screen import say
from tfds_physionet.files import replacing, write_json

_FOLDER, _METRICS = "checksums", "metrics"


def seal(folder: Path, step: int) -> None:
    """Writes the size and the hash of each file of a whole checkpoint.

    Args:
      folder: With one sub-folder a checkpoint, named by its step.
      step: Which.
    """
    checkpoint = folder / str(step)
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    found = {path.relative_to(checkpoint).as_posix(): _describe(path) for path in files}
    with replacing(folder / _FOLDER / f"{step}.json") as beside:
        beside.write_text(json.dumps(found, indent=1))
    for kind in (_FOLDER, _METRICS):
        for other in (folder / kind).glob("[0-9]*.json"):
            if not (folder / other.stem).exists():
                other.unlink(missing_ok=True)


def unseal(folder: Path, step: int) -> None:
    """Takes away what was written of a checkpoint that is gone, before another of its step is."""
    for kind in (_FOLDER, _METRICS):
        (folder / kind / f"{step}.json").unlink(missing_ok=True)


def keep_metrics(folder: Path, step: int, metrics: dict[str, float]) -> None:
    """Writes what was measured of a checkpoint after it was saved."""
    write_json(folder / _METRICS / f"{step}.json", metrics)


def read_metrics(folder: Path) -> dict[int, dict[str, float]]:
    """Returns what `keep_metrics` wrote, by step; files that cannot be read count as none."""
    found = {}
    for path in (folder / _METRICS).glob("[0-9]*.json"):
        with contextlib.suppress(ValueError, AttributeError):
            content = json.loads(path.read_text())
            found[int(path.stem)] = {name: float(value) for name, value in content.items()}
    return found


def set_damaged_aside(folder: Path) -> None:
    """Renames the checkpoints whose files are not as they were sealed, and says so."""
    for path in (folder / _FOLDER).glob("[0-9]*.json"):
        checkpoint = folder / path.stem
        if not checkpoint.is_dir():
            continue
        reason = _damage(checkpoint, path)
        if reason is not None:
            aside = folder / f"damaged_{path.stem}"
            number = 1
            while aside.exists():
                number += 1
                aside = folder / f"damaged_{path.stem}_{number}"
            checkpoint.rename(aside)
            path.unlink()
            say(
                f"checkpoint {checkpoint} is damaged ({reason}): set aside as {aside.name}, "
                "the one before it is used"
            )


def _describe(path: Path) -> list[int | str]:
    with path.open("rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "blake2b").hexdigest()[:32]]


def _damage(checkpoint: Path, checksums: Path) -> str | None:
    try:
        sealed = dict(json.loads(checksums.read_text()))
    except (ValueError, TypeError):
        # Which says nothing of the checkpoint itself.
        say(f"{checksums} is damaged: checkpoint {checkpoint} is used without being checked")
        return None
    for name, described in sealed.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if _describe(path) != described:
            return f"{name} has changed"
    return None
