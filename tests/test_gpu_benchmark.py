"""The first hour with a GPU: what is measured, how it is told, and a rehearsal without one."""

import json

import pytest

from benchmarks import gpu, gpu_report


def _entry(part: str, name: str, **numbers: object) -> dict:
    numbers = {"arguments": gpu.FULL | numbers.pop("arguments", {}), **numbers}
    return {"part": part, "name": name, **numbers}


def _results(*measured: dict) -> dict:
    device = "NVIDIA H100 80GB HBM3"
    return {
        "gpu": True,
        "device": device,
        "devices": 1,
        "sizes": gpu.FULL,
        "measured": list(measured),
    }


def test_one_device_is_not_scaled_and_eight_are_in_both_ways() -> None:
    def scaled(devices: int) -> list[tuple[str, int]]:
        planned = gpu.plan(gpu.FULL, devices, gpu=True)
        return [(m.name, m.arguments["batch"]) for m in planned if m.part == "scaling"]

    assert scaled(1) == []
    assert len(scaled(8)) == 16
    assert {("weak, pmap, 4", 96), ("strong, jit, 2", 192), ("weak, jit, 8", 192)} < set(scaled(8))


def test_the_page_tells_times_mfu_and_what_failed_and_goes_on() -> None:
    page = gpu_report.page(
        _results(
            _entry("training", "ours, bfloat16", step_s=0.02, arguments={"dtype": "bfloat16"}),
            _entry("training", "PyTorch, TF32", failed="no CUDA | here (exit status 1)"),
            _entry("training", "PyTorch, AMP", step_s=0.04, arguments={"device": "cuda"}),
            _entry("determinism", "deterministic, run 1", step_s=0.1, hash="a"),
            _entry("determinism", "deterministic, run 2", step_s=0.1, hash="a"),
        )
    )
    # 6.3 TFLOP in 20 ms, of 989 TFLOP/s.
    assert "| ours, bfloat16 | 20.0 ms | 1,200 |  | 32% |  |" in page
    assert "| PyTorch, TF32 | failed: no CUDA / here (exit status 1) |" in page
    assert "The fastest of ours takes 0.50 of the fastest of PyTorch's." in page
    assert "deterministic: two runs are equal." in page
    assert "mean nothing" not in page


def test_mfu_is_of_all_devices_and_inference_a_third_of_training() -> None:
    one = _entry("training", "ours", step_s=0.1)
    two = _entry("scaling", "ours", step_s=0.1, arguments={"devices": 2})
    scores = _entry("inference", "ours", step_s=0.1)
    whole = gpu_report.mfu(one, _results())
    assert whole is not None
    assert gpu_report.mfu(two, _results()) == pytest.approx(whole / 2)
    assert gpu_report.mfu(scores, _results()) == pytest.approx(whole / 3)
    assert gpu_report.mfu(one, _results() | {"gpu": False}) is None


def test_an_unknown_part_is_a_usage_error(tmp_path, capsys) -> None:
    with pytest.raises(SystemExit, match="2"):
        gpu.main([f"--output={tmp_path}", "--only=training,coffee"])
    assert "coffee" in capsys.readouterr().err


@pytest.mark.slow
def test_without_a_gpu_it_runs_small_and_says_that_its_times_mean_nothing(tmp_path) -> None:
    assert gpu.main([f"--output={tmp_path}"]) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert {entry["part"] for entry in results["measured"]} == set(gpu.PARTS)
    assert [entry["name"] for entry in results["measured"] if "failed" in entry] == []
    assert "The times mean nothing" in (tmp_path / "gpu.md").read_text()
    assert (tmp_path / "times.png").is_file() and (tmp_path / "scaling.png").is_file()
