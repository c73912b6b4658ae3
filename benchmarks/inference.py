"""Scores of a batch against PyTorch: our folded network from int16 samples to probabilities."""

from contextlib import ExitStack

from benchmarks.networks import LAYOUTS, our_scores, torch_scores
from benchmarks.timing import Row, alternate, best_peer, contender, faster

TARGETS = {1: 0.9, 8: 0.8, 24: 0.7}
LENGTH = 4096


def measure(*, full: bool) -> tuple[list[Row], dict]:
    """Returns a row for each batch size."""
    rows = []
    for size, target in TARGETS.items():
        with ExitStack() as stack:
            running = {"ours": stack.enter_context(contender(our_scores, size, LENGTH))}
            for layout in LAYOUTS:
                running[layout] = stack.enter_context(contender(torch_scores, size, LENGTH, layout))
            times = alternate(running, rounds=7 if size < 24 else 3)
        peer, peer_s = best_peer(times)
        name = f"inference, batch {size}, {LENGTH} samples"
        rows.append(faster(name, times["ours"], peer_s, target, note=f"PyTorch, {peer}"))
    return rows, {}
