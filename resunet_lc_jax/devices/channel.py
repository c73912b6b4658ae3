"""What the processes of a run tell each other beside their devices: where they are, that one ends.

Goes through the key-value store of JAX's coordination service, which process 0 holds. Waiting here
has no limit and can be interrupted, other than in an exchange between devices. Imports no JAX, so
that a command that ends before it joins anybody need not either.
"""

import atexit
import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

JOIN_S = 50.0
"""How long the processes wait for one that does not come."""

_POLL_S = 0.5  # between two looks at whether another process has ended
_LEAVE_S = 10.0  # how long process 0, which holds the store, waits for the others to have looked
_END, _LEFT = "resunet_lc/end/", "resunet_lc/left/"


@contextlib.contextmanager
def limited(count: int) -> Iterator[None]:
    """Ends this process if the block, in which all of a run's processes join, takes too long.

    JAX itself would end it with a dump, and not say which knob is meant.
    """

    def end() -> None:
        said = (
            f"this run is of {count} processes, and not all of them have come within {JOIN_S:.0f} "
            "s: start the others at the same time, and look at what they say; if there are none, "
            "correct config.parallel.num_processes"
        )
        _say(said)
        _exit(2)

    timer = threading.Timer(JOIN_S, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Channel:
    """One process's end of it."""

    def __init__(self, client: Any, process: int, count: int) -> None:
        """Begins to listen for an error of another process, which ends this one, too.

        Args:
          client: Of JAX's coordination service.
          process: Which one this is, from 0.
          count: How many there are.
        """
        self._client, self.process, self.count = client, process, count
        self._meetings = 0
        self._ending = threading.Lock()
        self._closed = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        # Runs before JAX takes its service down.
        atexit.register(self.close)

    def close(self) -> None:
        """Ends the listening."""
        self._closed.set()
        self._listener.join()

    def meet(self, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Waits until every process has come to its n-th meeting, as long as that takes.

        Args:
          facts: What this process says, as JSON can hold it.

        Returns:
          What each of them says, in their order.
        """
        self._meetings += 1
        folder = f"resunet_lc/meeting/{self._meetings}/"
        self._client.key_value_set(f"{folder}{self.process}", json.dumps(facts))
        pause = 0.002
        while len(found := self._client.key_value_dir_get(folder)) < self.count:
            time.sleep(pause)
            pause = min(2 * pause, 0.25)
        said = {int(key.rpartition("/")[2]): json.loads(value) for key, value in found}
        return [said[process] for process in range(self.count)]

    def end(self, status: int, line: str) -> tuple[int, str]:
        """Tells the others that this process ends; returns how all of them do.

        That is as the first of them that said so: an error may be what another's end has brought
        about.
        """
        self._ending.acquire()  # for good: nothing else ends this process
        own: dict[str, Any] = {"process": self.process, "status": status, "line": line}
        try:
            self._client.key_value_set(f"{_END}first", json.dumps(own))
        except RuntimeError:  # another was first, or the store has gone
            first = self._first_end() or own
            status, line = first["status"], line if first["line"] == line else _of_another(first)
        return status, line

    def leave(self, status: int, line: str | None = None) -> None:
        """Exits at once, process 0 last, since the others would not survive its store.

        Args:
          status: The exit status.
          line: Said as the last thing, since the work goes on until the exit, and its bar with it.
        """
        try:
            if self.process:
                self._client.key_value_set(f"{_LEFT}{self.process}", "")
            else:
                deadline = time.monotonic() + _LEAVE_S
                while (
                    len(self._client.key_value_dir_get(_LEFT)) < self.count - 1
                    and time.monotonic() < deadline
                ):
                    time.sleep(0.05)
                time.sleep(0.2)
        finally:
            if line is not None:
                _say(line, after_bar=self.process == 0)
            _exit(status)

    def _listen(self) -> None:
        while not self._closed.wait(_POLL_S):
            end = self._first_end()
            if end is None or not self._ending.acquire(blocking=False):
                continue
            self.leave(end["status"], _of_another(end))

    def _first_end(self) -> dict[str, Any] | None:
        try:
            found = self._client.key_value_dir_get(_END)
        except RuntimeError:  # the store has gone, and JAX will end this process for it
            return None
        return json.loads(found[0][1]) if found else None


_opened: Channel | None = None


def open_channel(client: Any, process: int, count: int) -> None:
    """Opens this process's channel; see `Channel`."""
    global _opened
    _opened = Channel(client, process, count)


def opened() -> Channel | None:
    """Returns this process's channel; None where the process is alone."""
    return _opened


def _of_another(end: Mapping[str, Any]) -> str:
    return f"process {end['process']}: {end['line']}"


def _say(line: str, *, after_bar: bool = False) -> None:
    program = Path(sys.argv[0]).name
    print(f"{chr(10) if after_bar else ''}{program}: {line}", file=sys.stderr)


def _exit(status: int) -> None:
    """Ends this process without what JAX does at the end, which waits for the others."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)
