"""The training step as XLA compiles it for NVIDIA's H100, of which none needs to be there.

`pytest -m gpu_compile` runs these tests, where the wheels of JAX's CUDA plug-in are installed. Each
program is compiled once, and read by all of them.
"""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest

from benchmarks import gpu_plan, gpu_program
from benchmarks.flops import training_flops
from benchmarks.gpu_program import Case, compile_case, lower, operations

pytestmark = [
    pytest.mark.gpu_compile,
    pytest.mark.skipif(gpu_program.missing() is not None, reason=gpu_program.missing() or ""),
]

_ONE = Case()
_EIGHT = replace(_ONE, devices=8)
_BFLOAT16 = replace(_ONE, dtype="bfloat16")
# What docs/performance.md shows: temporary memory (GB), cuDNN's calls, and kernels that do nothing
# but copy or transpose activations.
_SHOWN = {
    _ONE: (2.66, 134, 4),
    _EIGHT: (2.66, 134, 4),
    _BFLOAT16: (1.35, 134, 5),
}
_compiled = cache(partial(compile_case, to_run=False))


def _name(case: Case) -> str:
    return f"{case.network}-{case.devices}-{case.dtype}"


@pytest.fixture(params=list(_SHOWN), ids=_name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def test_a_step_needs_the_memory_that_the_page_shows(case: Case) -> None:
    memory, _, _ = _SHOWN[case]
    assert _compiled(case).temporary <= 1.03 * memory * 1e9


def test_the_state_after_a_step_takes_the_place_of_that_before_it(case: Case) -> None:
    assert _compiled(case).aliased == _compiled(case).state


def test_each_convolution_and_gradient_is_computed_once_in_the_networks_dtype(case: Case) -> None:
    program = _compiled(case).program
    assert len(program.convolutions) == _SHOWN[case][1]
    wanted = {"float32": "f32", "bfloat16": "bf16"}[case.dtype]
    for step in program.convolutions:
        assert {shape.dtype for shape in [step.results[0], *program.operands(step)[:2]]} == {wanted}


def test_no_more_activations_are_copied_or_transposed_than_the_page_shows(case: Case) -> None:
    assert len(_compiled(case).program.moves(case.batch)) <= _SHOWN[case][2]


def test_the_products_counted_are_those_that_the_program_has(case: Case) -> None:
    program = _compiled(case).program
    counted = training_flops(case.network, batch=case.batch, length=case.length)
    # The program has zero taps beside them; 1x1 convolutions and linear layers are no cuDNN calls.
    assert 0.9 < sum(map(program.flops, program.steps)) / counted < 1.25


def test_nothing_is_computed_in_float64(case: Case) -> None:
    assert "f64[" not in _compiled(case).program.text


def test_devices_exchange_sums_alone(case: Case) -> None:
    program = _compiled(case).program
    for kind in ("all-gather", "all-to-all", "collective-permute", "reduce-scatter"):
        assert kind not in program.text
    # The moments of 47 BatchNorms and their gradients, and the gradients in a few large ones.
    assert len(program.collectives("all-reduce")) <= (93 if case.devices > 1 else 0)


def test_eight_devices_need_no_more_memory_each_than_one_alone() -> None:
    assert _compiled(_EIGHT).temporary <= 1.1 * _compiled(_ONE).temporary


def test_the_program_for_a_gpu_does_not_grow_with_the_batch() -> None:
    lowered, _ = lower(replace(_ONE, batch=192))
    assert operations(lowered) == _compiled(_ONE).lowered


def test_the_plan_of_a_network_tells_its_largest_batch(tmp_path: Path) -> None:
    given = ["--networks=res1d_maxpool", "--dtypes=float32", "--batches=24,96"]
    assert gpu_plan.main([f"--output={tmp_path}", *given]) == 0
    page = (tmp_path / "gpu_plan.md").read_text()
    assert "| res1d_maxpool | H100 | 24 | float32 |" in page
    assert "| res1d_maxpool | H100 | 96 | float32 |" in page
    assert page.splitlines()[-1].startswith("| res1d_maxpool | H100 | float32 | ")
