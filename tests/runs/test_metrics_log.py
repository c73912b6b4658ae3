"""metrics.jsonl."""

import json
import math
from pathlib import Path

from resunet_lc_jax.runs.metrics_log import MetricsWriter, read_metrics


def test_rows_come_back_as_flat_json_with_their_step(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path, step=0) as writer:
        writer.write(1, {"loss": 0.5})
        writer.write(2, {"loss": math.nan})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "loss": 0.5},
        {"step": 2, "loss": None},
    ]


def test_rows_after_the_restored_step_and_a_torn_row_are_removed(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path, step=0) as writer:
        for step in (1, 2, 3):
            writer.write(step, {"loss": 0.1 * step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    with MetricsWriter(tmp_path, step=2) as writer:
        writer.write(3, {"loss": 7.0})
    assert [(row["step"], row["loss"]) for row in read_metrics(tmp_path)] == [
        (1, 0.1),
        (2, 0.2),
        (3, 7.0),
    ]
