"""Checkpoints of the training state through Orbax: the latest ones, and the best one.

The only file that imports orbax.
"""

import contextlib
import math
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import jax
from orbax.checkpoint import v1 as ocp

from resunet_lc_jax.devices import hosts
from resunet_lc_jax.learning.state import TrainState
from resunet_lc_jax.runs import integrity

_WRITE_ERRORS = (OSError, ValueError, RuntimeError)  # what Orbax and TensorStore raise

METRIC = "auprc"
"""The validation metric by which the best checkpoint is chosen (macro AUPRC)."""


class Checkpoints:
    """The checkpoints of one run, in one folder; a context manager that waits for its saves.

    Keeps the two latest checkpoints and the one with the best validation metric. Saves run in the
    background, and a checkpoint appears under its final name only once it is whole.
    """

    def __init__(self, folder: Path, *, tidy: bool = True) -> None:
        """Opens (and makes) the folder.

        Args:
          folder: The folder.
          tidy: Drops what an interrupted save left behind, and sets aside a checkpoint that was
            damaged since it was written. Not while another process saves here.
        """
        if tidy and hosts.is_main():
            integrity.set_damaged_aside(folder)
        hosts.wait("checkpoints")
        self._folder = folder
        self._sealing = ThreadPoolExecutor(1)
        self._sealed: Future | None = None
        self._late = integrity.read_metrics(folder)
        self._checkpointer = ocp.training.Checkpointer(
            folder.resolve(),
            # The loop decides when to save; the default policy would skip a save silently while
            # another is running.
            save_decision_policy=ocp.training.save_decision_policies.FixedIntervalPolicy(1),
            preservation_policy=_Kept(self),
            cleanup_tmp_directories=tidy,
        )

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Waits for the save under way, then closes; a save's own error does not hide another."""
        try:
            if error is None:
                self.wait()
        finally:
            self._sealing.shutdown()
            with contextlib.suppress(*_WRITE_ERRORS):  # of a save whose error is raised already
                self._checkpointer.close()

    def wait(self) -> None:
        """Returns once the checkpoint under way is whole on disk.

        Raises:
          OSError: It could not be written; earlier ones are not touched.
        """
        if self._sealed is not None:
            sealed, self._sealed = self._sealed, None
            try:
                sealed.result()
            except _WRITE_ERRORS as error:
                raise self._unwritten(error) from error

    def _unwritten(self, error: BaseException) -> OSError:
        return OSError(
            f"a checkpoint could not be written to {self._folder} ({str(error).splitlines()[0]}); "
            "the ones before it are whole: free some space or give the folder back, and run the "
            "same command again"
        )

    @property
    def latest(self) -> int | None:
        """The step of the latest checkpoint; None if there is none."""
        checkpoint = self._checkpointer.latest
        return None if checkpoint is None else checkpoint.step

    @property
    def best(self) -> int | None:
        """The step of the best checkpoint; the latest if none carries a metric."""
        best = self._best_of(self._checkpointer.checkpoints)
        return self.latest if best is None else best

    def _best_of(self, checkpoints: Sequence[Any]) -> int | None:
        """The step of the best of Orbax's checkpoints, the earliest of equals; None: no metric."""
        known = {c.step: c.metrics or self._late.get(c.step) for c in checkpoints}
        measured = {step: metrics[METRIC] for step, metrics in known.items() if metrics}
        return max(measured, key=lambda step: (measured[step], -step), default=None)

    def validated(self, step: int) -> bool:
        """Whether a step's checkpoint is of after the step's validation."""
        return any(c.step == step and c.metrics for c in self._checkpointer.checkpoints)

    def save(self, state: TrainState, *, metric: float | None = None, wait: bool = False) -> None:
        """Starts saving the state under its step.

        Args:
          state: The state; its arrays are copied before the call returns.
          metric: The validation metric, if it was measured at this step. Larger is better; NaN
            counts as not measured. Where there is a checkpoint of the step already, that one stays
            as it is, and the metric is written beside it.
          wait: Returns only when the checkpoint is on disk.

        Raises:
          OSError: This checkpoint or the one before it could not be written.
        """
        self.wait()
        step = int(state.step)
        measured = metric is not None and not math.isnan(metric)
        metrics = {METRIC: float(metric)} if metric is not None and measured else None
        if any(step == checkpoint.step for checkpoint in self._checkpointer.checkpoints):
            if metrics:
                self._late[step] = metrics
                if hosts.is_main():
                    integrity.keep_metrics(self._folder, step, metrics)
            return
        self._late.pop(step, None)
        if hosts.is_main():
            integrity.unseal(self._folder, step)
        parts = {"variables": state.variables, "optimizer": _optimizer(state)}
        try:
            response = self._checkpointer.save_checkpointables_async(step, parts, metrics=metrics)
        except _WRITE_ERRORS as error:
            raise self._unwritten(error) from error
        self._sealed = self._sealing.submit(self._seal, response, step)
        if wait:
            self.wait()

    def _seal(self, response: Any, step: int) -> None:
        response.result()
        if hosts.is_main():
            integrity.seal(self._folder, step)

    def restore(self, like: TrainState, step: int | None = None) -> TrainState:
        """Loads the state of a step (the latest by default).

        Args:
          like: A state, or a tree of `jax.ShapeDtypeStruct`, with the shapes, types and shardings
            of what is to be returned.
          step: The step; None for the latest.

        Raises:
          FileNotFoundError: There is no such checkpoint.
        """
        parts = {"variables": _abstract(like.variables), "optimizer": _abstract(_optimizer(like))}
        loaded = self._checkpointer.load_checkpointables(step, parts)
        if like.average is None:
            return TrainState(**loaded["variables"], **loaded["optimizer"])
        return TrainState(**loaded["optimizer"], average=loaded["variables"])

    def restore_variables(self, like: dict[str, Any], step: int | None = None) -> dict[str, Any]:
        """Loads the network's variables alone, whatever the optimiser was.

        Args:
          like: The variables, or a tree of `jax.ShapeDtypeStruct` in their form.
          step: The step; None for the latest.

        Raises:
          FileNotFoundError: There is no such checkpoint.
        """
        return self._checkpointer.load_checkpointables(step, {"variables": _abstract(like)})[
            "variables"
        ]


class _Kept:
    """Keeps the two latest checkpoints and the best one."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self._checkpoints = checkpoints

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> list[bool]:
        """As Orbax asks, oldest first."""
        best = self._checkpoints._best_of(checkpoints)
        latest = {checkpoint.step for checkpoint in checkpoints[-2:]}
        return [checkpoint.step in latest | {best} for checkpoint in checkpoints]


def _optimizer(state: TrainState) -> dict[str, Any]:
    """What only training needs: of a run that keeps averages, the trained variables, too."""
    trained = {} if state.average is None else state.trained_variables
    return {"step": state.step, "opt_state": state.opt_state, **trained}


def _abstract(tree: Any) -> Any:
    """Shapes, types and shardings; what has no sharding goes to one device of each process."""
    mesh = jax.sharding.Mesh([d for d in jax.devices() if d.id in _first_devices()], ("all",))
    here = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def describe(leaf: Any) -> jax.ShapeDtypeStruct:
        sharding = getattr(leaf, "sharding", None) or here
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return jax.tree.map(describe, tree)


def _first_devices() -> set[int]:
    first: dict[int, int] = {}
    for device in jax.devices():
        first.setdefault(device.process_index, device.id)
    return set(first.values())
