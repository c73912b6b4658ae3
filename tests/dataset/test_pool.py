"""Worker processes: in order, and never left behind."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tfds_physionet.pool import WorkerDied, map_ahead, worker_pool

# The workers tell their numbers (each leads its own process group), then have long calls.
_PARENT = """
import os, time
from tfds_physionet.pool import map_ahead, worker_pool
with worker_pool(2) as run:
    print(*set(run(os.getpgid, [0] * 50)), flush=True)
    list(run(time.sleep, [60, 60]))
"""


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_pool_keeps_order() -> None:
    with worker_pool(2) as parallel_map:
        assert list(parallel_map(abs, range(-50, 50))) == [abs(n) for n in range(-50, 50)]


def test_a_worker_that_dies_of_an_item_stops_no_other_item() -> None:
    deadly = "__import__('os').kill(__import__('os').getpid(), 11)"
    with worker_pool(2) as parallel_map:
        results = list(parallel_map(eval, [*"0123456", deadly, *"89"]))
        assert isinstance(results[7], WorkerDied) and "-11" in str(results[7])
        assert results[:7] + results[8:] == [0, 1, 2, 3, 4, 5, 6, 8, 9]
        assert list(parallel_map(abs, [-1, -2])) == [1, 2]


def test_a_worker_in_the_middle_of_a_long_call_ends_with_a_killed_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        workers = [int(word) for word in parent.stdout.readline().split()]
        time.sleep(1)  # the long calls have come
        assert workers and all(map(_runs, workers))
        parent.kill()
    deadline = time.monotonic() + 5
    while any(map(_runs, workers)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_is_read_ahead_keeps_its_order_and_is_bounded_by_number_and_size() -> None:
    begun: list[int] = []

    def read(size: int) -> int:
        begun.append(size)
        return size

    sizes = [1, 2, 90, 3, 4, 5, 6, 200, 7]
    with ThreadPoolExecutor(2) as pool:
        taken: list[int] = []
        options = {"ahead": 3, "size": lambda size: size, "largest": 100}
        for size in map_ahead(pool, read, sizes, **options):
            taken.append(size)
            under_way = sizes[len(taken) : len(begun)]
            assert len(under_way) <= 3 and (sum(under_way) <= 100 or len(under_way) == 1)
    assert taken == sizes
