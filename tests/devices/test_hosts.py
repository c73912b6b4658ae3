"""Several processes of one run, over loopback."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from challenge_files import write_record
from host_ports import free_port
from test_parallel import train_five_steps

from configs import default
from resunet_lc_jax.devices import hosts
from resunet_lc_jax.measures.predictions import load_predictions
from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.runs.open_run import open_run
from tfds_physionet.diagnoses import CLASS_NAMES


def _together(commands: list[list[str]], **options: object) -> list[str]:
    """Runs the commands at once; each must succeed. Returns what they print."""
    processes = [
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options
        )
        for command in commands
    ]
    try:
        outputs = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-10)])
def test_two_processes_of_four_devices_train_the_same_network_as_one_device(
    dtype: str, tolerance: float, tmp_path: Path
) -> None:
    coordinator, output = f"localhost:{free_port()}", tmp_path / "state.npz"
    worker = str(Path(__file__).parents[1] / "host_worker.py")
    _together(
        [
            [sys.executable, worker, coordinator, "2", str(process), dtype, str(output)]
            for process in range(2)
        ]
    )
    alone = train_five_steps("auto", 1, dtype)
    with np.load(output) as found:
        leaves = jax.tree.leaves((alone.params, alone.batch_stats))
        for name, expected in zip(found.files, leaves, strict=True):
            np.testing.assert_allclose(found[name], expected, atol=tolerance, rtol=tolerance)


@pytest.mark.slow
def test_a_run_of_two_processes_trains_evaluates_and_writes_as_a_run_of_one(
    repository: Path, tmp_path: Path
) -> None:
    changes = {
        "data.simulated_count": 200,
        "data.data_dir": tmp_path / "data",
        "data.length": 256,
        "model.name": "res1d_maxpool",
        "model.width": 8,
        "train.optimizer": "sgd",
        "train.batch_size": 16,
        "train.steps": 12,
        "train.log_every_steps": 1,
        "eval.batch_size": 16,
        "eval.bootstrap_replicates": 20,
    }
    command = [sys.executable, "main.py", "--config=configs/quickstart.py"]
    command += [f"--config.{name}={value}" for name, value in changes.items()]
    flags = "--xla_force_host_platform_device_count={}"
    one = {"cwd": repository, "env": os.environ | {"XLA_FLAGS": flags.format(8)}}
    two = {"cwd": repository, "env": os.environ | {"XLA_FLAGS": flags.format(4)}}
    _together([[*command, f"--workdir={tmp_path / 'one'}"]], **one)
    port = free_port()
    outputs = _together(
        [
            [
                *command,
                f"--workdir={tmp_path / 'two'}",
                f"--config.parallel.coordinator=localhost:{port}",
                "--config.parallel.num_processes=2",
                f"--config.parallel.process_id={process}",
            ]
            for process in range(2)
        ],
        **two,
    )
    assert "written:" in outputs[0] and "written:" not in outputs[1]
    rows = [
        [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        for name in ("one", "two")
    ]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    for a, b in zip(*rows, strict=True):
        for name in a:
            assert a[name] == pytest.approx(b[name], rel=1e-4, abs=1e-6), name
    reports = [
        json.loads((tmp_path / name / "evaluation" / "test.json").read_text())
        for name in ("one", "two")
    ]
    assert reports[0]["records"] == reports[1]["records"] == 20
    assert reports[0]["auroc"] == pytest.approx(reports[1]["auroc"], abs=1e-3)


@pytest.mark.slow
def test_two_processes_cross_validate_and_evaluate_an_ensemble_as_one_would(
    repository: Path, simulated_records: Path, tmp_path: Path
) -> None:
    changes = {
        "data.records": simulated_records,
        "data.data_dir": tmp_path / "data",
        "data.length": 64,
        "model.name": "res1d_maxpool",
        "model.width": 4,
        "train.batch_size": 16,
        "train.steps": 2,
        "eval.batch_size": 16,
        "eval.bootstrap_replicates": 5,
        "compilation_cache": tmp_path / "compiled",
    }
    knobs = ["--config=configs/quickstart.py"]
    knobs += [f"--config.{name}={value}" for name, value in changes.items()]

    def two(*arguments: str) -> None:
        port = free_port()
        command = [sys.executable, "main.py", *arguments]
        command += [f"--config.parallel.coordinator=localhost:{port}"]
        command += ["--config.parallel.num_processes=2"]
        options = {"cwd": repository, "env": os.environ | {"XLA_FLAGS": ""}}
        commands = [[*command, f"--config.parallel.process_id={process}"] for process in range(2)]
        first, second = _together(commands, **options)
        assert "written:" in first
        assert all(line.startswith("[Gloo]") for line in second.splitlines()), second

    folds = tmp_path / "folds"
    two("--mode=crossvalidate", *knobs, "--folds=1,2", f"--workdir={folds}")
    run, copy = folds / "fold_01", tmp_path / "copy"
    pooled = load_predictions(folds / "evaluation" / "test.npz")
    summary = json.loads((folds / "crossvalidation.json").read_text())
    counts = [summary["folds"][fold]["records"] for fold in ("1", "2")]
    assert len(set(pooled.record_id)) == len(pooled.record_id) == sum(counts)
    alone = open_run(run, load_config(run, default.get_config()), "test").score("test")
    np.testing.assert_array_equal(pooled.record_id[: counts[0]], alone.record_id)
    np.testing.assert_allclose(pooled.scores[: counts[0]], alone.scores, atol=1e-6)

    shutil.copytree(run, copy)  # as a second run, of the same scores
    two("--mode=evaluate", f"--runs={run},{copy}", f"--workdir={tmp_path / 'ensemble'}")
    together = load_predictions(tmp_path / "ensemble" / "evaluation" / "test.npz")
    np.testing.assert_array_equal(together.record_id, alone.record_id)
    np.testing.assert_allclose(together.scores, alone.scores, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "runs"), [(2, ["one"]), (4, ["one"]), (2, ["one", "two"])])
def test_several_processes_share_out_a_prediction_and_write_what_one_would(
    count: int, runs: list[str], repository: Path, tmp_path: Path
) -> None:
    for number in range(9):
        signal = np.random.default_rng(number).normal(0, 200, (12, 2500)).astype(np.int16)
        write_record(tmp_path / "in", f"r{number}", signal)
    (tmp_path / "in" / "r3.mat").write_bytes(b"no signal")
    shutil.copytree(repository / "tests" / "old_runs", tmp_path / "runs")

    def predict(output: str, *flags: list[str]) -> str:
        folders = [str(tmp_path / "runs" / run) for run in runs]
        command = [sys.executable, "main.py", "--mode=predict", f"--workdir={folders[0]}"]
        if len(folders) > 1:
            command[-1:] = [f"--runs={','.join(folders)}", f"--workdir={tmp_path / 'ensemble'}"]
        command += [f"--input={tmp_path / 'in'}", f"--output={tmp_path / output}"]
        options = {"cwd": repository, "env": os.environ | {"XLA_FLAGS": ""}}
        return _together([[*command, *own] for own in flags], **options)[0]

    alone = predict("alone", [])
    port = f"--config.parallel.coordinator=localhost:{free_port()}"
    numbers = [f"--config.parallel.process_id={number}" for number in range(count)]
    together = predict(
        "together",
        *([port, f"--config.parallel.num_processes={count}", number] for number in numbers),
    )
    # The last of 9 is the first process's own again, for both counts.
    assert f"/{9 // count + 1} [" in together and "/9 [" in alone
    tables = []
    for output in ("alone", "together"):
        with (tmp_path / output / "predictions.csv").open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    assert [row["record"] for row in tables[0]] == [f"r{n}" for n in (0, 1, 2, 4, 5, 6, 7, 8)]
    for ours, theirs in zip(*tables, strict=True):
        for name, value in ours.items():
            if name in CLASS_NAMES:
                assert float(theirs[name]) == pytest.approx(float(value), abs=1e-6)
            else:
                assert theirs[name] == value
    errors = [(tmp_path / o / "errors.csv").read_bytes() for o in ("alone", "together")]
    assert errors[0] == errors[1] and b"r3" in errors[0]
    names = [sorted(p.name for p in (tmp_path / o).iterdir()) for o in ("alone", "together")]
    assert names[0] == names[1]


@pytest.mark.slow
def test_the_other_processes_wait_patiently_while_the_first_prepares_the_records(
    repository: Path,
) -> None:
    # 40 s: longer than JAX waits for a first exchange on CPUs.
    code = """
import sys, time
from resunet_lc_jax.devices import hosts
hosts.join(sys.argv[1], 2, int(sys.argv[2]))
time.sleep(40 if hosts.is_main() else 0)
hosts.wait("records")
"""
    coordinator = f"localhost:{free_port()}"
    _together(
        [[sys.executable, "-c", code, coordinator, str(process)] for process in range(2)],
        cwd=repository,
    )


def test_a_process_alone_waits_for_nobody_and_keeps_its_own_values() -> None:
    hosts.wait("nobody")
    assert hosts.is_main() and hosts.any_of(True) and not hosts.any_of(False)
    np.testing.assert_array_equal(hosts.total(np.arange(3)), np.arange(3))


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 1),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, 1),  # sbatch's own shell, without srun
        (
            {"SLURM_STEP_NODELIST": "n[1-4]", "SLURM_PROCID": "2", "SLURM_STEP_NUM_TASKS": "4"},
            4,
        ),
        ({"OMPI_COMM_WORLD_SIZE": "3"}, 3),
    ],
)
def test_the_launcher_says_how_many_processes_it_started(
    environment: dict, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM_", "OMPI_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert hosts.launched_processes() == count


def test_a_coordinator_without_its_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="go together"):
        hosts.join("localhost:1", None, None)
