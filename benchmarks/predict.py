"""Scoring a folder of records, end to end, against reading and scoring them one after the other."""

import contextlib
import io
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.input import per_item
from benchmarks.records import simulated
from benchmarks.timing import Row, alternate, contender, cores

BATCH, LENGTH = 24, 4096
# Width -> records: with the published width the network takes all the time, with 16 it does not.
COUNTS = {128: 48, 16: 480}


def measure(*, full: bool) -> tuple[list[Row], dict]:
    """Returns a row of records/s for each width."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for width, count in COUNTS.items():
            records = simulated(Path(scratch), count)
            with ExitStack() as stack:
                makes = {"ours": our_folder, "peer": torch_folder}
                running = {
                    name: stack.enter_context(contender(make, width, records, Path(scratch) / name))
                    for name, make in makes.items()
                }
                times = alternate(running, rounds=2 if width == 128 else 3)
            name = f"predict a folder, {count} records, width {width}"
            rate, peer = count / times["ours"], count / times["peer"]
            note = "PyTorch, reads, scores, writes in turn"
            rows.append(Row(name, rate, peer, "records/s", ">= the peer", rate >= peer, note))
    return rows, {}


def our_folder(width: int, records: Path, output: Path) -> Callable[[], None]:
    """`main.py --mode=predict` without its start: from .hea files to CSV files.

    Of each record the first window alone, as the peer has it.
    """
    from configs import default
    from resunet_lc_jax import predict
    from resunet_lc_jax.measures.thresholds import Thresholds
    from resunet_lc_jax.runs import workdir
    from resunet_lc_jax.runs.kept_thresholds import Checkpoint, Kept
    from resunet_lc_jax.runs.open_run import OpenRun
    from resunet_lc_jax.runs.prediction_folder import begun
    from resunet_lc_jax.runs.prediction_tables import write_predictions
    from tfds_physionet.reading.finding import find_records

    config = default.get_config()
    config.model.width, config.eval.batch_size, config.eval.windows = width, BATCH, "first"
    model = workdir.build_model(config)
    variables = workdir.initial_variables(config, model)
    run = OpenRun(output, config, model, variables, Checkpoint(0, ""), Kept(Thresholds.fixed()))

    def call() -> None:
        found = find_records(records)
        errors = predict.unreadable_folders(found)
        with contextlib.redirect_stdout(io.StringIO()), begun(output, {}) as journal:
            scored = predict.score_found(run, found, errors, "predicting", journal)
            decided = ((record, scores, run.thresholds.decide(scores)) for record, scores in scored)
            write_predictions(decided, errors, found, output)

    return call


def torch_folder(width: int, records: Path, output: Path) -> Callable[[], None]:
    """The same with the twin, in turn: read a batch, score it, write its CSV files."""
    import torch

    from benchmarks.torch_twin import create_twin
    from tfds_physionet.diagnoses import DIAGNOSES

    torch.set_num_threads(cores())
    twin = create_twin("resunet_lc", width=width).eval()
    classes = ",".join("|".join(diagnosis.codes) for diagnosis in DIAGNOSES)
    output.mkdir(exist_ok=True)

    def call() -> None:
        rng = np.random.default_rng(0)
        headers = sorted(records.rglob("*.hea"))
        for start in range(0, len(headers), BATCH):
            some = headers[start : start + BATCH]
            signals = torch.tensor(np.stack([per_item(header, rng) for header in some]))
            with torch.inference_mode():
                scores = torch.sigmoid(twin(signals)).numpy()
            for header, row in zip(some, scores, strict=True):
                lines = [f"#{header.stem}", classes]
                lines += [",".join(str(int(s >= 0.5)) for s in row), ",".join(map(str, row))]
                (output / f"{header.stem}.csv").write_text("\n".join(lines) + "\n")

    return call
