"""Who may import whom: imports point downwards only."""

import ast
import functools
from pathlib import Path

import pytest

# From top to bottom: a wing imports itself and the ones below it; the commands, which lie directly
# in the package, import any wing.
_WINGS = (
    "command_line",
    "pages",
    "pytorch",
    "runs",
    "portable",
    "learning",
    "data",
    "measures",
    "models",
    "devices",
    "pretrained",
)
_MOST_COMMANDS = 16
# The same of the data set's folders; `simulate` writes records and needs none of them. The modules
# that lie directly in tfds_physionet are commands, above all, or words that every folder uses.
_DATA_SET = ("building", "quality", "splits", "reading", "formats")
_DATA_SET_COMMANDS = {"prepare", "download"}


@functools.cache
def _imports(path: Path) -> set[str]:
    """The dotted names that a file imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute here"
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


def test_each_wing_imports_itself_and_lower_ones_only(repository: Path) -> None:
    package = repository / "resunet_lc_jax"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    assert folders <= set(_WINGS), "a wing whose place in the order is not written here"
    commands = {path.stem for path in package.glob("*.py")}
    for place, wing in enumerate(_WINGS):
        above = {*_WINGS[:place], *commands}
        for path in (package / wing).rglob("*.py"):
            parts = [name.split(".") for name in _imports(path)]
            found = {p[1] for p in parts if p[0] == "resunet_lc_jax" and len(p) > 1} & above
            assert not found, f"{wing}/{path.name} imports {found}, which is above it"


def test_the_data_sets_folders_import_themselves_and_lower_ones_only(repository: Path) -> None:
    package = repository / "tfds_physionet"
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    assert rooms == {*_DATA_SET, "simulate", "physionet2021"}
    for place, room in enumerate((*_DATA_SET, "simulate", "words")):
        above = {*_DATA_SET[:place], *_DATA_SET_COMMANDS}
        words = [path for path in package.glob("*.py") if path.stem not in _DATA_SET_COMMANDS]
        for path in (package / room).rglob("*.py") if room != "words" else words:
            parts = [name.split(".") for name in _imports(path)]
            found = {p[1] for p in parts if p[0] == "tfds_physionet" and len(p) > 1} & above
            assert not found, f"{path} imports {found}, which is above it"


def test_few_modules_lie_directly_in_the_package(repository: Path) -> None:
    assert len(list((repository / "resunet_lc_jax").glob("*.py"))) <= _MOST_COMMANDS


def test_only_the_data_wing_imports_tensorflow(repository: Path) -> None:
    importers = _importers(repository, "resunet_lc_jax", "tensorflow")
    assert {name.split("/")[0] for name in importers} == {"data"}


def test_only_checkpoints_imports_orbax(repository: Path) -> None:
    assert _importers(repository, "resunet_lc_jax", "orbax") == {"runs/checkpoints.py"}


@pytest.mark.parametrize("wing", ["learning", "data", "measures", "models", "devices"])
def test_pure_wings_know_nothing_of_configs_and_progress(repository: Path, wing: str) -> None:
    forbidden = {"ml_collections", "absl", "tqdm", "orbax"}
    for path in (repository / "resunet_lc_jax" / wing).rglob("*.py"):
        found = {name.split(".")[0] for name in _imports(path)} & forbidden
        assert not found, f"{wing}/{path.name} imports {found}"


def test_benchmarks_are_imported_by_nothing(repository: Path) -> None:
    for package in ("resunet_lc_jax", "tfds_physionet", "configs"):
        assert _importers(repository, package, "benchmarks") == set()
    assert not any(name.startswith("benchmarks") for name in _imports(repository / "main.py"))
