"""Measures the memory of one training step with and without rematerialisation.

  python -m benchmarks.memory_table --output=docs/memory.md [--batch_sizes=4,8,24] [--run=8]

For each batch size and setting, in a process of its own: the compiled program's own account of its
temporary memory, and, for the sizes of --run, the process's real peak over two steps and the time
of the second. The largest sizes need what the table says; leave them out on a smaller machine.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "remat": {"remat": True},
    "accumulate_steps=3": {"parts": 3},
    "remat,accumulate_steps=3": {"remat": True, "parts": 3},
}
"""What the table compares, as arguments of `measure`."""

_BEGIN, _END = "<!-- table: begin -->", "<!-- table: end -->"


def measure(batch_size: int, *, run: bool, remat: bool = False, parts: int = 1) -> dict[str, float]:
    """Compiles, and perhaps runs, the step of the full-width network on 12 leads, 4096 samples.

    Returns:
      GFLOP, temporary and state memory (MiB), seconds to compile; where it ran: the process's peak
      (MiB) and the seconds of a step.
    """
    import jax
    import numpy as np
    import optax

    from resunet_lc_jax import optim, parallel, steps
    from resunet_lc_jax.models import create_model
    from resunet_lc_jax.state import create_state, init_variables

    model = create_model("resunet_lc", remat=remat)
    tx = optim.create_optimizer("adam", optax.constant_schedule(1e-3))
    devices = parallel.choose_devices("auto", jax.devices()[:1])
    step = partial(steps.train_step, model=model, tx=tx, seed=0, accumulate_steps=parts)
    state = create_state(init_variables(model, seed=0, num_leads=12, length=4096), tx)
    batch = parallel.place_batch(_batch(batch_size), devices)
    begun = time.perf_counter()
    compiled_step: Any = parallel.compile_train_step(step, devices)
    program = compiled_step.lower(state, batch).compile()
    compiled = time.perf_counter()
    memory, cost = program.memory_analysis(), program.cost_analysis()
    result = {
        "gflop": cost["flops"] / 1e9,
        "temporary": memory.temp_size_in_bytes / 2**20,
        "state": memory.argument_size_in_bytes / 2**20,
        "compile_s": compiled - begun,
    }
    if run:
        for _ in range(2):
            begun = time.perf_counter()
            state, values = program(state, batch)
            assert np.isfinite(values["loss"])
        result["step_s"] = time.perf_counter() - begun
        result["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return result


def _batch(size: int) -> dict:
    import numpy as np

    rng = np.random.default_rng(0)
    return {
        "signal": rng.normal(0, 300, (size, 12, 4096)).astype(np.int16),
        "lead_mean": np.zeros((size, 12), np.float32),
        "lead_std": np.full((size, 12), 300, np.float32),
        "lead_present": np.ones((size, 12), bool),
        "labels": (rng.random((size, 26)) < 0.1).astype(np.float32),
        "mask": np.ones(size, np.float32),
        "index": np.arange(size, dtype=np.int32),
    }


def table(rows: list[dict]) -> str:
    """The measurements as a Markdown table."""
    lines = [
        "| batch | setting | temporary | of plain | real peak | GFLOP | step | compile |",
        "|--:|:--|--:|--:|--:|--:|--:|--:|",
    ]
    plain = {row["batch_size"]: row["temporary"] for row in rows if row["setting"] == "plain"}
    for row in rows:
        whole = plain.get(row["batch_size"])
        share = f"{row['temporary'] / whole:.0%}" if whole else ""
        peak = f"{row['peak']:,.0f} MiB" if "peak" in row else ""
        step = f"{row['step_s']:.1f} s" if "step_s" in row else ""
        lines.append(
            f"| {row['batch_size']} | {row['setting']} | {row['temporary']:,.0f} MiB | "
            f"{share} | {peak} | {row['gflop']:,.0f} | {step} | {row['compile_s']:.0f} s |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures each size and setting in a process of its own; writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="Markdown; the table takes its place in it")
    parser.add_argument("--batch_sizes", default="4,8,24")
    parser.add_argument("--run", default="", help="sizes whose steps are run, too")
    parser.add_argument("--settings", default="plain;remat", help=f"of: {'; '.join(SETTINGS)}")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(**json.loads(arguments.one))))
        return
    run = arguments.run.split(",")
    rows = []
    for size in arguments.batch_sizes.split(","):
        for setting, changes in SETTINGS.items():
            if setting not in arguments.settings.split(";"):
                continue
            one = json.dumps({"batch_size": int(size), "run": size in run, **changes})
            command = [sys.executable, "-m", "benchmarks.memory_table", f"--one={one}"]
            ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            measured = json.loads(ended.stdout.splitlines()[-1])
            rows.append({"batch_size": int(size), "setting": setting, **measured})
            print(json.dumps(rows[-1]), flush=True)
    print(table(rows))
    if arguments.output:
        text = arguments.output.read_text() if arguments.output.is_file() else ""
        before, _, rest = text.partition(_BEGIN)
        after = rest.partition(_END)[2]
        arguments.output.write_text(f"{before}{_BEGIN}\n{table(rows)}\n{_END}{after}")


if __name__ == "__main__":
    main()
