"""Peak memory of a training step, of a process that takes nothing but it."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection

from benchmarks.networks import LAYOUTS, our_step, torch_step
from benchmarks.timing import Row

LENGTH = 4096
SIZES, FULL_SIZES = (4,), (4, 24)
# Name -> rematerialised or not, parts of the batch, and the largest share of PyTorch's at 24.
SETTINGS: dict[str, tuple[bool, int, float | None]] = {
    "": (False, 1, 1.0),
    ", rematerialised": (True, 1, 0.5),
    ", accumulate_steps=3": (False, 3, None),
}


def measure(*, full: bool) -> tuple[list[Row], dict]:
    """Returns rows of GB: everything kept, blocks rematerialised, the batch in three parts."""
    rows = []
    for size in FULL_SIZES if full else SIZES:
        peer = min(peak_gb(torch_step, size, LENGTH, layout) for layout in LAYOUTS)
        for setting, (remat, parts, share) in SETTINGS.items():
            if size % parts:
                continue
            ours = peak_gb(our_step, size, LENGTH, remat, parts)
            # The target is for batch 24: at 4 the libraries themselves take most of it.
            target = f"ratio <= {share}" if size == 24 and share else ""
            met = ours <= share * peer if size == 24 and share else None
            name = f"peak memory, batch {size}{setting}"
            rows.append(Row(name, ours, peer, "GB", target, met, "PyTorch"))
    return rows, {}


def peak_gb(make: Callable, *arguments: object) -> float:
    """The largest resident memory (GB) of a process that makes two calls."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_measure_here, args=(there, make, arguments))
    process.start()
    there.close()
    peak = here.recv()
    process.join()
    return peak


def _measure_here(connection: Connection, make: Callable, arguments: tuple) -> None:
    call = make(*arguments)
    call()
    call()
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
