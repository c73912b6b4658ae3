"""What `benchmarks.gpu` measures: each function in a process of its own, on what is there.

Each returns numbers by name. Sizes are arguments, so that the same code runs small without a GPU.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.networks import LEADS, numpy_batch
from benchmarks.timing import seconds

ROUNDS = 10


def ours(
    *,
    network: str,
    batch: int,
    length: int,
    width: int,
    dtype: str = "float32",
    precision: str | None = None,
    devices: int = 1,
    mode: str = "auto",
) -> dict[str, Any]:
    """Our training step on the first devices: seconds, memory of a device, and the state's hash.

    The hash is that of the parameters after the steps: of a deterministic program always the same.
    """
    import jax
    import numpy as np

    begun = time.perf_counter()
    step, state, place = _our_step(network, batch, length, width, dtype, precision, devices, mode)
    examples = place(numpy_batch(batch, length))
    state, metrics = jax.block_until_ready(step(state, examples))
    compile_s = time.perf_counter() - begun

    def call() -> None:
        nonlocal state
        state, metrics = step(state, examples)
        jax.block_until_ready((state, metrics))

    step_s = seconds(call, rounds=ROUNDS)
    leaves = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state.params)]
    return {
        "step_s": step_s,
        "compile_s": compile_s,
        "memory_gb": _peak_gb(jax.devices()[0]),
        "hash": hashlib.sha256(b"".join(leaves)).hexdigest()[:12],
    }


def our_scores(
    *,
    network: str,
    batch: int,
    length: int,
    width: int,
    dtype: str = "float32",
    precision: str | None = None,
) -> dict[str, Any]:
    """Our folded network from int16 samples to scores: seconds and memory."""
    import jax

    from resunet_lc_jax.learning import state, steps
    from resunet_lc_jax.models.folding import fold

    model = _model(network, width, dtype, precision, None)
    variables = state.init_variables(model, seed=0, num_leads=LEADS, length=length)
    folded, fewer = fold(model, variables, length=length)
    score = jax.jit(partial(steps.eval_step, model=folded))
    examples = jax.device_put(numpy_batch(batch, length))

    def call() -> None:
        jax.block_until_ready(score(fewer, examples))

    compile_s = seconds(call)
    step_s = seconds(call, rounds=ROUNDS)
    return {"step_s": step_s, "compile_s": compile_s, "memory_gb": _peak_gb(jax.devices()[0])}


def fed(
    *, network: str, batch: int, length: int, width: int, records: int, steps: int
) -> dict[str, Any]:
    """Our training step fed by the stream of simulated records: seconds a step, and of one alone.

    The stream is given nothing but time: where both are equal the device never waits.
    """
    import jax

    from benchmarks.input import opened_stream
    from benchmarks.records import simulated

    step, state, place = _our_step(network, batch, length, width, "float32", None, 1, "auto")
    with tempfile.TemporaryDirectory() as scratch:
        batches = opened_stream(simulated(Path(scratch), records), Path(scratch), length, batch)

        def advance(given: Any) -> None:
            nonlocal state
            state, _ = step(state, given)

        def many(next_batch: Callable[[], Any]) -> float:
            begun = time.perf_counter()
            for _ in range(steps):
                advance(next_batch())
            jax.block_until_ready(state)
            return (time.perf_counter() - begun) / steps

        def streamed() -> Any:
            return place({k: v for k, v in next(batches).items() if k != "record_id"})

        same = streamed()
        many(lambda: same)
        alone = many(lambda: same)
        many(streamed)
        step_s = many(streamed)
        batches.close()
    return {"step_s": step_s, "alone_s": alone, "records_per_s": batch / step_s}


def torch_twin(
    *,
    network: str,
    batch: int,
    length: int,
    width: int,
    training: bool,
    compiled: bool = False,
    tf32: bool = False,
    amp: bool = False,
    channels_last: bool = False,
    device: str = "cuda",
) -> dict[str, Any]:
    """A training step or the scores of the PyTorch twin: seconds and memory.

    Raises:
      RuntimeError: PyTorch sees no such device.
    """
    import numpy as np
    import torch

    from benchmarks.torch_twin import create_twin

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    layout: Any = torch.channels_last if channels_last else torch.contiguous_format
    twin: Any = create_twin(network, num_samples=length, width=width)
    twin = twin.to(device).to(memory_format=layout).train(training)
    called = torch.compile(twin) if compiled else twin
    arrays = numpy_batch(batch, length)
    signal = torch.tensor(arrays["signal"] / np.float32(500), device=device)
    labels = torch.tensor(arrays["labels"], device=device)
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3)
    half = partial(torch.autocast, device, dtype=torch.bfloat16, enabled=amp)

    def call() -> None:
        with torch.set_grad_enabled(training), half():
            logits = called(signal)
        if training:
            optimizer.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), labels)
            loss.backward()
            optimizer.step()
        else:
            torch.sigmoid(logits.float())
        if device == "cuda":
            torch.cuda.synchronize()

    compile_s = seconds(call)
    call()
    step_s = seconds(call, rounds=ROUNDS)
    memory = torch.cuda.max_memory_allocated() / 1e9 if device == "cuda" else None
    return {"step_s": step_s, "compile_s": compile_s, "memory_gb": memory}


def _model(
    network: str, width: int, dtype: str, precision: str | None, axis_name: str | None
) -> Any:
    import jax
    import jax.numpy as jnp

    from resunet_lc_jax.models import Numerics, create_model, form_for

    numerics = Numerics(
        dtype=jnp.dtype(dtype),
        precision=precision,
        form=form_for(jax.default_backend()),
        axis_name=axis_name,
    )
    return create_model(network, width=width, numerics=numerics)


def _our_step(
    network: str,
    batch: int,
    length: int,
    width: int,
    dtype: str,
    precision: str | None,
    count: int,
    mode: str,
) -> tuple[Any, Any, Callable]:
    """The compiled step, its first state, and what places a batch."""
    import jax
    import optax

    from resunet_lc_jax.devices import parallel
    from resunet_lc_jax.learning import state, steps

    devices = parallel.choose_devices(mode, jax.devices()[:count])
    model, tx = _model(network, width, dtype, precision, devices.axis_name), optax.adam(1e-3)
    variables = state.init_variables(model, seed=0, num_leads=LEADS, length=length)
    first = parallel.place_state(state.create_state(variables, tx), devices)
    step = partial(steps.train_step, model=model, tx=tx, seed=0, axis_name=devices.axis_name)
    place = partial(parallel.place_batch, devices=devices)
    compiled = parallel.compile_train_step(step, devices)
    return parallel.compile_for(compiled, first, place(numpy_batch(batch, length))), first, place


def _peak_gb(device: Any) -> float | None:
    """The most that was allocated on a device; None where it does not tell (a CPU)."""
    told = device.memory_stats() or {}
    return told["peak_bytes_in_use"] / 1e9 if "peak_bytes_in_use" in told else None


MEASURES = {function.__name__: function for function in (ours, our_scores, fed, torch_twin)}
"""What can be asked for by name."""
