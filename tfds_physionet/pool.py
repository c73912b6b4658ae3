"""Maps a function over items in worker processes, in order, holding few results at a time.

The workers are plain interpreters that talk through their standard input and output, not
multiprocessing's: they import neither the caller's __main__ nor TensorFlow, nothing is forked from
a process with threads, and however the parent ends, SIGKILL included, they end within a second:
their input ends with it, and in the middle of a call they see that they have another parent.
"""

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

# (function, items) -> results in the order of the items; the function is one that pickle finds by
# name, and returns its errors as values.
Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]

Item = TypeVar("Item")
Result = TypeVar("Result")


def num_cores() -> int:
    """Returns how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def map_ahead(
    pool: Executor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    ahead: int,
    size: Callable[[Item], int] = lambda item: 0,
    largest: int = 0,
) -> Iterator[Result]:
    """Maps a function over items in a pool, in order.

    Args:
        pool: Where the calls run.
        function: What to call.
        items: Of each call.
        ahead: How many calls at most are begun or done before the first of them is taken.
        size: Of an item's result, in bytes.
        largest: Sum of the sizes that are under way together; a larger item is so alone.
    """
    waiting: deque[tuple[int, Future[Result]]] = deque()
    for item in items:
        new = size(item)
        while len(waiting) >= ahead or (
            waiting and new + sum(held for held, _ in waiting) > largest
        ):
            yield waiting.popleft()[1].result()
        waiting.append((new, pool.submit(function, item)))
    while waiting:
        yield waiting.popleft()[1].result()


class WorkerDied(RuntimeError):
    """The process that worked on an item ended."""


@contextmanager
def worker_pool(workers: int) -> Iterator[Map]:
    """Yields a map over worker processes, or the plain `map` where one worker is asked for.

    What an item does to its worker (a segmentation fault, all the memory there is) does not stop
    the others: where two workers have died of it, its result is a `WorkerDied`.
    """
    if workers <= 1:
        yield map
        return
    processes = [_start() for _ in range(workers)]
    idle: queue.SimpleQueue[subprocess.Popen] = queue.SimpleQueue()
    for process in processes:
        idle.put(process)
    ending = threading.Event()
    threads = ThreadPoolExecutor(workers)

    def call(function: Callable[[Any], Any], item: Any) -> Any:
        status = None
        for _ in range(2):
            process = idle.get()
            try:
                return _ask(process, function, item)
            except (EOFError, BrokenPipeError, pickle.UnpicklingError):
                if ending.is_set():
                    break
                process.communicate()
                status = process.returncode
                process = _start()
                processes.append(process)
            finally:
                idle.put(process)
        return WorkerDied(f"the process that worked on it ended with status {status}")

    def ordered_map(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        return map_ahead(threads, partial(call, function), items, ahead=3 * workers)

    try:
        yield ordered_map
    finally:
        ending.set()
        threads.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()  # a thread that waits for its answer sees the end of file
        threads.shutdown()
        for process in processes:
            process.kill()
            process.communicate()


def _start() -> subprocess.Popen:
    package_root = str(Path(__file__).parents[1])
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    # One thread each; Ctrl-C goes to the parent alone, which then ends its workers.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    environment["TFDS_PHYSIONET_WORKER"] = "1"  # see the package's __init__.py
    return subprocess.Popen(
        [sys.executable, "-m", "tfds_physionet.pool"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )


def _ask(process: subprocess.Popen, function: Callable[[Any], Any], item: Any) -> Any:
    assert process.stdin and process.stdout
    pickle.dump((function, item), process.stdin)
    process.stdin.flush()
    return pickle.load(process.stdout)


def _work() -> None:
    """Answers calls until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # The answers take standard output for themselves; what else is printed goes to the errors.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    try:
        while True:
            function, item = pickle.load(sys.stdin.buffer)
            pickle.dump(function(item), answers, protocol=pickle.HIGHEST_PROTOCOL)
            answers.flush()
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        os._exit(0)  # the parent has gone: no one is left to flush to


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)


if __name__ == "__main__":
    _work()
