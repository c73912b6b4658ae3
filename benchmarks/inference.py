"""Scores of a batch against PyTorch and ONNX Runtime: our folded network from int16 samples on."""

from benchmarks.networks import FORMS, onnx_scores, our_scores, torch_scores
from benchmarks.timing import Row, alternate, best_peer, contenders, faster, in_words

TARGETS = {1: 0.85, 8: 0.85, 24: 0.85}
LENGTH = 4096


def measure(*, full: bool) -> tuple[list[Row], dict]:
    """Returns a row for each batch size; the fastest peer is the one that counts."""
    rows = []
    for size, target in TARGETS.items():
        makes: dict[str, tuple] = {"ours": (our_scores, size, LENGTH)}
        makes |= {form: (torch_scores, size, LENGTH, form) for form in FORMS}
        makes["ONNX Runtime"] = (onnx_scores, size, LENGTH)
        with contenders(makes) as running:
            times = alternate(running, rounds=7 if size < 24 else 3)
        name = f"inference, batch {size}, {LENGTH} samples"
        rows.append(faster(name, times["ours"], best_peer(times)[1], target, note=in_words(times)))
    return rows, {}
