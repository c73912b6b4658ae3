"""The command that makes the networks of the package, whole as a list and in its short form."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.make_pretrained import commands
from tfds_physionet.simulate import write_records

_REPOSITORY = Path(__file__).resolve().parents[1]


def test_both_networks_are_made_by_the_projects_own_commands(tmp_path: Path) -> None:
    made = commands(tmp_path / "real", tmp_path / "out", ["ptb", "ptb-xl"], short=False)
    told = [" ".join(command) for command in made]
    modes = [text.split("--mode=")[1].split()[0] for text in told if "--mode=" in text]
    assert modes == ["train", "evaluate", "crossvalidate", "train", "evaluate"]
    # No real record has a part in the first network, and all have one in the second.
    assert "real" not in told[0].replace(str(tmp_path), "")
    assert "--config.data.always_train=('ptb','ptb-xl',)" in told[4]
    assert [text.split()[1] for text in told[-2:]] == ["resunet_lc_jax.shipping"] * 2


@pytest.mark.slow
def test_the_short_form_goes_through_and_goes_on(tmp_path: Path) -> None:
    write_records(tmp_path / "real", count=60, seed=9, workers=1, progress=False)
    for letter in "abc":  # names that are no simulated source's
        source = tmp_path / "real" / "training" / f"simulated_{letter}"
        source.rename(source.with_name(f"clinic_{letter}"))
    for _ in range(2):
        command = ["-m", "benchmarks.make_pretrained", "--short", f"--output={tmp_path / 'out'}"]
        done = subprocess.run(
            [sys.executable, *command, f"--records={tmp_path / 'real'}"],
            cwd=_REPOSITORY,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    for name in ("simulated", "finetuned"):
        card = json.loads((tmp_path / "out" / "shipped" / name / "card.json").read_text())
        assert card["name"] == name
    tested = np.load(tmp_path / "out" / "folds" / "evaluation" / "test.npz")
    assert len(tested["record_id"]) < 60  # real records of two folds, no simulated one beside them
