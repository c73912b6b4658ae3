"""What a run writes as it goes: metrics.jsonl always, TensorBoard where it is installed."""

import importlib.util
import json
import math
from pathlib import Path
from types import TracebackType
from typing import Self

from resunet_lc_jax.devices import hosts
from tfds_physionet.files import replacing

_VALIDATION = "validation_"  # before the name of a metric that a validation measured


class MetricsWriter:
    """Appends one flat JSON object a line to metrics.jsonl; a context manager.

    The rows depend on the run alone, not on how fast it went: two runs of one config on one
    machine write the same bytes, interrupted or not.
    """

    def __init__(self, workdir: Path, *, step: int) -> None:
        """Opens the file; rows of later steps than `step`, left by a lost run, are removed.

        Of several processes only the first writes.
        """
        self._file = self._tensorboard = None
        if not hosts.is_main():
            return
        path = workdir / "metrics.jsonl"
        kept = [line for line in _whole_lines(path) if json.loads(line)["step"] <= step]
        with replacing(path) as beside:
            beside.write_text("".join(kept))
        self._file = path.open("a", buffering=1)
        if importlib.util.find_spec("tensorboardX"):
            from tensorboardX import SummaryWriter

            self._tensorboard = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Closes the files."""
        if self._file:
            self._file.close()
        if self._tensorboard:
            self._tensorboard.close()

    def write(self, step: int, values: dict[str, float]) -> None:
        """Writes the values of one step; NaN becomes null."""
        if self._file is None:
            return
        row = {"step": step} | {k: v if math.isfinite(v) else None for k, v in values.items()}
        self._file.write(json.dumps(row) + "\n")
        if self._tensorboard:
            for name, value in values.items():
                self._tensorboard.add_scalar(name, value, step)

    def write_validation(self, step: int, metrics: dict[str, float]) -> None:
        """Writes what a validation measured at a step."""
        self.write(step, {_VALIDATION + name: value for name, value in metrics.items()})


def read_metrics(workdir: Path) -> list[dict[str, float]]:
    """Returns the rows of a run's metrics.jsonl, oldest first."""
    return [json.loads(line) for line in _whole_lines(workdir / "metrics.jsonl")]


def read_validations(workdir: Path) -> dict[int, dict[str, float]]:
    """Returns what each validation of a run measured, by its step, oldest first."""
    found = {}
    for row in read_metrics(workdir):
        measured = {
            name.removeprefix(_VALIDATION): value
            for name, value in row.items()
            if name.startswith(_VALIDATION)
        }
        if measured:
            found[int(row["step"])] = measured
    return found


def _whole_lines(path: Path) -> list[str]:
    """The lines that end; the last one does not where the run was killed while it wrote."""
    if not path.is_file():
        return []
    return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
