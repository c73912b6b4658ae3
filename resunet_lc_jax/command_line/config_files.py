"""Which file --config means: the user's own, or one of configs/, in a checkout or installed."""

import difflib
import importlib
import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from resunet_lc_jax.runs.flat import flatten


def with_config_files(argv: Sequence[str]) -> list[str]:
    """Returns a command line in which --config names a file; without one, configs/default.py.

    `configs` can be imported from then on, as the configs do with each other.

    Args:
      argv: The program and its arguments.

    Raises:
      ValueError: There is no such file or config, or --config.NAME=VALUE names no knob.
    """
    folder = _folder()
    words, given = [], False
    arguments = iter(argv[1:])
    for word in arguments:
        flag, equals, value = word.partition("=")
        if flag in ("--config", "-config"):
            given = True
            value = value if equals else next(arguments, "")
            word = f"--config={_file(value, folder)}"
        elif match := re.match(r"--?config\.([\w.]+)", flag):
            _check_name(match[1])
        words.append(word)
    # Not as the flag's default: ml_collections would read the overrides at definition, where an
    # unknown name cannot be caught.
    default = [] if given else [f"--config={folder / 'default.py'}"]
    return [argv[0], *default, *words]


def default_config() -> ConfigDict:
    """Returns the config of configs/default.py."""
    _folder()
    return importlib.import_module("configs.default").get_config()


def _folder() -> Path:
    """The folder of the configs, made importable; no installed package bears so common a name."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "configs"
    folder = inside if inside.is_dir() else package.parent / "configs"
    if "configs" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "configs", folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["configs"] = module
        spec.loader.exec_module(module)
    return folder


def _check_name(name: str) -> None:
    known = list(flatten(default_config().to_dict()))
    if not any(knob == name or knob.startswith(f"{name}.") for knob in known):
        close = difflib.get_close_matches(name, known, 1)
        meant = f"; did you mean config.{close[0]}?" if close else ""
        raise ValueError(f"config.{name} is no knob of configs/default.py{meant}")


def _file(value: str, folder: Path) -> str:
    if Path(value).is_file():
        return value
    known = sorted(path.stem for path in folder.glob("[!_]*.py"))
    if (name := value.removeprefix("configs/").removesuffix(".py")) in known:
        return str(folder / f"{name}.py")
    raise ValueError(f"--config={value}: no such file; by name there are {', '.join(known)}")
