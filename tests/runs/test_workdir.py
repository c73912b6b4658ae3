"""A run's folder: one writer, one config."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from configs import default
from resunet_lc_jax.runs import provenance
from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.runs.workdir import hold, open_checkpoints

_HOLDER = """
import sys, time
from pathlib import Path
from configs import default
from resunet_lc_jax.runs.workdir import hold
with hold(Path(sys.argv[1]), default.get_config()):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_told_which_process_writes_the_folder(tmp_path: Path) -> None:
    config = default.get_config()
    with hold(tmp_path / "run", config):
        with (
            pytest.raises(BlockingIOError, match=f"is being written by process {os.getpid()} on"),
            hold(tmp_path / "run", config),
        ):
            pass
    with hold(tmp_path / "run", config):
        pass


def test_the_lock_of_a_killed_run_holds_nobody_up(repository: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDER, str(tmp_path)]
    holder = subprocess.Popen(command, cwd=repository, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
    with pytest.raises(BlockingIOError), hold(tmp_path, default.get_config()):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    with hold(tmp_path, default.get_config()):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OSError, match="file"),
        hold(tmp_path / "file" / "run", default.get_config()),
    ):
        pass


def test_the_stored_config_comes_back_with_its_types(tmp_path: Path) -> None:
    config = default.get_config()
    config.data.leads = ("I", "II")
    config.model.width = 16
    with hold(tmp_path, config):
        pass
    assert load_config(tmp_path, default.get_config()).to_dict() == config.to_dict()


def test_reading_a_run_leaves_a_save_under_way_alone_and_tidies_after_a_killed_one(
    tmp_path: Path,
) -> None:
    saving = tmp_path / "checkpoints" / "10.orbax-checkpoint-tmp"
    saving.mkdir(parents=True)
    with hold(tmp_path, default.get_config()):
        with open_checkpoints(tmp_path):
            pass
        time.sleep(1)  # Orbax removes in the background
        assert saving.is_dir()
    with open_checkpoints(tmp_path):
        pass
    deadline = time.monotonic() + 10
    while saving.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_of_several_processes_can_be_opened_by_one(tmp_path: Path) -> None:
    config = default.get_config()
    config.parallel.update({"coordinator": "node1:1234", "num_processes": 2, "process_id": 0})
    with hold(tmp_path, config):
        pass
    alone = default.get_config()
    assert load_config(tmp_path, alone).to_dict() == alone.to_dict()
    with hold(tmp_path, alone):
        pass


def test_epochs_and_devices_may_change_and_nothing_that_changes_the_steps(tmp_path: Path) -> None:
    config = default.get_config()
    with hold(tmp_path, config):
        pass
    config.train.epochs = 60
    config.parallel.mode = "jit"
    with hold(tmp_path, config):
        pass
    config.seed = 1
    with pytest.raises(ValueError, match=r"seed \(1234 there\)"), hold(tmp_path, config):
        pass


def _prepared(folder: Path, fingerprint: str) -> Path:
    folder.mkdir()
    (folder / "source.json").write_text(json.dumps({"fingerprint": fingerprint, "records": 9}))
    return folder


def test_a_run_says_what_it_was_made_of_at_each_start(tmp_path: Path) -> None:
    source = provenance.data_source(_prepared(tmp_path / "data", "abc"))
    for step in (0, 120):
        provenance.record_start(tmp_path, step=step, data=source)
    content = json.loads((tmp_path / "provenance.json").read_text())
    assert content["data"] == {"fingerprint": "abc", "records": 9}
    assert [start["step"] for start in content["starts"]] == [0, 120]
    assert content["starts"][0]["packages"]["jax"] and content["starts"][0]["devices"]


def test_records_with_another_fingerprint_are_evaluated_only_if_asked_for(tmp_path: Path) -> None:
    own, other = (_prepared(tmp_path / name, name) for name in ("own", "other"))
    provenance.record_start(tmp_path, step=0, data=provenance.data_source(own))
    provenance.check_data(tmp_path, own, allowed=False)
    provenance.check_data(tmp_path, other, allowed=True)
    with pytest.raises(ValueError, match="--config.eval.other_records=True"):
        provenance.check_data(tmp_path, other, allowed=False)
