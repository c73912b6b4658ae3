"""The first hour with a GPU: this project beside PyTorch on the cards that are there.

  python -m benchmarks.gpu --output=DIR [--only=training,inference]

Writes DIR/gpu.md, results.json and plots, after every measurement. Each has a process of its own;
one that fails, for want of a CUDA build of PyTorch, say, is told with its reason and the rest goes
on. Without a GPU everything runs small on two simulated devices: that shows that the command works,
and its times mean nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.gpu_report import write_report

REPOSITORY = Path(__file__).resolve().parents[1]
PARTS = ("parity", "training", "inference", "scaling", "input", "determinism")
LIMIT_S = 150  # of one measurement
WHOLE_LIMIT_S = 570  # what would begin later is left out
Sizes = dict[str, Any]
FULL: Sizes = {"network": "resunet_lc", "batch": 24, "length": 4096, "width": 128}
SMALL: Sizes = {"network": "res1d_maxpool", "batch": 4, "length": 256, "width": 8}


@dataclass(frozen=True)
class Measurement:
    """One process.

    Attributes:
      part: Of `PARTS`.
      name: What the table calls it.
      measure: Of `gpu_measures.MEASURES`, or 'tests'.
      arguments: Its arguments.
      flags: Of XLA.
    """

    part: str
    name: str
    measure: str
    arguments: dict[str, Any] = field(default_factory=dict)
    flags: str = ""


def plan(sizes: Sizes, devices: int, *, gpu: bool) -> list[Measurement]:
    """What is measured, the most telling first.

    Args:
      sizes: network, batch, length and width.
      devices: How many there are.
      gpu: Whether they are GPUs.
    """
    device = {"device": "cuda" if gpu else "cpu"}
    tests = ["tests/models/test_torch_twin.py"]
    tests = tests if gpu else [*tests, "-k", "strictly and res1d"]
    found = [Measurement("parity", "parity with PyTorch", "tests", {"arguments": tests})]
    kinds: dict[str, dict[str, str]] = {
        "ours, float32 (TF32)": {},
        "ours, bfloat16": {"dtype": "bfloat16"},
        "ours, float32 in full": {"precision": "highest"},
    }
    twins: dict[str, dict[str, bool]] = {
        "PyTorch, TF32": {"tf32": True},
        "PyTorch, AMP bfloat16, channels_last": {"amp": True, "channels_last": True},
        "PyTorch, AMP bfloat16, channels_last, compiled": {
            "amp": True,
            "channels_last": True,
            "compiled": True,
        },
        "PyTorch, TF32, channels_last, compiled": {
            "tf32": True,
            "channels_last": True,
            "compiled": True,
        },
        "PyTorch, TF32, channels_last": {"tf32": True, "channels_last": True},
        "PyTorch, float32 in full": {},
    }
    if not gpu:
        twins = {name: how for name, how in twins.items() if not how.get("compiled")}
    for part, measure, training in (("training", "ours", True), ("inference", "our_scores", False)):
        for name, how in kinds.items():
            found.append(Measurement(part, name, measure, sizes | how))
        for name, how in twins.items():
            options = sizes | how | device | {"training": training}
            found.append(Measurement(part, name, "torch_twin", options))
    counts = [count for count in (1, 2, 4, 8) if count <= devices] if devices > 1 else []
    for mode in ("pmap", "jit"):
        for count in counts:
            weak = {"devices": count, "mode": mode, "batch": count * sizes["batch"]}
            found.append(Measurement("scaling", f"weak, {mode}, {count}", "ours", sizes | weak))
        for count in counts:
            strong = {"devices": count, "mode": mode, "batch": counts[-1] * sizes["batch"]}
            found.append(Measurement("scaling", f"strong, {mode}, {count}", "ours", sizes | strong))
    data = {"records": 500, "steps": 40} if gpu else {"records": 40, "steps": 3}
    found.append(Measurement("input", "fed by the stream", "fed", sizes | data))
    for number in (1, 2):
        for name, flags in (("deterministic", "--xla_gpu_deterministic_ops=true"), ("default", "")):
            flags = flags if gpu else ""
            name = f"{name}, run {number}"
            found.append(Measurement("determinism", name, "ours", sizes, flags))
    order = {name: number for number, name in enumerate(PARTS)}
    return sorted(found, key=lambda one: order[one.part])


def run(one: Measurement, environment: dict[str, str], limit_s: float) -> dict[str, Any]:
    """Measures in a process of its own: its numbers, or {'failed': reason}."""
    begun = time.perf_counter()
    flags = f"{environment.get('XLA_FLAGS', '')} {one.flags}".strip()
    if one.measure == "tests":
        command = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *one.arguments["arguments"]]
        # The tests' tolerances are float32's; a GPU would take TF32.
        environment = environment | {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
    else:
        command = ["-m", "benchmarks.gpu", f"--one={json.dumps([one.measure, one.arguments])}"]
    try:
        ended = subprocess.run(
            [sys.executable, *command],
            env=environment | {"XLA_FLAGS": flags},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=limit_s,
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {limit_s:.0f} s"}
    lines = ended.stdout.strip().splitlines() or [""]
    if ended.returncode:
        said = (lines if one.measure == "tests" else ended.stderr.strip().splitlines()) or [""]
        return {"failed": f"{said[-1][:200]} (exit status {ended.returncode})"}
    result = {"result": lines[-1]} if one.measure == "tests" else json.loads(lines[-1])
    return result | {"whole_s": time.perf_counter() - begun}


def found_devices() -> tuple[str, str, int]:
    """Platform, name and number of JAX's devices, asked in another process."""
    told = (
        "import jax; d = jax.devices(); print(d[0].platform, len(d), d[0].device_kind, sep='\\n')"
    )
    ended = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    platform, count, kind = ended.stdout.strip().splitlines()[-3:]
    return platform, kind, int(count)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, help="folder of the results")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        from benchmarks.gpu_measures import MEASURES

        measure, given = json.loads(options.one)
        print(json.dumps(MEASURES[measure](**given)))
        return 0
    chosen = options.only.split(",")
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"no part is called {unknown.pop()!r}; choose from {', '.join(PARTS)}")
    if options.output is None:
        parser.error("--output names the folder of the results")
    options.output.mkdir(parents=True, exist_ok=True)

    platform, kind, count = found_devices()
    environment, gpu = dict(os.environ), platform in ("gpu", "cuda")
    # PyTorch's processes come between ours: none may take all memory in advance.
    environment["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    if gpu:
        environment.setdefault("JAX_PLATFORMS", "cuda,cpu")  # tests would choose the CPU
    else:
        count = 2
        environment["JAX_PLATFORMS"] = "cpu"
        simulated = f" --xla_force_host_platform_device_count={count}"
        environment["XLA_FLAGS"] = environment.get("XLA_FLAGS", "") + simulated
        print("There is no GPU: all runs small on simulated devices; the times mean nothing.")
    sizes = FULL if gpu else SMALL
    results: dict[str, Any] = {
        "gpu": gpu,
        "device": kind,
        "devices": count,
        "sizes": sizes,
        "measured": [],
    }
    begun = time.perf_counter()
    for one in plan(sizes, count, gpu=gpu):
        if one.part not in chosen:
            continue
        left = WHOLE_LIMIT_S - (time.perf_counter() - begun)
        numbers = run(one, environment, min(LIMIT_S, left)) if left > 5 else {"failed": "no time"}
        entry = {"part": one.part, "name": one.name, "arguments": one.arguments, **numbers}
        results["measured"].append(entry)
        print(f"{one.part}: {one.name}: {numbers}", flush=True)
        (options.output / "results.json").write_text(json.dumps(results, indent=2) + "\n")
        write_report(results, options.output)
    return 1 if all("failed" in entry for entry in results["measured"]) else 0


if __name__ == "__main__":
    raise SystemExit(main())
