"""Plans training on GPUs without one: memory, traffic and structure of the compiled step.

  python -m benchmarks.gpu_plan --output=DIR [--networks=resunet_lc,...] [--batches=24,96]
      [--dtypes=float32,bfloat16] [--cards=H100,A100,H200] [--devices=1,8] [--remat]

Compiles every combination for cards that need not be there, each in a process of its own (about a
minute on two cores), and writes DIR/gpu_plan.json and DIR/gpu_plan.md; what earlier runs wrote
there stays in both. On several devices: under jit, under pmap, and with each device's own
statistics. Nothing is measured but the seconds to lower and compile: the step's time is computed
from public figures, and so is the largest batch, from two of them.
"""

import argparse
import dataclasses
import importlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu_cards import CARDS
from benchmarks.gpu_program import Case, Compiled, compile_case, missing

# Of a card's memory, as JAX takes it at the start (XLA_PYTHON_CLIENT_MEM_FRACTION).
SHARE = 0.75
# Elements of a tensor that cuDNN can address.
_ELEMENTS = 2**31 - 1


def main(arguments: list[str] | None = None) -> int:
    """Runs the command."""
    # Imported here: the names of the networks, and with them JAX.
    from resunet_lc_jax.models import MODEL_NAMES

    networks = [name for name in MODEL_NAMES if name != "resu2d_lc"]  # resunet_lc's other name
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_plan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, help="folder of the results")
    parser.add_argument("--networks", default=",".join(networks))
    parser.add_argument("--batches", default="24,96", help="examples on each device")
    parser.add_argument("--dtypes", default="float32,bfloat16")
    parser.add_argument("--cards", default="H100", help=f"of {', '.join(CARDS)}")
    parser.add_argument("--devices", default="1")
    parser.add_argument("--remat", action="store_true", help="with blocks computed anew")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        case = Case(**json.loads(options.one))
        print(json.dumps(account(case, compile_case(case))))
        return 0
    if not options.output:
        parser.error("--output is missing: the folder of the results")
    for chosen, known in ((options.networks, MODEL_NAMES), (options.cards, CARDS)):
        if unknown := set(chosen.split(",")) - set(known):
            parser.error(f"{unknown.pop()!r} is not known; choose from {', '.join(known)}")
    if lacking := missing():
        parser.error(lacking)

    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "gpu_plan.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text()) if path.is_file() else []
    for case in _cases(options):
        one = json.dumps(dataclasses.asdict(case))
        command = [sys.executable, "-m", "benchmarks.gpu_plan", f"--one={one}"]
        environment = os.environ | {"JAX_PLATFORMS": "cpu"}  # looks for no card
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            print(ended.stderr, file=sys.stderr)
            return ended.returncode
        row = json.loads(ended.stdout.splitlines()[-1])
        rows = [other for other in rows if other["case"] != row["case"]] + [row]
        path.write_text(json.dumps(rows, indent=1) + "\n")
        (options.output / "gpu_plan.md").write_text(page(rows))
        print(table([row]).splitlines()[-1], flush=True)
    return 0


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    sizes = [int(size) for size in options.batches.split(",")]
    devices = [int(count) for count in options.devices.split(",")]
    names = (options.networks, options.cards, options.dtypes)
    for network, card, dtype in itertools.product(*(chosen.split(",") for chosen in names)):
        for count, size in itertools.product(devices, sizes):
            ways = [("jit", "global"), ("pmap", "global"), ("pmap", "device")]
            for mode, statistics in ways if count > 1 else ways[:1]:
                yield Case(
                    network=network,
                    batch=size,
                    dtype=dtype,
                    devices=count,
                    mode=mode,
                    statistics=statistics,
                    remat=options.remat,
                    card=card,
                    length=_length(network),
                )


def _length(network: str) -> int:
    """Samples of the network's own config."""
    name = "default" if network.startswith("resu") else network
    return importlib.import_module(f"configs.{name}").get_config().data.length


def account(case: Case, compiled: Compiled) -> dict[str, Any]:
    """A case and its figures: bytes, operations and seconds of one device."""
    from benchmarks.flops import training_flops

    program = compiled.program
    exchanged = {
        kind: program.collectives(kind)
        for kind in ("all-reduce", "all-gather", "reduce-scatter", "all-to-all")
    }
    moves = program.moves(case.batch)
    return {
        "case": dataclasses.asdict(case),
        "temporary": compiled.temporary,
        "arguments": compiled.arguments,
        "flops": training_flops(case.network, batch=case.batch, length=case.length),
        "bytes": sum(map(program.bytes_moved, program.steps)),
        "kernels": len(program.steps),
        "convolutions": len(program.convolutions),
        "collectives": {kind: [len(x), sum(x)] for kind, x in exchanged.items() if x},
        "moves": [len(moves), sum(map(program.bytes_moved, moves))],
        "largest_tensor": program.largest.size,
        "lowered": compiled.lowered,
        "lower_s": round(compiled.lower_s, 1),
        "compile_s": round(compiled.compile_s, 1),
        "computed_s": computed_seconds(case, compiled),
    }


def computed_seconds(case: Case, compiled: Compiled) -> float:
    """A step's time if each kernel ran at the card's public limit: of arithmetic or of memory.

    An all-reduce takes a ring's 2 (n - 1) / n times its bytes over one direction of NVLink.
    Launches, waiting and everything else that a real kernel loses are not in it, nor what the cache
    saves.
    """
    card, program = CARDS[case.card], compiled.program
    spent = sum(
        max(
            program.bytes_moved(step) / card.bandwidth, program.flops(step) / card.peaks[case.dtype]
        )
        for step in program.steps
        if not step.kind.startswith("all-reduce")
    )
    ring = 2 * (case.devices - 1) / case.devices / card.link
    return spent + ring * sum(program.collectives("all-reduce"))


def table(rows: list[dict[str, Any]]) -> str:
    """The cases as a Markdown table."""
    lines = [
        "| network | card | batch | dtype | temporary memory | TFLOP | GB moved | kernels, of them "
        "cuDNN | all-reduces | moves | lower, compile | computed step | computed records/s |",
        "|:--|:--|--:|:--|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        case = Case(**row["case"])
        several = f"{case.devices} x " if case.devices > 1 else ""
        way = f", {case.mode}" if case.devices > 1 else ""
        way += ", own statistics" if case.statistics == "device" else ""
        way += ", remat" if case.remat else ""
        count, size = row["collectives"].get("all-reduce", (0, 0))
        exchanged = f"{count}, {size / 1e6:.0f} MB" if count else ""
        moves, moved = row["moves"]
        rate = case.batch * case.devices / row["computed_s"]
        lines.append(
            f"| {case.network}{way} | {several}{case.card} | {several}{case.batch} | {case.dtype} "
            f"| {row['temporary'] / 1e9:.2f} GB | {row['flops'] / 1e12:.2f} "
            f"| {row['bytes'] / 1e9:.1f} | {row['kernels']:,}, {row['convolutions']} "
            f"| {exchanged} | {f'{moves}, {moved / 1e9:.2f} GB' if moves else ''} "
            f"| {row['lower_s']:.0f} s, {row['compile_s']:.0f} s "
            f"| {row['computed_s'] * 1e3:.1f} ms | {rate:,.0f} |"
        )
    return "\n".join(lines)


def largest_batches(rows: list[dict[str, Any]]) -> list[tuple[Case, int, str]]:
    """The largest batch on one device, where two sizes are there, and what bounds it.

    Memory is a constant and so much an example; the line goes through the least and the greatest.
    """
    groups: dict[Case, list[dict[str, Any]]] = {}
    for row in rows:
        case = Case(**row["case"])
        if case.devices == 1:
            groups.setdefault(dataclasses.replace(case, batch=0), []).append(row)
    found = []
    for case, group in groups.items():
        sizes = {row["case"]["batch"]: row for row in group}
        low, high = min(sizes), max(sizes)
        if low == high:
            continue
        memory = {size: sizes[size]["temporary"] + sizes[size]["arguments"] for size in (low, high)}
        each = (memory[high] - memory[low]) / (high - low)
        room = SHARE * CARDS[case.card].memory - (memory[high] - high * each)
        addressed = _ELEMENTS // (sizes[high]["largest_tensor"] // high)
        fits = int(room / each)
        bound = "memory" if fits <= addressed else "cuDNN's 2^31 elements of a tensor"
        found.append((case, min(fits, addressed), bound))
    return found


def page(rows: list[dict[str, Any]]) -> str:
    """Both tables as a page."""
    lines = ["# Compiled for GPUs, not run", "", table(rows), ""]
    if batches := largest_batches(rows):
        lines += ["| network | card | dtype | largest batch a device | bound by |"]
        lines += ["|:--|:--|:--|--:|:--|"]
        for case, size, bound in batches:
            name = f"{case.network}{', remat' if case.remat else ''}"
            lines.append(f"| {name} | {case.card} | {case.dtype} | {size:,} | {bound} |")
        lines.append("")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
