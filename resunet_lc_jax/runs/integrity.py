"""Checksums of checkpoints: a damaged one is found, named and set aside before it is used."""

import hashlib
import json
from pathlib import Path

from resunet_lc_jax.runs.screen import say
from tfds_physionet.files import replacing

_FOLDER = "checksums"


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
    for other in (folder / _FOLDER).glob("[0-9]*.json"):
        if not (folder / other.stem).exists():
            other.unlink(missing_ok=True)


def fingerprint(folder: Path, step: int) -> str | None:
    """What tells a sealed checkpoint from every other; None of one that never was sealed."""
    path = folder / _FOLDER / f"{step}.json"
    return hashlib.blake2b(path.read_bytes()).hexdigest()[:32] if path.is_file() else None


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
        sealed = json.loads(checksums.read_text())
    except json.JSONDecodeError:
        return f"{checksums.name} cannot be read"
    for name, described in sealed.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if _describe(path) != described:
            return f"{name} has changed"
    return None
