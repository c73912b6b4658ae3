"""Measures the memory of one training step with and without rematerialisation.

  python -m benchmarks.memory_table --output=FILE [--batch_sizes=4,8,24] [--run=8]

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
from pathlib import Path
from typing import Any

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "remat": {"remat": True},
    "accumulate_steps=3": {"parts": 3},
    "remat,accumulate_steps=3": {"remat": True, "parts": 3},
}
"""What the table compares, as arguments of `measure`."""


def measure(batch_size: int, *, run: bool, remat: bool = False, parts: int = 1) -> dict[str, float]:
    """Compiles, and perhaps runs, the step of the full-width network on 12 leads, 4096 samples.

    Returns:
      GFLOP, temporary and state memory (MiB), seconds to start and compile; where it ran: the
      process's peak (MiB) and the seconds of a step.
    """
    import numpy as np

    from benchmarks.networks import compiled_step

    begun = time.perf_counter()
    program, state, batch = compiled_step(batch_size, 4096, remat=remat, parts=parts)
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
    parser.add_argument("--output", type=Path, help="a Markdown file")
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
        arguments.output.write_text(table(rows) + "\n")


if __name__ == "__main__":
    main()
