"""Several processes of one run: joining, waiting, agreeing, gathering. With one, all do nothing."""

import os
import platform
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax._src.distributed import global_state  # the one way to the coordination service
from jax.experimental import multihost_utils

from resunet_lc_jax.devices import channel

_SEEN_S = 60.0  # how long a shared disk may take to show a new file on another host


def join(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Joins the run's other processes; call before anything touches a device.

    Without a coordinator the processes find each other under SLURM (srun) and Open MPI (mpirun);
    elsewhere the process stays alone.

    Args:
      coordinator: Address and port of process 0, such as 'node1:12345'.
      num_processes: How many there are.
      process_id: Which one this is, from 0.

    Raises:
      ValueError: A coordinator without the other two, or the other way round.
    """
    given = (coordinator, num_processes, process_id)
    if any(value is None for value in given) and any(value is not None for value in given):
        raise ValueError(
            "config.parallel.coordinator, num_processes and process_id go together: "
            f"there are {given}"
        )
    if channel.opened() is not None:
        return
    count = launched_processes() if num_processes is None else num_processes
    if not jax.distributed.is_initialized():
        if coordinator is None and count == 1:
            return
        on_sigterm = signal.getsignal(signal.SIGTERM)
        with channel.limited(count):
            if coordinator is not None:
                jax.distributed.initialize(coordinator, num_processes, process_id)
            else:
                jax.distributed.initialize()
        # JAX takes the signal for a service of its own, which would leave it without effect.
        signal.signal(signal.SIGTERM, on_sigterm)
    if global_state.num_processes == 1:
        return
    channel.open_channel(global_state.client, global_state.process_id, global_state.num_processes)
    # Connects the processes while all are here: on CPUs a first exchange fails after 30 s, and the
    # others may have to wait longer than that while process 0 prepares the records.
    multihost_utils.sync_global_devices("joined")


def launched_processes() -> int:
    """Returns how many processes the launcher (srun or mpirun) started in this job step."""
    if "SLURM_STEP_NODELIST" in os.environ and "SLURM_PROCID" in os.environ:
        return int(os.environ.get("SLURM_STEP_NUM_TASKS", os.environ.get("SLURM_NTASKS", "1")))
    return int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1"))


def launched_first() -> bool:
    """Whether this is the launcher's first process, or there is no launcher."""
    return os.environ.get("SLURM_PROCID", os.environ.get("OMPI_COMM_WORLD_RANK", "0")) == "0"


def is_main() -> bool:
    """Whether this is process 0, the only one that writes and prints."""
    return jax.process_index() == 0


def wait(place: str) -> None:
    """Waits until every process has come to the place of this name, as long as that takes.

    Raises:
      ValueError: Another process has come to another place: it does something else.
    """
    agree(place, {})


def agree(place: str, facts: Mapping[str, Any]) -> None:
    """Waits as `wait` does, and compares what the processes hold for true.

    Args:
      place: A name of where this is.
      facts: Values, as JSON can hold them, by what they are of.

    Raises:
      ValueError: They differ; the message, the same in each process, names what does.
    """
    if (others := channel.opened()) is None:
        return
    said = others.meet({"what they do next": place, **facts})
    names = dict.fromkeys(name for of_one in said for name in of_one)
    for name in names:
        values = [of_one.get(name) for of_one in said]
        if differing := [p for p, value in enumerate(values) if value != values[0]]:
            other = differing[0]
            raise ValueError(
                f"the processes of this run do not agree on {name} ({values[0]!r} in process 0, "
                f"{values[other]!r} in process {other}); start all of them by the same command, "
                "with the same files"
            )


def of_main(place: str, value: Any) -> Any:
    """Returns process 0's value, which JSON can hold, in every process; waits as `wait` does."""
    wait(place)
    if (others := channel.opened()) is None:
        return value
    return others.meet({"value": value})[0]["value"]


def check_shared(path: Path) -> None:
    """Checks that every process sees a file that process 0 has written, as it is there.

    Raises:
      ValueError: This process does not see it.
    """
    if (others := channel.opened()) is None:
        return
    written = of_main("a file", path.read_text() if is_main() else None)
    deadline = time.monotonic() + _SEEN_S
    while not path.is_file() or path.read_text() != written:
        if time.monotonic() > deadline:
            raise ValueError(
                f"process {others.process} (on {platform.node()}) does not see what process 0 "
                f"writes to {path.parent}; give a folder on a disk that all processes share"
            )
        time.sleep(0.5)


def any_of(flag: bool) -> bool:
    """Whether the flag is up in any process; every process must ask."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def total(values: np.ndarray) -> np.ndarray:
    """Returns the sum of the processes' arrays (of one shape), in every process."""
    if jax.process_count() == 1:
        return values
    wait("a sum")
    return np.asarray(multihost_utils.process_allgather(values)).sum(axis=0).astype(values.dtype)


def joined(names: Sequence[str]) -> list[str]:
    """Returns the processes' names, equally many each, in the processes' order, in every process.

    Of a name at most 256 bytes remain.
    """
    if jax.process_count() == 1:
        return list(names)
    encoded = np.array([name.encode() for name in names], "S256")
    gathered = multihost_utils.process_allgather(encoded.view(np.uint8).reshape(-1, 256))
    return [name.decode(errors="replace") for name in gathered.reshape(-1).view("S256")]
