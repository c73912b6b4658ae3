"""A training step compiled for GPUs that are not there, by XLA's compiler for them.

Needs the wheels of JAX's CUDA plug-in and no driver, card or other NVIDIA wheel; without a card
XLA tries no algorithms out, so that memory and structure can be read, but no speed, and cuDNN's
workspaces are not in the memory.
"""

import importlib.metadata
import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.gpu_cards import CARDS
from benchmarks.gpu_text import Program
from benchmarks.networks import LEADS, numpy_batch

_AS_IT_COMES = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_gpu_disable_gpuasm_optimizations": True,
}


@dataclass(frozen=True)
class Case:
    """What is compiled: the default recipe's step at the network's published width.

    Attributes:
      network: Of `resunet_lc_jax.models.MODEL_NAMES`.
      batch: Examples on each device.
      dtype: 'float32' or 'bfloat16'.
      devices: How many.
      mode: 'jit' or, on several devices, 'pmap'.
      statistics: BatchNorm's, of the 'global' batch or, under pmap, of a 'device''s.
      remat: Whether blocks are computed anew in the backward pass.
      card: Of `CARDS`.
      length: Samples.
    """

    network: str = "resunet_lc"
    batch: int = 24
    dtype: str = "float32"
    devices: int = 1
    mode: str = "jit"
    statistics: str = "global"
    remat: bool = False
    card: str = "H100"
    length: int = 4096


@dataclass(frozen=True)
class Compiled:
    """What came of a case.

    Attributes:
      lower_s: Seconds of tracing and lowering.
      compile_s: Seconds of XLA's compiler.
      lowered: Operations of the program as lowered.
      temporary: Bytes a device needs beside its arguments and results.
      arguments: Bytes of its arguments: the state and its part of the batch.
      state: Bytes of the state.
      aliased: Bytes of results that take the place of arguments.
      program: As XLA compiled it.
    """

    lower_s: float
    compile_s: float
    lowered: int
    temporary: int
    arguments: int
    state: int
    aliased: int
    program: Program

    @property
    def memory(self) -> int:
        """Bytes that a device needs in all."""
        return self.temporary + self.arguments


def missing() -> str | None:
    """What is to be installed first, as a sentence; None where all is there."""
    wanted = importlib.metadata.version("jax")
    for name in ("jax-cuda12-plugin", "jax-cuda12-pjrt"):
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "none"
        if found != wanted:
            return (
                f"compiling for GPUs needs {name} {wanted}, jax's version, and here is {found}; "
                "install it with pip install '.[gpu_compile]'"
            )
    return None


def lower(case: Case) -> tuple[Any, int]:
    """Traces and lowers a case's training step; returns that and the bytes of its state."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax
    from jax.experimental import topologies
    from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

    from resunet_lc_jax.devices import parallel
    from resunet_lc_jax.learning import steps
    from resunet_lc_jax.learning.state import create_state, init_variables
    from resunet_lc_jax.models import Numerics, create_model, form_for

    described = topologies.get_topology_desc(
        platform="cuda", target_config=CARDS[case.card].target, topology=f"1x1x{case.devices}"
    )
    mesh = Mesh(np.array(described.devices), (parallel.AXIS,), axis_types=(AxisType.Auto,))
    mode = "single" if case.devices == 1 else case.mode
    devices = parallel.Devices(mode, mesh)
    numerics = Numerics(form=form_for("cuda"), dtype=jnp.dtype(case.dtype), remat=case.remat)
    model, tx = create_model(case.network, numerics=numerics), optax.adam(1e-3)

    def first_state() -> Any:
        return create_state(init_variables(model, seed=0, num_leads=LEADS, length=case.length), tx)

    def placed(x: Any, sharding: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    state = jax.tree.map(lambda x: placed(x, devices.replicated), jax.eval_shape(first_state))
    batch = numpy_batch(case.batch * case.devices, case.length)
    if mode == "pmap":
        batch = {k: v.reshape(case.devices, case.batch, *v.shape[1:]) for k, v in batch.items()}
    split = NamedSharding(mesh, PartitionSpec(parallel.AXIS))
    step = partial(
        steps.train_step,
        model=model.over(devices.axis_name if case.statistics == "global" else None),
        tx=tx,
        seed=0,
        axis_name=devices.axis_name,
    )
    compiled: Any = parallel.compile_train_step(step, devices)
    lowered = compiled.lower(state, {name: placed(x, split) for name, x in batch.items()})
    return lowered, sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))


def operations(lowered: Any) -> int:
    """Operations of a lowered program, of all its functions together."""
    return lowered.as_text().count(" = ")


def compile_case(case: Case, *, to_run: bool = True) -> Compiled:
    """Compiles a case.

    Args:
      case: What is compiled.
      to_run: Whether the kernels' machine code is made as for a card. Otherwise it is left as it
        comes, which changes nothing of memory and structure, and the time to compile means nothing.
    """
    begun = time.perf_counter()
    lowered, state = lower(case)
    halfway = time.perf_counter()
    compiled = lowered.compile(compiler_options={} if to_run else _AS_IT_COMES)
    ended = time.perf_counter()
    memory = compiled.memory_analysis()
    return Compiled(
        lower_s=halfway - begun,
        compile_s=ended - halfway,
        lowered=operations(lowered),
        temporary=memory.temp_size_in_bytes,
        arguments=memory.argument_size_in_bytes,
        state=state,
        aliased=memory.alias_size_in_bytes,
        program=Program(compiled.as_text()),
    )
