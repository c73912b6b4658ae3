"""Watches a run for steps whose numbers are not finite, without waiting for the step under way."""

import json
import math
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import jax

from resunet_lc_jax.devices import hosts
from tfds_physionet.files import write_json
from tfds_physionet.wording import shortlist

_LAG = 2  # steps that the devices may be ahead of the check


class Watch:
    """Names the steps that were not finite, and stops the run after too many in a row.

    `steps.train_step` leaves the network as it is where a step is not finite, so a check that comes
    late loses nothing; `settle` before anything is written of the state or the metrics. What was
    found stands in not_finite.json: step, loss, gradient_norm and the batch's records. A run that
    is taken up again counts on from there.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        step: int,
        allowed: int,
        write: Callable[[int, dict[str, float]], None],
        say: Callable[[str], None],
    ) -> None:
        """Begins at a step.

        Args:
          workdir: The run's folder.
          step: Steps taken so far.
          allowed: Steps in a row that may be skipped.
          write: Takes a step and a row for metrics.jsonl.
          say: Takes what the user is to know.
        """
        self._path = workdir / "not_finite.json"
        self._allowed, self._write, self._say = allowed, write, say
        self._pending: deque[tuple[int, dict[str, jax.Array], Sequence[str]]] = deque()
        stored = json.loads(self._path.read_text()) if self._path.is_file() else []
        self._found = [row for row in stored if row["step"] <= step]

    def follow(self, step: int, values: dict[str, jax.Array], records: Sequence[str]) -> None:
        """Takes what a step returned and whose batch it was; checks an earlier one.

        Raises:
          FloatingPointError: More steps in a row were not finite than may be skipped.
        """
        self._pending.append((step, values, records))
        while len(self._pending) > _LAG:
            self._check(*self._pending.popleft())

    def settle(self) -> None:
        """Checks all steps so far; raises as `follow` does."""
        while self._pending:
            self._check(*self._pending.popleft())

    def _check(self, step: int, values: dict[str, jax.Array], records: Sequence[str]) -> None:
        if values["finite"]:
            return
        numbers = {name: float(values[name]) for name in ("loss", "gradient_norm")}
        names = hosts.joined(records)
        # JSON has no NaN and no infinity.
        written = {k: v if math.isfinite(v) else str(v) for k, v in numbers.items()}
        self._found.append({"step": step, **written, "records": names})
        if hosts.is_main():
            write_json(self._path, self._found)
        finite = all(map(math.isfinite, numbers.values()))
        found = "is not finite" if not finite else "would leave a state that is not finite"
        what = (
            f"step {step:,} {found} (loss {numbers['loss']:.4g}, gradient norm "
            f"{numbers['gradient_norm']:.4g}); its records: {shortlist(names, most=8)}; "
            f"all in {self._path}"
        )
        bad = {row["step"] for row in self._found}
        in_a_row = next(n for n in range(len(bad) + 1) if step - n not in bad)
        if in_a_row > self._allowed:
            raise FloatingPointError(
                f"{what}. The latest checkpoint is from before that. Look at these records, lower "
                "config.train.learning_rate, set config.train.clip_norm, or skip up to N such "
                "steps in a row with config.train.skip_not_finite=N"
            )
        self._write(step, {"skipped_steps": len(self._found)})
        self._say(f"skipped: {what}")
