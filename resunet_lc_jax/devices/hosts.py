"""Several processes of one run: joining, waiting, agreeing, gathering. With one, all do nothing."""

import os
from collections.abc import Sequence

import jax
import numpy as np
from jax.experimental import multihost_utils


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
    if jax.distributed.is_initialized():
        return
    if coordinator is not None:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    elif launched_processes() > 1:
        jax.distributed.initialize()
    else:
        return
    # Connects the processes while all are here: on CPUs a first exchange fails after 30 s, and the
    # others may have to wait longer than that while process 0 prepares the records.
    wait("joined")


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


def wait(name: str) -> None:
    """Waits until every process has come to the place of this name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def any_of(flag: bool) -> bool:
    """Whether the flag is up in any process; every process must ask."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def total(values: np.ndarray) -> np.ndarray:
    """Returns the sum of the processes' arrays (of one shape), in every process."""
    if jax.process_count() == 1:
        return values
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
