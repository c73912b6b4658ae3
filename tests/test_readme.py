"""What the README says can be done as it says."""

import os
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


@pytest.fixture(scope="module")
def slurm_script(readme: str) -> str:
    (script,) = [block for block in _blocks(readme) if "#SBATCH" in block]
    return script


def test_the_slurm_script_is_a_shell_script_with_known_options(slurm_script: str) -> None:
    assert slurm_script.startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n"], input=slurm_script, text=True, check=True)
    options = re.findall(r"^#SBATCH --([a-z-]+)(?:=\S+)?$", slurm_script, flags=re.MULTILINE)
    assert len(options) == slurm_script.count("#SBATCH") and set(options) <= _SBATCH
    tasks, gpus = (
        re.search(rf"--{name}-per-node=(\d+)", slurm_script)[1] for name in ("ntasks", "gpus")
    )
    assert tasks == gpus, "JAX takes one task a GPU under srun"


def test_the_slurm_script_asks_for_batches_that_its_gpus_divide(slurm_script: str) -> None:
    nodes, tasks = (
        int(re.search(rf"--{name}=(\d+)", slurm_script)[1]) for name in ("nodes", "ntasks-per-node")
    )
    batches = re.findall(r"--config\.(?:train|eval)\.batch_size=(\d+)", slurm_script)
    assert len(batches) == 2
    assert all(int(batch) % (nodes * tasks) == 0 for batch in batches)


@pytest.mark.parametrize("status", [0, 1, 75])
def test_the_slurm_script_requeues_a_job_that_was_stopped_and_no_other(
    status: int, slurm_script: str, tmp_path: Path
) -> None:
    # Stand-ins for SLURM's commands, which note how they were called.
    for name, ends in (("srun", status), ("scontrol", 0)):
        command = tmp_path / name
        command.write_text(f'#!/bin/bash\necho "{name} $*" >>"{tmp_path}/called"\nexit {ends}\n')
        command.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "4711",
    }
    done = subprocess.run(["bash"], input=slurm_script, text=True, check=False, env=environment)
    assert done.returncode == status
    called = (tmp_path / "called").read_text().splitlines()
    assert "python main.py --config=configs/default.py" in called[0]
    assert called[1:] == (["scontrol requeue 4711"] if status == 75 else [])


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
