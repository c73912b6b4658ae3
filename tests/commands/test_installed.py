"""The package as `pip install` leaves it: a wheel in an environment that knows no checkout."""

import importlib.metadata
import json
import os
import site
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from challenge_files import write_challenge
from small_runs import SMALL

Command = Callable[..., subprocess.CompletedProcess]


def _git(folder: Path, *words: str) -> str:
    name = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    done = subprocess.run(
        ["git", "-C", folder, *name, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def source(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of its own with the files that the checkout has, committed."""
    if int(importlib.metadata.version("setuptools").partition(".")[0]) < 77:
        pytest.skip("a wheel is built with setuptools 77 or later")
    folder = tmp_path_factory.mktemp("project")
    try:
        listed = _git(repository, "ls-files", "-co", "--exclude-standard").splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("the files of the project are listed by git, in a checkout")
    for name in filter(lambda name: (repository / name).is_file(), listed):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((repository / name).read_bytes())
    _git(folder, "init", "-q")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-qm", "all")
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("wheel")
    built = ["wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(output)]
    subprocess.run([sys.executable, "-m", "pip", *built, str(source)], check=True)
    (path,) = output.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(source: Path, wheel: Path) -> Path:
    """A virtual environment with the wheel and the packages that it needs, nothing else.

    It lies in the repository, as virtual environments do, and is not a part of it.
    """
    folder = source / ".venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    # As plain paths: what is installed there to be edited, the checkout above all, is not seen.
    others = site.getsitepackages()
    (packages / "others.pth").write_text("\n".join(others) + "\n")
    install = ["install", "-q", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *install], check=True)
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder from which commands are given."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def command(environment: Path, elsewhere: Path) -> Command:
    def run(line: str, status: int = 0) -> subprocess.CompletedProcess:
        hidden = ("PYTHONPATH", "XLA_FLAGS")
        variables = {k: v for k, v in os.environ.items() if k not in hidden}
        found_first = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=elsewhere,
            env=variables | {"HOME": str(elsewhere), "PATH": found_first},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return run


def _modules(folder: Path, top: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in (folder / top).rglob("*.py")}


def test_the_wheel_holds_every_module_and_nothing_that_bears_a_common_name(
    wheel: Path, source: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    packages = ("resunet_lc_jax", "tfds_physionet")
    assert {name.partition("/")[0] for name in names} == set(packages)
    expected = set().union(*(_modules(source, top) for top in packages))
    expected |= {f"resunet_lc_jax/{name}" for name in _modules(source, "configs")}
    assert {name for name in names if name.endswith(".py")} == expected
    assert {f"{package}/py.typed" for package in packages} <= names
    networks = (source / "resunet_lc_jax" / "pretrained").glob("*/*.*")
    assert {path.relative_to(source).as_posix() for path in networks} <= names


def test_help_speaks_of_the_command_and_answers_without_jax(
    command: Command, environment: Path
) -> None:
    shown = command("resunet-lc --help").stdout
    assert "resunet-lc --mode=predict" in shown and "main.py" not in shown
    traced = command(f"python -X importtime {environment}/bin/resunet-lc --help").stderr
    assert not {"jax", "numpy", "tensorflow"} & {
        line.rpartition("|")[2].strip() for line in traced.splitlines()
    }


def test_configs_are_found_by_name_and_the_users_own_build_on_them(
    command: Command, elsewhere: Path
) -> None:
    found = command("resunet-lc --config=nothing", status=2).stderr
    assert "resunet-lc: --config=nothing: no such file; by name there are default, " in found
    (elsewhere / "mine.py").write_text(
        "from configs import default\n\n\n"
        "def get_config():\n"
        "    config = default.get_config()\n"
        "    config.train.epochs = -3\n"
        "    return config\n"
    )
    for name, epochs in (("mine.py", -3), ("configs/quickstart.py", 0)):
        changed = "--config.train.epochs=0" if epochs == 0 else ""
        said = command(f"resunet-lc --config {name} {changed} --workdir=W", status=2).stderr
        assert f"config.train.epochs is {epochs}; choose a whole number from 1" in said
    # There is no package of that name for anyone else.
    command("python -c 'import configs'", status=1)


def test_a_run_is_trained_though_nobody_reads_on_and_applied_by_the_installed_command(
    command: Command, environment: Path, elsewhere: Path, source: Path
) -> None:
    knobs = SMALL | {"data.simulated_count": 120, "train.epochs": 1}
    given = " ".join(f"--config.{name}={value}" for name, value in knobs.items())
    train = f"resunet-lc --config=quickstart {given} --workdir=W"
    # To its end, though nobody reads on.
    command(f"{train} 2>&1 | head -c 1; exit ${{PIPESTATUS[0]}}")
    assert (elsewhere / "W" / "evaluation" / "test.json").is_file()
    write_challenge(elsewhere / "in", 2, seed=3, num_samples=2500)
    command("resunet-lc --mode=predict --workdir=W --input=in --output=out")
    assert len(list((elsewhere / "out").rglob("*.csv"))) == 4

    (start,) = json.loads((elsewhere / "W" / "provenance.json").read_text())["starts"]
    assert start["commit"] == _git(source, "rev-parse", "HEAD")
    assert start["packages"]["resunet_lc_jax"] == importlib.metadata.version("resunet_lc_jax")
    used = command("python -c 'import resunet_lc_jax as r; print(r.__file__)'").stdout
    assert Path(used.strip()).is_relative_to(environment)


def test_a_package_that_was_not_built_in_a_checkout_names_no_other_repositorys_commit(
    command: Command, environment: Path, elsewhere: Path
) -> None:
    (built_from,) = environment.rglob("resunet_lc_jax/commit.txt")
    built_from.rename(elsewhere / "commit.txt")
    ask = "from pathlib import Path; from resunet_lc_jax.runs.provenance import record_start; "
    ask += "record_start(Path(), step=0, data={})"
    try:
        command(f"python -c '{ask}'")
    finally:
        (elsewhere / "commit.txt").rename(built_from)
    (start,) = json.loads((elsewhere / "provenance.json").read_text())["starts"]
    assert start["commit"] is None
