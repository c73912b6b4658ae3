"""What commands don't do: TensorFlow where no data set is read, and the same reading twice."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from challenge_files import write_challenge

from resunet_lc_jax.data.sources import Records

# main.py, which says in the end whether TensorFlow came in.
_MAIN = """
import atexit, runpy, sys
atexit.register(lambda: print("tensorflow:", "tensorflow" in sys.modules))
runpy.run_path("main.py", run_name="__main__")
"""

# A cross-validation that counts how often each header and table of the records was opened.
_COUNTING = """
import collections, sys
from pathlib import Path
opened = collections.Counter()
sys.addaudithook(lambda event, given: opened.update([str(given[0])]) if event == "open" else None)
from configs import quickstart
from resunet_lc_jax.crossvalidate import crossvalidate
records, data_dir, workdir = sys.argv[1:]
config = quickstart.get_config()
config.update_from_flattened_dict({
    "data.records": records, "data.data_dir": data_dir, "data.length": 64,
    "model.name": "res1d_maxpool", "model.width": 4, "train.batch_size": 16, "train.steps": 1,
    "eval.batch_size": 16, "eval.bootstrap_replicates": 2,
    "compilation_cache": workdir + "/compiled",
})
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
    repository: Path, simulated_records: Path, records: Records, tmp_path: Path
) -> None:
    data_dir = records.folder.parents[3]
    said = _run(repository, _COUNTING, simulated_records, data_dir, tmp_path / "run")
    assert said.splitlines()[-1] == "openings: [1] 161"
