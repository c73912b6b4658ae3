"""What a run writes as it goes: metrics.jsonl always, TensorBoard where it is installed."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Self

from resunet_lc_jax.devices import hosts
from resunet_lc_jax.runs.screen import say
from tfds_physionet.files import replacing

_VALIDATION = "validation_"  # before the name of a metric that a validation measured


class MetricsWriter:
    """Appends one flat JSON object a line to metrics.jsonl; a context manager.

    The rows depend on the run alone, not on how fast it went: two runs of one config on one
    machine write the same bytes, interrupted or not.
    """

    def __init__(self, workdir: Path, *, step: int, validated: bool = True) -> None:
        """Opens the file; rows of later steps than `step`, left by a lost run, are removed.

        Of several processes only the first writes.

        Args:
          workdir: The run's folder.
          step: Where the run stands.
          validated: Whether its checkpoint of that step knows of the step's validation; else that
            one is removed too, to be made again.

        Raises:
          ValueError: The file is damaged.
        """
        self._file = self._tensorboard = None
        if not hosts.is_main():
            return
        path = workdir / "metrics.jsonl"
        if step > 0 and not path.is_file():
            say(f"{path}: nothing is there of the first {step:,} steps; it begins here")
        kept = [
            row
            for row in read_metrics(workdir)
            if row["step"] < step or (row["step"] == step and (validated or not _measured(row)))
        ]
        with replacing(path) as beside:
            beside.write_text("".join(json.dumps(row) + "\n" for row in kept))
        self._file = path.open("a", buffering=1)
        if importlib.util.find_spec("tensorboardX"):
            from tensorboardX import SummaryWriter

            self._tensorboard = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *raised: object) -> None:
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
    """Returns the rows of a run's metrics.jsonl, oldest first.

    Raises:
      ValueError: A line is no row.
    """
    path = workdir / "metrics.jsonl"
    found = []
    for number, line in enumerate(_whole_lines(path), start=1):
        try:
            row = json.loads(line)
            if not isinstance(row["step"], int):
                raise ValueError("its step is no whole number")
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}: no row of a run's log ({line.strip()[:60]!r}: {error}); "
                "take the line out, or put the file back as it was"
            ) from error
        found.append(row)
    return found


def read_validations(workdir: Path) -> dict[int, dict[str, float]]:
    """Returns what each validation of a run measured, by its step, oldest first."""
    measured = [(int(row["step"]), _measured(row)) for row in read_metrics(workdir)]
    return {step: values for step, values in measured if values}


def _measured(row: dict[str, float]) -> dict[str, float]:
    """What a validation measured, of a row."""
    return {
        name.removeprefix(_VALIDATION): value
        for name, value in row.items()
        if name.startswith(_VALIDATION)
    }


def _whole_lines(path: Path) -> list[str]:
    """The lines that end; the last one does not where the run was killed while it wrote."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8", errors="replace")
    return [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
