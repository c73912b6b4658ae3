"""The commands of the pages, run as they stand there on small records and a small network.

Each block of commands runs, in the order of its page, unless the comment in front of it says
`not run: <why>`; `slow` runs it only with the slow tests.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from pages import PAGES, REPOSITORY, Block, blocks_of
from small_runs import SMALL
from wfdb_files import write_wfdb

from benchmarks import ecg_files
from resunet_lc_jax import pretrained
from tfds_physionet.leads import STANDARD_LEADS

# What every training command gets besides what the page gives it; the last word counts.
_SMALL = SMALL | {"data.variant": "100hz", "data.simulated_count": 120, "train.epochs": 1}
# The same for modules.
_FEWER = {
    "tfds_physionet.simulate": ["--count=20"],
    "tfds_physionet.prepare": ["--workers=1"],
    "benchmarks.training_parity": ["--model=res1d_maxpool", "--width=8", "--steps=2"],
}
_TRAINED = "runs/quickstart"
# What stands before a command: python, which adds the overrides to what trains.
_PYTHON = """#!/bin/bash
case "$*" in
  "main.py "*--mode=*) [[ "$*" =~ --mode=(train|crossvalidate|import_torch) ]] && more=({small}) ;;
  "main.py "*) more=({small}) ;;
{modules}
esac
exec {python} "$@" "${{more[@]}}"
"""


@dataclass
class Sandbox:
    """A folder that looks like a checkout, with records in data/ and runs in runs/."""

    folder: Path
    done: set[str] = field(default_factory=set)

    def run(self, block: Block) -> None:
        """Runs a block: as one script where its lines belong together, else line by line."""
        together = "=" in block.text.split()[0]  # R="python main.py ..."
        for script in [block.text] if together else block.commands:
            self.run_script(script)

    def run_script(self, script: str) -> str:
        """Runs commands, unless the very same ran before; returns what they said."""
        if script in self.done:
            return ""
        self.done.add(script)
        self._provide(script)
        environment = os.environ | {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "XLA_FLAGS": "",  # one device
            "HOME": str(self.folder),
        }
        done = subprocess.run(
            ["bash", "-euc", self.placed(script)],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def placed(self, text: str) -> str:
        """Returns a text with its absolute folders in the sandbox."""
        return re.sub(r"(?<=[ =\"])/(data|scratch)/", rf"{self.folder}/\1/", text)

    def _provide(self, script: str) -> None:
        """Makes what a page takes for granted: other runs, a PyTorch checkpoint."""
        for number, run in enumerate(re.findall(r"(?<=[=,])runs/\w+", script)):
            known = (self.folder / run).exists() or run in " ".join(self.done - {script})
            if "--runs=" in script and "--workdir=" + run not in script and not known:
                train = "python main.py --config=configs/quickstart.py"
                self.run_script(f"{train} --workdir={run} --config.seed={number}")
        if "--input=/data/ecg" in script and not (self.folder / "data/ecg").exists():
            _write_ecgs(self.folder / "data/ecg")
        if "--torch_checkpoint=model.pt" in script:
            pytest.importorskip("torch")
            export = "python main.py --mode=export_torch"
            self.run_script(f"{export} --workdir={_TRAINED} --output=model.pt")


def _write_ecgs(folder: Path) -> None:
    """Writes one recording in every format, and a list of two of the files."""
    steps = np.random.default_rng(0).integers(-30, 31, (12, 2000))
    signal = np.cumsum(steps, axis=1).astype(np.int16)
    data = signal.T.astype("<i2").tobytes()
    write_wfdb(folder, data, name="w", file="w.dat", record_line="w 12 500 2000")
    files = {name: w(signal, STANDARD_LEADS, 500) for name, w in ecg_files.CLINICAL.items()}
    files |= ecg_files.array_files(signal, STANDARD_LEADS, 500)
    for name, content in (files | {"plain.npy": files["a.npy"]}).items():
        (folder / name).write_bytes(content)
    (folder / "list.csv").write_text("path\nw.hea\nd.dcm\n")


@pytest.fixture(scope="module")
def sandbox(simulated_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """With one trained run, of the README's own quickstart."""
    folder = tmp_path_factory.mktemp("sandbox")
    for name in ("main.py", "configs", "benchmarks"):
        (folder / name).symlink_to(REPOSITORY / name)
    shutil.copytree(simulated_records, folder / "data/challenge2021")
    own = {"data.data_dir": folder / "data/tfds"}
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        _PYTHON.format(
            small=" ".join(f"--config.{name}={value}" for name, value in (_SMALL | own).items()),
            modules="\n".join(
                f'  "-m {module} "*) more=({" ".join(flags)}) ;;'
                for module, flags in _FEWER.items()
            ),
            python=sys.executable,
        )
    )
    python.chmod(0o755)
    made = Sandbox(folder)
    (quickstart,) = [block for block in blocks_of("README.md") if block.mark == "quickstart"]
    made.run_script(quickstart.text.split("&&")[1])
    return made


def _blocks(*, slow: bool) -> list[Block]:
    return [
        block
        for page in PAGES
        for block in blocks_of(page)
        if block.language in ("bash", "python")
        and block.mark not in ("first", "quickstart", "tests")
        and not block.mark.startswith("not run: ")
        and (block.mark == "slow") == slow
    ]


def _where(block: Block) -> str:
    return f"{block.page}:{block.line}"


def test_a_block_that_is_not_run_says_why() -> None:
    marks = {block.mark for page in PAGES for block in blocks_of(page)}
    known = {"", "slow", "first", "quickstart", "tests"}
    assert all(mark in known or re.fullmatch(r"not run: .{10,}", mark) for mark in marks)
    assert len(_blocks(slow=False)) >= 5


def test_the_quickstart_leaves_what_the_readme_says(sandbox: Sandbox) -> None:
    run = sandbox.folder / _TRAINED
    for name in ("config.json", "metrics.jsonl", "checkpoints", "thresholds.json"):
        assert (run / name).exists()
    for name in ("test.json", "test.npz", "test/classes.png"):
        assert (run / "evaluation" / name).is_file()


def test_the_first_command_says_of_each_record_what_it_holds_and_what_was_found(
    sandbox: Sandbox,
) -> None:
    (first,) = [block for block in blocks_of("README.md") if block.mark == "first"]
    said = sandbox.run_script(first.text.split("&&", 1)[1])
    assert f"'{pretrained.BETTER}' predicts" in said and "holds, by its header" in said
    assert len(re.findall(r"^  training/simulated_\S+ ", said, flags=re.MULTILINE)) == 20


@pytest.mark.parametrize("block", _blocks(slow=False), ids=_where)
def test_commands_run_as_the_page_has_them(block: Block, sandbox: Sandbox) -> None:
    _run(block, sandbox)


@pytest.mark.slow
@pytest.mark.parametrize("block", _blocks(slow=True), ids=_where)
def test_long_commands_run_as_the_page_has_them(block: Block, sandbox: Sandbox) -> None:
    _run(block, sandbox)


def _run(block: Block, sandbox: Sandbox) -> None:
    if block.language == "bash":
        sandbox.run(block)
        return
    prepared = (
        "python -m tfds_physionet.prepare --records=/data/challenge2021 --data_dir=/data/tfds"
    )
    sandbox.run_script(prepared)
    (sandbox.folder / "block.py").write_text(sandbox.placed(block.text))
    sandbox.run_script("python block.py")
