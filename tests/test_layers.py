"""Who may import whom: imports point downwards only."""

import ast
from pathlib import Path

import pytest


def _imports(path: Path) -> set[str]:
    """The dotted names that a file imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _importers(repository: Path, package: str, name: str) -> set[str]:
    files = (repository / package).rglob("*.py")
    return {
        path.relative_to(repository / package).as_posix()
        for path in files
        if any(imported.split(".")[0] == name for imported in _imports(path))
    }


@pytest.mark.parametrize("name", ["jax", "flax", "optax", "orbax", "resunet_lc_jax", "configs"])
def test_the_data_set_knows_nothing_of_learning(repository: Path, name: str) -> None:
    assert _importers(repository, "tfds_physionet", name) == set()


def test_only_data_imports_tensorflow(repository: Path) -> None:
    importers = _importers(repository, "resunet_lc_jax", "tensorflow")
    assert importers == {"data.py"}


def test_only_checkpoints_imports_orbax(repository: Path) -> None:
    assert _importers(repository, "resunet_lc_jax", "orbax") == {"checkpoints.py"}


@pytest.mark.parametrize(
    "module",
    ["steps", "state", "optim", "losses", "augmentations", "metrics", "parallel", "models"],
)
def test_pure_modules_know_nothing_of_configs_and_loops(repository: Path, module: str) -> None:
    package = repository / "resunet_lc_jax"
    files = [package / f"{module}.py"] if (package / f"{module}.py").is_file() else []
    files += (package / module).rglob("*.py") if (package / module).is_dir() else []
    assert files
    forbidden = {"ml_collections", "absl", "tqdm", "orbax"} | {
        f"resunet_lc_jax.{name}" for name in ["data", "workdir", "evaluate", "predict", "train"]
    }
    for path in files:
        found = {f for f in forbidden for i in _imports(path) if i == f or i.startswith(f + ".")}
        assert not found, f"{path.name} imports {found}"


def test_benchmarks_are_imported_by_nothing(repository: Path) -> None:
    for package in ("resunet_lc_jax", "tfds_physionet", "configs"):
        assert _importers(repository, package, "benchmarks") == set()
    assert not any(name.startswith("benchmarks") for name in _imports(repository / "main.py"))
