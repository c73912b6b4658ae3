"""What the README and the pages of docs/ name exists, and is called so."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ml_collections import ConfigDict
from pages import (
    PAGES,
    REPOSITORY,
    Block,
    anchors_of,
    blocks_of,
    inline_code_of,
    prose_of,
    read_page,
    tables_of,
    words_of,
)

from configs import default
from resunet_lc_jax.measures.thresholds import METHODS

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
_MODULE = re.compile(r"python -m ((?:tfds_physionet|resunet_lc_jax|benchmarks)[\w.]*)")
# Written with a dot after `config`, but files.
_NO_KNOBS = {"json", "py"}


@pytest.fixture(scope="module")
def help_text() -> str:
    done = subprocess.run(
        [sys.executable, "main.py", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture(scope="module")
def main_flags(help_text: str) -> set[str]:
    return set(re.findall(r"^ +--(?:\[no\])?(\w+):", help_text, flags=re.MULTILINE))


@pytest.fixture(scope="module")
def modes(help_text: str) -> set[str]:
    # The help is wrapped, in the middle of a word too.
    choices = re.search(r"--mode: <([^>]+)>", help_text)[1]
    return set(re.sub(r"\s", "", choices).split("|"))


def _module_file(module: str) -> Path:
    path = REPOSITORY / module.replace(".", "/")
    return path / "__main__.py" if path.is_dir() else path.with_suffix(".py")


def _module_flags(module: str) -> set[str]:
    """The flags that a module gives its parser."""
    return {
        node.args[0].value.removeprefix("--")
        for node in ast.walk(ast.parse(_module_file(module).read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "add_argument"
        and isinstance(node.args[0], ast.Constant)
        and node.args[0].value.startswith("--")
    }


def _commands(page: str) -> list[str]:
    lines = [line for block in blocks_of(page) for line in block.commands]
    return [command for line in lines for command in line.split(" && ")]


def _is_knob(name: str) -> bool:
    config = default.get_config()
    for part in name.split("."):
        if not isinstance(config, ConfigDict) or part not in config:
            return False
        config = config.get_ref(part).get()
    return True


def test_the_readme_is_of_one_reading() -> None:
    assert len(read_page("README.md").splitlines()) < 220


@pytest.mark.parametrize("page", PAGES)
def test_every_knob_that_a_page_names_is_one(page: str) -> None:
    named = re.findall(r"(?<![\w./])(?:--)?config\.([a-z]\w*(?:\.[a-z]\w*)*)", read_page(page))
    for table in tables_of(page):
        # A table of knobs has the section in its header: 'knob `config.train.`'.
        if section := re.match(r"knob `config\.(\w+)\.`", table[0][0]):
            cells = [name for row in table[1:] for name in re.findall(r"`(\w+)`", row[0])]
            named += [f"{section[1]}.{name}" for name in cells]
    wrong = {name for name in named if name not in _NO_KNOBS and not _is_knob(name)}
    assert not wrong, f"{page} names knobs that configs/default.py lacks: {sorted(wrong)}"


def test_every_augmentation_and_rule_of_thresholds_has_a_row() -> None:
    firsts = {
        table[0][0]: {row[0].strip("`") for row in table[1:]}
        for page in ("docs/training.md", "docs/evaluation.md")
        for table in tables_of(page)
    }
    assert firsts["knob `config.augment.`"] == set(default.get_config().augment)
    assert firsts["rule"] == set(METHODS)


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_in_a_command_is_one(page: str, main_flags: set[str], modes: set[str]) -> None:
    for command in _commands(page):
        if module := _MODULE.search(command):
            known, given = _module_flags(module[1]), command[module.end() :]
        # A shell variable may stand for the beginning: R="python main.py ...".
        elif match := re.search(r"python main\.py|^\$R", command):
            known, given = main_flags, command[match.end() :]
        else:
            continue
        flags = {w[2:].split("=")[0].split(".")[0] for w in words_of(given) if w.startswith("--")}
        assert flags <= known, f"{page}: {command}"
    named = set(re.findall(r"--mode=(\w+)", read_page(page))) - {"MODE"}
    assert named <= modes, page


@pytest.mark.parametrize("page", PAGES)
def test_every_flag_in_the_prose_is_one(page: str, main_flags: set[str]) -> None:
    modules = set(_MODULE.findall(" ".join(map(read_page, PAGES))))
    known = main_flags.union(["help"], *map(_module_flags, modules))
    named = {
        flag
        for code in inline_code_of(page)
        if not re.match(r"(pip|pytest|ruff|git|srun) ", code)
        for flag in re.findall(r"(?<![\w=-])--(\w+)", code)
    }
    assert named <= known, f"{page} names flags that no command has: {sorted(named - known)}"


def test_the_readme_has_a_row_for_every_mode(modes: set[str]) -> None:
    (table,) = [table for table in tables_of("README.md") if table[0][0] == "mode"]
    assert {name for row in table[1:] for name in re.findall(r"`(\w+)`", row[0])} == modes


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", prose_of(page))
    for link in links:
        if re.match(r"\w+://", link):
            continue
        target, _, anchor = link.partition("#")
        path = (REPOSITORY / page).parent / target if target else REPOSITORY / page
        assert path.exists(), f"{page} links to {link}"
        if anchor:
            name = path.resolve().relative_to(REPOSITORY).as_posix()
            assert anchor in anchors_of(name), f"{page} links to {link}"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_and_module_that_a_page_names_exists(page: str) -> None:
    text = read_page(page)
    folders = r"configs|docs|benchmarks|tests|resunet_lc_jax|tfds_physionet"
    paths = set(re.findall(rf"(?<![\w./])(?:{folders})/[\w/.-]*\w", text))
    places = (REPOSITORY, (REPOSITORY / page).parent)
    missing = {path for path in paths if not any((place / path).exists() for place in places)}
    missing |= {m for m in _MODULE.findall(text) if not _module_file(m).is_file()}
    # What lies beside a wing's name is meant below the learner: `learning/`, `runs/checkpoints.py`.
    for code in inline_code_of(page):
        if page == "docs/architecture.md" and re.fullmatch(r"[a-z]+/(?:\w+\.py)?|\w+\.py", code):
            places = (REPOSITORY, REPOSITORY / "resunet_lc_jax", REPOSITORY / "tfds_physionet")
            if not any((place / code).exists() for place in places):
                missing.add(code)
    assert not missing, f"{page} names {sorted(missing)}"


def test_every_extra_that_a_page_installs_is_defined() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    named = {
        extra.strip()
        for page in PAGES
        for extras in re.findall(r"\.\[([\w, ]+)\]", read_page(page))
        for extra in extras.split(",")
    }
    assert {"test", "torch"} <= named <= set(project["optional-dependencies"])


def test_the_architecture_page_has_a_row_for_every_wing() -> None:
    (table,) = [table for table in tables_of("docs/architecture.md") if table[0][0] == "wing"]
    wings = {path.parent.name for path in (REPOSITORY / "resunet_lc_jax").glob("*/__init__.py")}
    assert {row[0].strip("`/") for row in table[1:]} == wings


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_no_folder_beside_the_checkout(page: str) -> None:
    assert "../shared" not in read_page(page)


@pytest.fixture(scope="module")
def slurm_script() -> str:
    (script,) = [b.text for page in PAGES for b in blocks_of(page) if "#SBATCH" in b.text]
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


def test_the_blocks_that_ci_cuts_out_are_where_it_looks() -> None:
    marked = {block.mark: block for block in blocks_of("README.md")}
    first, quickstart, tests = (marked[name] for name in ("first", "quickstart", "tests"))
    assert "pip install . && " in first.text and "main.py --mode=predict" in first.text
    assert "pip install . && python main.py --config=configs/quickstart.py" in quickstart.text
    assert "pytest" in tests.text
    for block in (first, quickstart, tests):
        assert len(block.text.splitlines()) == 1 and isinstance(block, Block)
