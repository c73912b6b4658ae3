"""What a folder is: a run, a shipped network, an evaluation, an ensemble, and so on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfds_physionet.files import read_values

MARK = "ensemble.json"
"""In an ensemble's folder: name, vote, runs, and under data the folds of its first run."""

IMPORTED = "imported.json"
"""In a run's folder: what its PyTorch checkpoint counted, and what it called its head."""

FOLDS = ("train_folds", "validation_folds", "test_folds")


PREDICTION_TABLES = ("predictions.csv", "errors.csv")
"""In a prediction's folder, over all of its records."""


@dataclass(frozen=True)
class Kind:
    """What a folder may be.

    Attributes:
      name: With its article.
      mark: The file that says so.
      use: What the folder is good for.
    """

    name: str
    mark: str
    use: str


RUN = Kind("a run", "config.json", "train, evaluate, predict, compare and export take it")
SHIPPED = Kind(
    "a network as it is shipped",
    "weights.safetensors",
    "predict, evaluate, export and compare take it, and config.init_from",
)
EVALUATION = Kind("an evaluation", "evaluation.json", "compare takes it")
ENSEMBLE = Kind("an ensemble", MARK, "evaluate, predict and compare take it")
CROSSVALIDATION = Kind(
    "a cross-validation",
    "crossvalidation.json",
    "crossvalidate and compare take it; its runs are the folders fold_* in it",
)
PREDICTION = Kind("a prediction", "prediction.json", "predict writes it, compare and score read it")


def kind_of(folder: Path) -> Kind | None:
    """Returns what a folder is; None if it is nothing yet.

    Folders of earlier versions are told by what lies in them.

    Raises:
      ValueError: A mark is damaged.
    """
    if read_mark(folder) is not None:
        return ENSEMBLE
    if (folder / CROSSVALIDATION.mark).is_file() or next(folder.glob("fold_*/config.json"), None):
        return CROSSVALIDATION
    for kind in (SHIPPED, RUN, EVALUATION):  # the first has the second's mark, too
        if (folder / kind.mark).is_file():
            return kind
    tables = all((folder / table).is_file() for table in PREDICTION_TABLES)
    return PREDICTION if tables or (folder / PREDICTION.mark).is_file() else None


def expect(folder: Path, *wanted: Kind) -> None:
    """Checks that a folder is of one of some kinds, or nothing yet.

    Raises:
      ValueError: It is of another kind; the message says what takes it.
    """
    kind = kind_of(folder)
    if kind is not None and kind not in wanted:
        raise ValueError(
            f"{folder} holds {kind.name}, and this takes {wanted[0].name}: give another folder "
            f"({kind.use})"
        )


def read_mark(workdir: Path) -> dict[str, Any] | None:
    """Returns what ensemble.json says, or None in another folder.

    Ensembles of earlier versions have it under 'ensemble' in a config.json.

    Raises:
      ValueError: The file is damaged.
    """
    for path, key in ((workdir / MARK, None), (workdir / "config.json", "ensemble")):
        if path.is_file():
            content = read_values(path)
            found = content.get(key) if key else content
            if found is not None:
                return dict(found)
    return None


def describe(workdir: Path) -> tuple[str, dict[str, Any]]:
    """Returns what made the predictions in a folder, and its folds by `FOLDS`.

    Raises:
      FileNotFoundError: The folder holds neither a run nor an ensemble, nor an evaluation.
      ValueError: A file of it is damaged.
    """
    config, evaluation = workdir / "config.json", workdir / EVALUATION.mark
    mark = read_values(evaluation) if evaluation.is_file() else read_mark(workdir)
    if mark is None and not config.is_file():
        raise FileNotFoundError(f"{workdir} holds no run: there is no config.json in it")
    stored = read_values(config) if mark is None or "data" not in mark else mark
    try:
        name = mark["name"] if mark else stored["model"]["name"]
        return str(name), {key: stored.get("data", {}).get(key) for key in FOLDS}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{workdir} holds a damaged config: {error!r}") from error


def member_runs(workdir: Path) -> list[Path]:
    """Returns the runs whose predictions are in a folder: an ensemble's, or the run itself.

    Raises:
      ValueError: A file of it is damaged.
    """
    mark = read_mark(workdir)
    if mark is None:
        # Of a cross-validation each record was predicted by the run that had not seen it.
        return [workdir] if kind_of(workdir) == RUN else []
    try:
        # A path that is not absolute goes from the folder, so that both can move together.
        return [(workdir / run).resolve() for run in mark["runs"]]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{workdir / MARK} is damaged: {error!r}") from error


def started_from(workdir: Path) -> str | None:
    """Returns the run or file that a run's first weights were taken from, by its config.json.

    Raises:
      ValueError: The file is damaged.
    """
    config = workdir / "config.json"
    return read_values(config).get("init_from") if config.is_file() else None
