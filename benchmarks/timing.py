"""Rows of the table, and rounds that alternate between contenders in processes of their own."""

import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
      name: What was measured.
      ours: Our value.
      peer: The value of what a user would run instead, if there is such a thing.
      unit: Of both.
      target: What the ratio or our value should be, in words; empty: none.
      met: Whether it is.
      note: Who the peer is, and what else one must know.
    """

    name: str
    ours: float
    peer: float | None
    unit: str
    target: str = ""
    met: bool | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours over the peer's; of times the lower, of rates the higher is the better."""
        return None if self.peer is None else self.ours / self.peer


def faster(name: str, ours: float, peer: float, at_most: float, *, note: str = "") -> Row:
    """A row of two times (s) whose ratio has an upper target."""
    return Row(name, ours, peer, "s", f"ratio <= {at_most}", ours / peer <= at_most, note)


def limit(name: str, ours: float, unit: str, at_most: float, *, note: str = "") -> Row:
    """A row of our value alone, with an upper target."""
    return Row(name, ours, None, unit, f"<= {at_most:g} {unit}", ours <= at_most, note)


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def seconds(function: Callable[[], Any], *, rounds: int = 1) -> float:
    """The median time of a call."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


@dataclass(frozen=True)
class Contender:
    """A process that waits to do something again and again.

    Attributes:
      call: Does it once and returns the seconds.
      made_s: The seconds of imports, drawing weights, compiling and a first call.
    """

    call: Callable[[], float]
    made_s: float


@contextmanager
def contender(make: Callable[..., Callable[[], Any]], *arguments: Any) -> Iterator[Contender]:
    """Runs `make(*arguments)` in a process of its own, which then calls what that returned."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, make, arguments), daemon=True)
    process.start()
    there.close()

    def call() -> float:
        here.send(True)
        return _answer(here)

    try:
        yield Contender(call, made_s=_answer(here))
    finally:
        here.close()
        process.join(10)
        if process.is_alive():
            process.kill()


@contextmanager
def contenders(makes: Mapping[str, tuple]) -> Iterator[dict[str, Contender]]:
    """Runs several: {name: (make, *arguments)}; leaves peers out that cannot be made here."""
    with ExitStack() as stack:
        running = {}
        for name, make in makes.items():
            try:
                running[name] = stack.enter_context(contender(*make))
            except RuntimeError:
                if name == "ours":
                    raise
                print(f"{name} can't be run here and is left out", flush=True)
        yield running


def _answer(connection: Connection) -> float:
    try:
        return connection.recv()
    except EOFError as error:
        raise RuntimeError("a contender died; its own message stands above") from error


def _serve(connection: Connection, make: Callable, arguments: Sequence[Any]) -> None:
    start = time.perf_counter()
    call = make(*arguments)
    call()  # what is compiled when it is first called belongs to the making
    connection.send(time.perf_counter() - start)
    while True:
        try:
            connection.recv()
        except EOFError:
            return
        connection.send(seconds(call))


def alternate(contenders: Mapping[str, Contender], *, rounds: int) -> dict[str, float]:
    """The median seconds of each contender, one call each in turn; one round first, unmeasured."""
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, one in contenders.items():
            spent = one.call()
            if number:
                taken[name].append(spent)
    return {name: statistics.median(values) for name, values in taken.items()}


def best_peer(times: Mapping[str, float]) -> tuple[str, float]:
    """The fastest of all but 'ours', and its name."""
    return min(((n, t) for n, t in times.items() if n != "ours"), key=lambda item: item[1])


def in_words(times: Mapping[str, float]) -> str:
    """The peers and their seconds, the fastest first."""
    peers = sorted((spent, name) for name, spent in times.items() if name != "ours")
    return ", ".join(f"{name} {spent:.3g} s" for spent, name in peers)
