"""How a command ends: what escaped as one line and an exit status, and output nobody reads."""

import io
import os
import re
import sys
from types import TracebackType
from typing import NamedTuple

from resunet_lc_jax.devices.preemption import EXIT_STATUS

_OURS = ("resunet_lc_jax", "tfds_physionet", "configs")
_HINT = " (--traceback shows where it arose)"

# As XLA, TensorFlow and NumPy say it.
_OUT_OF_MEMORY = re.compile(
    r"RESOURCE_EXHAUSTED|ResourceExhausted|out of memory|OOM when|Unable to allocate|bad_alloc",
    re.IGNORECASE,
)
_LESS_MEMORY = (
    "a smaller config.train.batch_size, a larger config.train.accumulate_steps or "
    "config.model.dtype='bfloat16' takes less in training, a smaller config.eval.batch_size in "
    "evaluation and prediction"
)


class End(NamedTuple):
    """How a command ends: its exit status, and what it says."""

    status: int
    line: str


def end_of(error: BaseException, *, goes_on: bool, in_command: bool) -> End:
    """Turns what escaped into an exit status and what to say.

    What our own code raises is a sentence for the user and is said as it is; of all else the first
    line is, with the error's name and a hint at --traceback.

    Args:
      error: What escaped.
      goes_on: Whether the same command, given again, goes on.
      in_command: Whether the command line itself, or the config's file, was at fault.
    """
    if isinstance(error, KeyboardInterrupt):
        return _interrupted(str(error) or "SIGINT", goes_on)
    first = (str(error).strip().splitlines() or [""])[0]
    if isinstance(error, MemoryError) or _OUT_OF_MEMORY.search(str(error)):
        said = _short(first or "MemoryError")
        return End(1, f"out of memory: {_LESS_MEMORY}; it said {said}{_HINT}")
    named = ": ".join(filter(None, [type(error).__name__, _short(first)])) + _HINT
    if isinstance(error, FloatingPointError):
        return End(1, str(error))
    if isinstance(error, OSError):
        return End(2, str(error))
    if isinstance(error, ValueError | ImportError):
        return End(2, str(error) if _is_ours(error.__traceback__) else named)
    return End(2 if in_command else 1, named)


def _interrupted(signal_name: str, goes_on: bool) -> End:
    if goes_on:
        return End(EXIT_STATUS, f"{signal_name}: stopped; the same command goes on")
    # As a shell reports a process that the signal ended.
    return End(143 if signal_name == "SIGTERM" else 130, f"{signal_name}: stopped")


def _is_ours(traceback: TracebackType | None) -> bool:
    """Whether an error was raised by a line of this project."""
    if traceback is None:
        return False
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _OURS


def _short(line: str) -> str:
    return line if len(line) <= 300 else line[:297] + "..."


def keep_writing() -> None:
    """Lets a command finish though the reader of its output (`| head`) has gone."""
    for name in ("stdout", "stderr"):
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            setattr(sys, name, _Output(stream))


class _Output(io.TextIOWrapper):
    """A standard stream that drops what nobody reads any more."""

    def __init__(self, stream: io.TextIOWrapper) -> None:
        super().__init__(
            stream.buffer,
            stream.encoding,
            stream.errors,
            line_buffering=stream.line_buffering,
            write_through=stream.write_through,
        )

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)
