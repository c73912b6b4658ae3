"""What a folder is: a run by its config.json, an ensemble of runs by its ensemble.json."""

import json
from pathlib import Path
from typing import Any

MARK = "ensemble.json"
"""In an ensemble's folder: name, vote, runs, and under data the folds of its first run."""

FOLDS = ("train_folds", "validation_folds", "test_folds")


def read_mark(workdir: Path) -> dict[str, Any] | None:
    """Returns what ensemble.json says, or None in another folder.

    Ensembles of earlier versions have it under 'ensemble' in a config.json.

    Raises:
      ValueError: The file is damaged.
    """
    for path, key in ((workdir / MARK, None), (workdir / "config.json", "ensemble")):
        if path.is_file():
            content = _read(path)
            found = content.get(key) if key else content
            if found is not None:
                return dict(found)
    return None


def describe(workdir: Path) -> tuple[str, dict[str, Any]]:
    """Returns what made the predictions in a folder, and its folds by `FOLDS`.

    Raises:
      FileNotFoundError: The folder holds neither a run nor an ensemble.
      ValueError: A file of it is damaged.
    """
    config = workdir / "config.json"
    mark = read_mark(workdir)
    if mark is None and not config.is_file():
        raise FileNotFoundError(f"{workdir} holds no run: there is no config.json in it")
    stored = _read(config) if mark is None or "data" not in mark else mark
    try:
        name = mark["name"] if mark else stored["model"]["name"]
        return str(name), {key: stored.get("data", {}).get(key) for key in FOLDS}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{workdir} holds a damaged config: {error!r}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: it holds no values by name")
    return content
