"""What the README says can be done as it says."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import default

_SBATCH = {
    "job-name",
    "nodes",
    "ntasks-per-node",
    "gpus-per-node",
    "cpus-per-task",
    "time",
    "signal",
    "requeue",
    "open-mode",
}


@pytest.fixture(scope="module")
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text()


def _blocks(readme: str) -> list[str]:
    return re.findall(r"```bash\n(.*?)```", readme, flags=re.DOTALL)


def _knob(config: ConfigDict, name: str) -> object:
    for part in name.split("."):
        config = config[part]
    return config


def _words(command: str) -> list[str]:
    """The words of a command; what follows is another's, or closes a quotation."""
    return shlex.split(command.rstrip('"'), comments=True)


def test_the_slurm_script_is_a_shell_script_with_known_options(readme: str) -> None:
    (script,) = [block for block in _blocks(readme) if "#SBATCH" in block]
    assert script.startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    options = re.findall(r"^#SBATCH --([a-z-]+)(?:=\S+)?$", script, flags=re.MULTILINE)
    assert len(options) == script.count("#SBATCH") and set(options) <= _SBATCH
    tasks, gpus = (re.search(rf"--{name}-per-node=(\d+)", script)[1] for name in ("ntasks", "gpus"))
    assert tasks == gpus, "JAX takes one task a GPU under srun"
    assert "-eq 75" in script and "scontrol requeue" in script


def test_every_knob_and_file_that_the_readme_names_is_there(readme: str, repository: Path) -> None:
    config = default.get_config()
    knobs = set(re.findall(r"--config\.([a-z_0-9]+(?:\.[a-z_0-9]+)*)", readme))
    assert len(knobs) > 10
    for name in knobs - {"x.y"}:
        _knob(config, name)
    paths = set(re.findall(r"(?:configs|docs|benchmarks)/[\w/.-]+\.(?:py|md|png)", readme))
    for path in paths - {"configs/CONFIG.py"}:
        assert (repository / path).exists(), path


def test_every_flag_that_the_readme_gives_main_is_one(readme: str, repository: Path) -> None:
    defined = set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', (repository / "main.py").read_text()))
    joined = "\n".join(_blocks(readme)).replace("\\\n", " ")
    commands = [line for line in joined.splitlines() if "python main.py" in line]
    assert len(commands) >= 5
    for command in commands:
        words = _words(command.split("python main.py")[1].split("&&")[0])
        flags = {word.removeprefix("--").split("=")[0].split(".")[0] for word in words}
        assert flags <= defined, command
