"""Trains a network of this project and its PyTorch twin side by side and compares the losses.

  python -m benchmarks.training_parity --records=simulated --steps=30 --output=DIR

Both start from the same weights and see the same batches, dropout off: with SGD in float32, where
rounding alone may part them, and with Adam in float64, where nothing may. Written to the output
folder: training_parity.md, training_parity.png and results.json. The exit status is 1 where two
curves lie further apart than `recipes` allows, 2 for a wrong command.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from tqdm import tqdm

from benchmarks.parity_report import Curves, Recipe, write_report
from configs import default
from resunet_lc_jax.data import sources, stream
from resunet_lc_jax.learning import optim
from resunet_lc_jax.learning.state import create_state, init_variables
from resunet_lc_jax.learning.steps import normalise, train_step
from resunet_lc_jax.models import Network, Numerics, create_model, form_for
from resunet_lc_jax.pytorch.weights import to_state_dict
from resunet_lc_jax.runs import settings

MODELS = ("resunet_lc", "resu2d_lc", "res1d_maxpool", "res2d_maxpool", "res2d_lc")
_SIMULATED_COUNT = 240
_FLOATS = ("lead_mean", "lead_std", "labels", "mask")

Batch = dict[str, Any]


def recipes(sgd_rate: float) -> tuple[Recipe, ...]:
    """What is compared.

    Args:
      sgd_rate: Learning rate of the float32 part. There a value that rounds to the other side of
        LeakyReLU's kink turns a gradient by up to a hundredth, in PyTorch as here, since the
        global maximum sends it through few places; at a high rate this adds up step by step.
    """
    return (
        Recipe("sgd", "float32", learning_rate=sgd_rate, tolerance=1e-3),
        Recipe("adam", "float64", learning_rate=1e-3, tolerance=1e-6),
    )


def draw_batches(options: argparse.Namespace) -> tuple[list[Batch], int]:
    """The first batches that a training run would see, and the number of records behind them."""
    config = default.get_config()
    config.seed, config.eval.batch_size = options.seed, options.batch_size
    config.data.records, config.data.simulated_count = options.records, _SIMULATED_COUNT
    config.data.variant, config.data.length = options.variant, options.length
    with tempfile.TemporaryDirectory() as scratch:
        config.data.data_dir = options.data_dir or scratch
        records = sources.open_records(settings.source(config), settings.split_rules(config))
        training = records.selection.split("train")
        batches = stream.training_batches(records, training, settings.windowing(config))
        return list(islice(batches, options.steps)), len(training)


def train_both(
    name: str, recipe: Recipe, batches: Sequence[Batch], *, width: int, seed: int = 0
) -> Curves:
    """Trains a network by `steps.train_step`, and its PyTorch twin, on the same batches.

    Args:
      name: Of the network.
      recipe: Precision and optimiser.
      batches: One per step, from `stream.training_batches`; signals [B, 12, T].
      width: Channels of the first stage.
      seed: Of the first weights.

    Returns:
      The loss of each step, before it is taken, of both.
    """
    _, leads, length = batches[0]["signal"].shape
    with jax.enable_x64(recipe.precision == "float64"):
        model = create_model(
            name,
            width=width,
            dropout=0.0,
            numerics=Numerics(
                dtype=recipe.precision,
                precision="highest",
                form=form_for(jax.default_backend()),
            ),
        )
        variables = init_variables(model, seed=seed, num_leads=leads, length=length)
        arrays = [_in_precision(batch, recipe.precision) for batch in batches]
        ours = list(_losses(model, variables, recipe, arrays))
        inputs = [(np.array(normalise(b)["signal"]), b["labels"]) for b in arrays]
        state_dict = to_state_dict(variables)
    return Curves(name, recipe, ours, list(_twin_losses(name, width, state_dict, recipe, inputs)))


def _in_precision(batch: Batch, precision: str) -> Batch:
    return {
        name: array.astype(precision) if name in _FLOATS else array
        for name, array in batch.items()
        if name != "record_id"
    }


def _losses(
    model: Network, variables: dict, recipe: Recipe, batches: Sequence[Batch]
) -> Iterator[float]:
    tx = optim.create_optimizer(recipe.optimizer, optax.constant_schedule(recipe.learning_rate))
    step = jax.jit(lambda state, batch: train_step(state, batch, model=model, tx=tx, seed=0))
    state = create_state(variables, tx)
    for batch in tqdm(batches, f"here, {recipe}", leave=False, unit="step"):
        state, measured = step(state, batch)
        yield float(measured["loss"])


def _twin_losses(
    name: str,
    width: int,
    state_dict: dict[str, np.ndarray],
    recipe: Recipe,
    inputs: Sequence[tuple[np.ndarray, np.ndarray]],
) -> Iterator[float]:
    import torch

    from benchmarks.torch_twin import create_twin

    _, leads, length = inputs[0][0].shape
    twin = create_twin(name, num_leads=leads, num_samples=length, width=width, dropout=0.0)
    twin.to(getattr(torch, recipe.precision)).train()
    twin.load_state_dict({k: torch.tensor(v) for k, v in state_dict.items()}, strict=True)
    kinds = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
    optimizer = kinds[recipe.optimizer](twin.parameters(), lr=recipe.learning_rate)
    loss_of = torch.nn.functional.binary_cross_entropy_with_logits
    for signal, labels in tqdm(inputs, f"PyTorch, {recipe}", leave=False, unit="step"):
        optimizer.zero_grad()
        loss = loss_of(twin(torch.tensor(signal)), torch.tensor(labels))
        loss.backward()
        optimizer.step()
        yield loss.item()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    unknown = set(options.model) - set(MODELS)
    if unknown:
        parser.error(f"--model: no {', '.join(unknown)}; choose of {', '.join(MODELS)}")
    try:
        # Without torch this is known before anything is computed.
        versions = ", ".join(f"{name} {version(name)}" for name in ("jax", "torch"))
        batches, records = draw_batches(options)
        curves = [
            train_both(name, recipe, batches, width=options.width, seed=options.seed)
            for name in options.model
            for recipe in recipes(options.sgd_rate)
        ]
    except ImportError as error:
        parser.error(f"{error}; PyTorch comes with pip install 'resunet_lc_jax[torch]'")
    except (ValueError, OSError) as error:
        parser.error(str(error))
    kind = "simulated" if options.records == "simulated" else "recorded"
    about = {
        "command": _command(options),
        "data": f"{records} {kind} ECGs, {options.variant}, width {options.width}, "
        f"{options.length} samples, batch {options.batch_size}",
        "versions": versions,
    }
    print(write_report(options.output, curves, about), end="")
    missed = [f"{c.model}, {c.recipe}" for c in curves if not c.agrees]
    print(f"written: training_parity.md, .png and results.json in {options.output}")
    if missed:
        print("further apart than allowed: " + "; ".join(missed), file=sys.stderr)
    return 1 if missed else 0


def _command(options: argparse.Namespace) -> str:
    """The command that gives the same curves; the reader's folder of records is his own."""
    records = "simulated" if options.records == "simulated" else "DIR"
    flags = [f"--records={records}", f"--model={','.join(options.model)}"]
    names = ("steps", "variant", "length", "width", "batch_size", "sgd_rate", "seed")
    flags += [f"--{name}={getattr(options, name)}" for name in names]
    return f"python -m benchmarks.training_parity {' '.join(flags)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training_parity",
        description="Trains a network and its PyTorch twin side by side and compares the losses.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--records", required=True, help="folder with .hea files at any depth, or 'simulated'"
    )
    parser.add_argument(
        "--model",
        type=lambda names: names.split(","),
        default="resunet_lc",
        help=f"one or several, with commas: {', '.join(MODELS)}",
    )
    parser.add_argument("--steps", type=int, default=30, help="optimiser steps")
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage")
    parser.add_argument("--variant", default="100hz", help="sampling rate: 100hz, 400hz or 500hz")
    parser.add_argument("--length", type=int, default=512, help="samples of a crop")
    parser.add_argument("--batch_size", type=int, default=16, help="examples in a batch")
    parser.add_argument("--sgd_rate", type=float, default=1e-4, help="SGD's learning rate")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and crops")
    parser.add_argument("--data_dir", help="keeps the prepared records (default: not kept)")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/parity"), help="folder to write to"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
