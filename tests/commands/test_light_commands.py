"""What commands don't do: TensorFlow where no data set is read, and the same reading twice."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from challenge_files import write_challenge

# main.py, which says in the end whether TensorFlow came in.
_MAIN = """
import atexit, runpy, sys
atexit.register(lambda: print("tensorflow:", "tensorflow" in sys.modules))
runpy.run_path("main.py", run_name="__main__")
"""

# A cross-validation that counts how often each header and table of the records was opened.
_COUNTING = """
import collections, json, sys
from pathlib import Path
opened = collections.Counter()
sys.addaudithook(lambda event, given: opened.update([str(given[0])]) if event == "open" else None)
sys.path.append("tests")
from small_runs import small_config
from resunet_lc_jax.crossvalidate import crossvalidate
prepared, workdir = json.loads(sys.argv[1]), sys.argv[2]
config = small_config(**prepared, **{"train.steps": 1, "eval.bootstrap_replicates": 2})
assert crossvalidate(config, Path(workdir), [1, 2]) == 0
counts = {name: n for name, n in opened.items() if name.endswith((".hea", "records.csv"))}
print("openings:", sorted(set(counts.values())), len(counts))
"""


def _run(repository: Path, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", *map(str, arguments)],
        cwd=repository,
        env=os.environ | {"XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a trained run, `one`, and records, `in`."""
    folder = tmp_path_factory.mktemp("light")
    shutil.copytree(repository / "tests" / "old_runs" / "one", folder / "one")
    write_challenge(folder / "in", 2, seed=3, num_samples=1000)
    return folder


@pytest.mark.parametrize("mode", ["predict", "export", "compare"])
def test_a_command_without_a_data_set_imports_no_tensorflow(
    mode: str, repository: Path, folder: Path
) -> None:
    flags = {
        "predict": [f"--input={folder / 'in'}", f"--output={folder / 'out'}"],
        "export": [f"--output={folder / 'model.stablehlo'}"],
        "compare": [f"--runs={folder / 'one'}", f"--output={folder / 'compared'}"],
    }[mode]
    said = _run(repository, _MAIN, f"--mode={mode}", f"--workdir={folder / 'one'}", *flags)
    assert "tensorflow: False" in said


def test_a_cross_validation_reads_headers_and_table_of_prepared_records_once(
    repository: Path, prepared: dict[str, object], tmp_path: Path
) -> None:
    said = _run(repository, _COUNTING, json.dumps(prepared), tmp_path / "run")
    assert said.splitlines()[-1] == "openings: [1] 161"
