"""Training steps against PyTorch, how they grow with batch and length, and how far the limit is."""

from benchmarks import layers
from benchmarks.networks import COMPILED, FORMS, LAYOUTS, our_step, torch_step
from benchmarks.timing import Row, alternate, best_peer, contenders, faster, in_words, limit

TARGETS = {4: 1.0, 8: 0.85, 24: 0.85}
LENGTH = 4096
COMPILE_S = 60


def measure(*, full: bool) -> tuple[list[Row], dict]:
    """Returns the rows and the curves {'batch': ..., 'length': ...} of step times (s)."""
    rows: list[Row] = []
    curves: dict[str, dict[str, dict]] = {"batch": {}, "length": {}}
    sizes = [(1, LENGTH), (4, LENGTH), (8, LENGTH)] + [(24, LENGTH)] * full
    sizes += [(4, 1024), (4, 2048)]
    for size, length in sizes:
        times, compile_s = compare(size, length)
        _, peer_s = best_peer(times)
        name = f"training step, batch {size}, {length} samples"
        note = in_words(times)
        if length == LENGTH and size in TARGETS:
            rows.append(faster(name, times["ours"], peer_s, TARGETS[size], note=note))
        else:
            rows.append(Row(name, times["ours"], peer_s, "s", note=note))
        if length == LENGTH:
            rows.append(
                limit(f"starting and compiling it, batch {size}", compile_s, "s", COMPILE_S)
            )
            for side, value in (("ours", times["ours"]), ("PyTorch", peer_s)):
                curves["batch"].setdefault(side, {})[size] = value
        if size == 4:
            for side, value in (("ours", times["ours"]), ("PyTorch", peer_s)):
                curves["length"].setdefault(side, {})[length] = value
    layer_rows, curves["layers"] = layers.measure()
    return rows + layer_rows, curves


def compare(size: int, length: int) -> tuple[dict[str, float], float]:
    """Median seconds of a step of ours and of the twin's forms, and ours' seconds to compile.

    At batch 24 they do not fit in memory at once and follow one another, without the slowest;
    compiled, which takes a minute, is the twin at the batches of 8 and 24.
    """
    forms = {8: FORMS, 24: ("channels_last", COMPILED)}.get(size, LAYOUTS)
    makes: dict[str, tuple] = {"ours": (our_step, size, length)}
    makes |= {form: (torch_step, size, length, form) for form in forms}
    times: dict[str, float] = {}
    compile_s = 0.0
    together = [list(makes)] if size < 24 else [[name] for name in makes]
    for names in together:
        with contenders({name: makes[name] for name in names}) as running:
            times |= alternate(running, rounds=4 if size <= 4 else 2)
            if "ours" in running:
                compile_s = running["ours"].made_s
    return times, compile_s
