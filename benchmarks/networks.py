"""ResUNet-LC as each side runs it: ours; the PyTorch twin eager, compiled and in ONNX Runtime.

Each function makes everything it needs and returns a call to time; they run in processes of their
own (see `timing.contender`), so that the sides share neither threads nor memory.
"""

import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.timing import cores

LAYOUTS = ("contiguous", "channels_last")
COMPILED = "torch.compile"  # of the layout that is the faster one without it, too
FORMS = (*LAYOUTS, COMPILED)
LEADS, CLASSES = 12, 26


def numpy_batch(size: int, length: int) -> dict[str, np.ndarray]:
    """A batch of noise as `resunet_lc_jax.data` yields them."""
    rng = np.random.default_rng(0)
    return {
        "signal": rng.integers(-1000, 1000, (size, LEADS, length)).astype(np.int16),
        "lead_mean": np.zeros((size, LEADS), np.float32),
        "lead_std": np.full((size, LEADS), 500, np.float32),
        "lead_present": np.ones((size, LEADS), bool),
        "labels": (rng.random((size, CLASSES)) < 0.1).astype(np.float32),
        "annotated": np.ones((size, CLASSES), bool),
        "mask": np.ones(size, np.float32),
        "index": np.arange(size, dtype=np.int32),
    }


def compiled_step(
    size: int, length: int, *, remat: bool = False, parts: int = 1
) -> tuple[Any, Any, Any]:
    """Our training step, compiled, with its first state and a batch."""
    import jax
    import optax

    from resunet_lc_jax.devices import parallel
    from resunet_lc_jax.learning import state, steps
    from resunet_lc_jax.models import Numerics, create_model, form_for

    devices = parallel.choose_devices("auto", jax.devices()[:1])
    numerics = Numerics(form=form_for(jax.default_backend()), remat=remat)
    model, tx = create_model("resunet_lc", numerics=numerics), optax.adam(1e-3)
    variables = state.init_variables(model, seed=0, num_leads=LEADS, length=length)
    first = parallel.place_state(state.create_state(variables, tx), devices)
    batch = parallel.place_batch(numpy_batch(size, length), devices)
    step = partial(steps.train_step, model=model, tx=tx, seed=0, accumulate_steps=parts)
    compiled: Any = parallel.compile_train_step(step, devices)
    return parallel.compile_for(compiled, first, batch), first, batch


def our_step(size: int, length: int, remat: bool = False, parts: int = 1) -> Callable[[], None]:
    """A training step of the default recipe, the batch as a whole or in parts."""
    import jax

    step, current, batch = compiled_step(size, length, remat=remat, parts=parts)

    def call() -> None:
        nonlocal current
        current, metrics = step(current, batch)
        jax.block_until_ready((current, metrics))

    return call


def our_scores(size: int, length: int) -> Callable[[], None]:
    """Scores of a batch from its int16 samples, with the folded network, as predict has them."""
    import jax

    from resunet_lc_jax.learning import state, steps
    from resunet_lc_jax.models import Numerics, create_model, form_for
    from resunet_lc_jax.models.folding import fold

    numerics = Numerics(form=form_for(jax.default_backend()))
    model = create_model("resunet_lc", numerics=numerics)
    variables = state.init_variables(model, seed=0, num_leads=LEADS, length=length)
    folded, fewer = fold(model, variables, length=length)
    score = jax.jit(partial(steps.eval_step, model=folded))
    batch = jax.device_put(numpy_batch(size, length))
    return lambda: jax.block_until_ready(score(fewer, batch))


def _twin(length: int, form: str, width: int) -> tuple[Any, Any]:
    import torch

    from benchmarks.torch_twin import create_twin

    torch.set_num_threads(cores())
    torch.manual_seed(0)
    twin = create_twin("resunet_lc", num_samples=length, width=width)
    if form != "contiguous":
        twin = twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return torch, torch.compile(twin) if form == COMPILED else twin


def torch_step(size: int, length: int, form: str, width: int = 128) -> Callable[[], Any]:
    """The same training step of the PyTorch twin in one of `FORMS`."""
    torch, twin = _twin(length, form, width)
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-3)
    signal, labels = _torch_inputs(torch, size, length)

    def call() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(twin(signal), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return call


def torch_scores(size: int, length: int, form: str, width: int = 128) -> Callable[[], Any]:
    """The same scores from the PyTorch twin in one of `FORMS`."""
    torch, twin = _twin(length, form, width)
    twin.eval()
    signal, _ = _torch_inputs(torch, size, length)

    def call() -> Any:
        with torch.inference_mode():
            return torch.sigmoid(twin(signal)).numpy()

    return call


def onnx_scores(size: int, length: int, width: int = 128) -> Callable[[], Any]:
    """The same scores from ONNX Runtime, of what torch.onnx exports of the twin."""
    import onnxruntime

    torch, twin = _twin(length, "contiguous", width)
    signal, _ = _torch_inputs(torch, size, length)
    scores = torch.nn.Sequential(twin.eval(), torch.nn.Sigmoid())
    with io.BytesIO() as file, warnings.catch_warnings():
        # It prefers its newer exporter, which needs one more package; the graph is the same.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(scores, (signal,), file, input_names=["signal"], dynamo=False)
        model = file.getvalue()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"signal": signal.numpy()})[0]


def _torch_inputs(torch: Any, size: int, length: int) -> tuple[Any, Any]:
    batch = numpy_batch(size, length)
    return torch.tensor(batch["signal"] / np.float32(500)), torch.tensor(batch["labels"])
