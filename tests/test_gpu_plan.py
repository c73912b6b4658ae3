"""What is read of a program compiled for a GPU, and what is computed from it."""

import importlib.metadata

import pytest

from benchmarks import gpu_plan
from benchmarks.gpu_program import Case, Compiled
from benchmarks.gpu_text import Program

# Two examples of 3 leads, 8 samples and 4 channels; what runs of it stands in `main`.
_TEXT = """HloModule step, is_scheduled=true

%fused_turn (param_0: f32[2,3,8,4]) -> f32[2,8,3,4] {
  %param_0 = f32[2,3,8,4]{3,2,1,0} parameter(0)
  ROOT %transpose.1 = f32[2,8,3,4]{3,2,1,0} transpose(%param_0), dimensions={0,2,1,3}
}

%fused_part (param_0.1: f32[1000], param_1: f32[4]) -> f32[4] {
  %param_0.1 = f32[1000]{0} parameter(0)
  %slice.1 = f32[4]{0} slice(%param_0.1), slice={[0:4]}
  %param_1 = f32[4]{0} parameter(1)
  ROOT %add.1 = f32[4]{0} add(%slice.1, %param_1)
}

ENTRY %main (x: f32[2,3,8,4], k: f32[6,3,9,4], all: f32[1000]) -> f32[4] {
  %x = f32[2,3,8,4]{3,2,1,0} parameter(0)
  %k = f32[6,3,9,4]{3,2,1,0} parameter(1)
  %all = f32[1000]{0} parameter(2)
  %conv = (f32[2,3,8,6]{3,2,1,0}, u8[0]{0}) custom-call(%x, %k), window={size=3x9 pad=1_1x4_4}, \
custom_call_target="__cudnn$convBiasActivationForward", metadata={op_name="a (b)"}
  %y = f32[2,3,8,6]{3,2,1,0} get-tuple-element(%conv), index=0
  %back = (f32[6,3,9,4]{3,2,1,0}, u8[0]{0}) custom-call(%x, %y), window={size=3x9 pad=1_1x4_4}, \
custom_call_target="__cudnn$convBackwardFilter"
  %turned = f32[2,8,3,4]{3,2,1,0} fusion(%x), kind=kInput, calls=%fused_turn
  %start = (f32[4]{0}, bf16[6]{0}) all-reduce-start(%x, %k), to_apply=%sum
  %done = (f32[4]{0}, bf16[6]{0}) all-reduce-done(%start)
  %summed = f32[4]{0} get-tuple-element(%done), index=0
  ROOT %part = f32[4]{0} fusion(%all, %summed), kind=kLoop, calls=%fused_part
}
"""
_PRODUCTS = 2 * (2 * 3 * 8) * (3 * 9) * 4 * 6


def test_a_compiled_program_is_read_as_what_runs_of_it() -> None:
    program = Program(_TEXT)
    conv, back, turned, start, part = program.steps
    assert program.convolutions == [conv, back]
    assert [program.flops(step) for step in program.steps] == [_PRODUCTS, _PRODUCTS, 0, 0, 0]
    assert program.moves(2) == [turned]
    assert program.bytes_moved(turned) == 2 * (2 * 3 * 8 * 4 * 4)
    # Of a thousand numbers it reads four.
    assert program.bytes_moved(part) == 3 * 4 * 4
    assert program.collectives("all-reduce") == [4 * 4 + 6 * 2]
    assert program.collectives("all-gather") == []
    assert program.largest.dims == (6, 3, 9, 4)


def test_a_steps_time_is_computed_from_the_slower_of_memory_and_arithmetic() -> None:
    compiled = Compiled(0, 0, 0, 0, 0, 0, 0, Program(_TEXT))
    x, k, y = 2 * 3 * 8 * 4 * 4, 6 * 3 * 9 * 4 * 4, 2 * 3 * 8 * 6 * 4
    moved = (x + k + y) + (x + y + k) + 2 * x + 48  # too little arithmetic to count
    one = gpu_plan.computed_seconds(Case(), compiled)
    assert one == pytest.approx(moved / 3.35232e12)
    eight = gpu_plan.computed_seconds(Case(devices=8), compiled)
    assert eight - one == pytest.approx(2 * 7 / 8 * 28 / 450e9)


def _row(batch: int, *, dtype: str, memory: int, largest: int) -> dict:
    case = {"network": "resunet_lc", "batch": batch, "dtype": dtype}
    return {"case": case, "temporary": memory, "arguments": 0, "largest_tensor": largest}


def test_the_largest_batch_lies_on_the_line_through_two_and_within_what_cudnn_addresses() -> None:
    rows = [
        # 1 GB and 0.1 GB an example: 627 of them in three quarters of the card's memory.
        _row(10, dtype="float32", memory=2_000_000_000, largest=10_000_000),
        _row(20, dtype="float32", memory=3_000_000_000, largest=20_000_000),
        _row(10, dtype="bfloat16", memory=2_000_000_000, largest=100_000_000),
        _row(20, dtype="bfloat16", memory=3_000_000_000, largest=200_000_000),
        _row(20, dtype="float64", memory=1, largest=1),
    ]
    (first, by_memory, memory), (second, by_index, index) = gpu_plan.largest_batches(rows)
    assert (first.dtype, by_memory, memory) == ("float32", 627, "memory")
    assert (second.dtype, by_index) == ("bfloat16", 214) and "cuDNN" in index


def test_without_the_plug_in_the_plan_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path
) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "jax-cuda12-plugin":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(SystemExit, match="2"):
        gpu_plan.main([f"--output={tmp_path}"])
    said = capsys.readouterr().err
    assert (
        f"needs jax-cuda12-plugin {real('jax')}" in said and "pip install '.[gpu_compile]'" in said
    )
