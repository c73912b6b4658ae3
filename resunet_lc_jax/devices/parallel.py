"""Compiles the pure steps for one device or several, and places their arrays.

Three ways, one meaning: jit on one device, pmap over the devices of one process, and jit over a
mesh. The state is replicated, never stacked; the batch is split along its first axis. A training
step over several devices is each device's own, and says itself what they sum.
"""

import ctypes
import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"


@dataclass(frozen=True)
class Devices:
    """The devices of a run and how the steps are compiled for them.

    Attributes:
      mode: 'single' (jit on one device), 'jit' (jit over a mesh) or 'pmap'.
      mesh: The devices, along one axis named `AXIS`.
    """

    mode: str
    mesh: Mesh

    @property
    def axis_name(self) -> str | None:
        """The axis name inside a training step; None where one device has the whole batch."""
        return None if self.mode == "single" else AXIS

    @property
    def replicated(self) -> NamedSharding:
        """The sharding of the state: a whole copy on each device."""
        return NamedSharding(self.mesh, PartitionSpec())


def choose_devices(mode: str, devices: Sequence[jax.Device] | None = None) -> Devices:
    """Chooses how to compile.

    Args:
      mode: 'auto' (one device: plain jit; several devices of one process: pmap; several processes:
        jit over the mesh of all), 'jit' or 'pmap'.
      devices: The devices to use; all by default.

    Raises:
      ValueError: The mode is another, or pmap over several processes.
    """
    devices = list(devices or jax.devices())
    several = any(d.process_index != jax.process_index() for d in devices)
    if mode not in ("auto", "jit", "pmap"):
        raise ValueError(f"config.parallel.mode is {mode!r}; choose 'auto', 'jit' or 'pmap'")
    if len(devices) == 1 and mode != "pmap":
        mode = "single"
    elif mode == "auto":
        mode = "jit" if several else "pmap"
    elif mode == "pmap" and several:
        raise ValueError("config.parallel.mode='pmap' serves one process; leave it at 'auto'")
    return Devices(mode, Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,)))


def check_batch_size(devices: Devices, batch_size: int, *, name: str, parts: int = 1) -> None:
    """Raises ValueError if the devices do not divide the batch.

    Args:
      devices: The devices of the run.
      batch_size: Examples in a batch.
      name: The config field to name in the error.
      parts: Into which each device divides its share of a batch.
    """
    if parts < 1:
        raise ValueError(f"config.train.accumulate_steps is {parts}; choose 1 or more")
    divisor = parts * devices.mesh.size
    if batch_size < 1 or batch_size % divisor:
        times = f" times {parts} parts (config.train.accumulate_steps)" if parts > 1 else ""
        raise ValueError(
            f"{name} is {batch_size}, which {devices.mesh.size} devices{times} do not "
            f"divide; choose a multiple of {divisor}"
        )


def compile_train_step(step: Callable, devices: Devices) -> Callable:
    """Compiles `step(state, batch) -> (state, metrics)`; the state's memory is reused.

    Args:
      step: A pure training step; it must use `devices.axis_name`.
      devices: The devices of the run.

    Returns:
      A function of a state and a batch, both placed on the devices.
    """
    if devices.mode == "pmap":
        return jax.pmap(
            step,
            axis_name=AXIS,
            in_axes=(None, 0),
            out_axes=(None, None),
            donate_argnums=0,
            devices=list(devices.mesh.devices),
        )
    if devices.mode == "jit":
        # Where XLA divides the step itself, it sums each kernel's gradient over the devices before
        # the backward pass can go on (`models.convolution` has it wait), instead of all at the end.
        whole, split = PartitionSpec(), PartitionSpec(AXIS)
        step = jax.shard_map(
            step, mesh=devices.mesh, in_specs=(whole, split), out_specs=whole, check_vma=False
        )
    # On CPUs XLA forgets optimisation barriers before it merges equal expressions, which would undo
    # rematerialisation; it computes the same with the barriers in place.
    cpu = devices.mesh.devices.flat[0].platform == "cpu"
    options = {"xla_disable_hlo_passes": "cse_barrier_expander"} if cpu else None
    return jax.jit(step, donate_argnums=0, compiler_options=options)


def compile_for(step: Callable, *arguments: Any) -> Callable:
    """Compiles what `compile_train_step` returned, before its first call, for such arguments.

    What the compiler has used and freed, a gigabyte or two, goes back to the system, so that it
    does not add to the memory of the first call.
    """
    compiled = step.lower(*arguments).compile()  # type: ignore[attr-defined]
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    return compiled


def compile_eval_step(step: Callable, devices: Devices) -> Callable:
    """Compiles `step(variables, batch) -> scores`, the scores being [B, K] in the batch's order."""
    if devices.mode != "pmap":
        return jax.jit(step)
    mapped = jax.pmap(step, axis_name=AXIS, in_axes=(None, 0), devices=list(devices.mesh.devices))

    def scores(variables: dict, batch: Mapping[str, jax.Array]) -> np.ndarray:
        stacked = np.asarray(mapped(variables, batch))
        return stacked.reshape(-1, stacked.shape[-1])

    return scores


def place_state(state: Any, devices: Devices) -> Any:
    """Puts a whole copy of the state, the same in each process, on each device."""
    if jax.process_count() == 1:
        return jax.device_put(state, devices.replicated)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(devices.replicated, np.asarray(x)), state
    )


def place_batch(batch: Mapping[str, np.ndarray], devices: Devices) -> dict[str, jax.Array]:
    """Splits a batch [B, ...] over the devices: stacked [n, B / n, ...] for pmap.

    Of several processes each gives its own rows, in the processes' order.
    """
    split = NamedSharding(devices.mesh, PartitionSpec(AXIS))
    if devices.mode == "pmap":
        count = devices.mesh.size
        batch = {k: v.reshape(count, -1, *v.shape[1:]) for k, v in batch.items()}
    return {k: jax.make_array_from_process_local_data(split, v) for k, v in batch.items()}
