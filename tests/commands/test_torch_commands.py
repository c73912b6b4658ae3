"""PyTorch and this project side by side, from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from challenge_files import headers_below

from resunet_lc_jax.measures.challenge_csv import read_challenge_csv
from tfds_physionet.reading.records import read_record
from tfds_physionet.reading.signals import prepare, z_score

torch = pytest.importorskip("torch")
from benchmarks import training_parity  # noqa: E402  (after the skip)
from benchmarks.parity_report import Curves  # noqa: E402
from benchmarks.torch_twin import create_twin  # noqa: E402


def test_a_torch_save_file_is_imported_predicts_what_pytorch_does_and_comes_back(
    repository: Path, simulated_records: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    twin = create_twin("res2d_lc", width=4, num_samples=5000).eval()
    torch.save({"model": twin.state_dict(), "epoch": 3}, tmp_path / "given.pt")

    environment = os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"}

    def run(*flags: str) -> None:
        command = [sys.executable, "main.py", f"--workdir={tmp_path / 'run'}", *flags]
        done = subprocess.run(
            command, cwd=repository, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    knobs = ["model.name=res2d_lc", "model.width=4", "data.length=5000", "eval.batch_size=8"]
    run(
        "--mode=import_torch",
        f"--torch_checkpoint={tmp_path / 'given.pt'}",
        *(f"--config.{knob}" for knob in [*knobs, "compilation_cache=off"]),
    )
    header = next(h for h in headers_below(simulated_records) if "5000" in h.read_text())
    folder = tmp_path / "in"
    folder.mkdir()
    for path in (header, header.with_suffix(".mat")):
        (folder / path.name).write_bytes(path.read_bytes())
    run("--mode=predict", f"--input={folder}", f"--output={tmp_path / 'out'}")
    found = read_challenge_csv(tmp_path / "out" / f"{header.stem}.csv")
    with torch.no_grad():
        signal = torch.tensor(z_score(prepare(read_record(header)))[None])
        expected = torch.sigmoid(twin(signal))[0].numpy()
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)

    run("--mode=export_torch", f"--output={tmp_path / 'back.pt'}")
    back = torch.load(tmp_path / "back.pt", weights_only=True)["model"]
    create_twin("res2d_lc", width=4, num_samples=5000).load_state_dict(back, strict=True)
    for name, tensor in twin.state_dict().items():
        assert torch.equal(back[name], tensor), name


def test_both_train_alike_on_the_same_records(
    simulated_records: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    flags = ["--model=res1d_maxpool", "--width=4", "--length=256", "--batch_size=4", "--steps=4"]
    flags += [f"--records={simulated_records}", f"--output={tmp_path}"]
    assert training_parity.main(flags) == 0
    text = (tmp_path / "training_parity.md").read_text()
    assert text in capsys.readouterr().out and str(simulated_records) not in text
    assert (tmp_path / "training_parity.png").stat().st_size > 10_000
    runs = json.loads((tmp_path / "results.json").read_text())["runs"]
    assert [run["recipe"]["precision"] for run in runs] == ["float32", "float64"]
    for run in runs:
        assert len(set(run["ours"])) == len(run["twin"]) == 4
        difference = np.abs(np.subtract(run["ours"], run["twin"])) / run["twin"]
        assert difference.max() == run["largest_difference"] <= run["recipe"]["tolerance"]


def test_curves_that_part_do_not_agree() -> None:
    recipe = training_parity.recipes(1e-4)[0]
    assert Curves("a", recipe, [0.7, 0.6], [0.7, 0.6003]).agrees
    assert not Curves("a", recipe, [0.7, 0.6], [0.7, 0.601]).agrees
    assert not Curves("a", recipe, [0.7, float("nan")], [0.7, 0.6]).agrees
