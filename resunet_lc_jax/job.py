"""What a config comes to before training starts: checked, compiled, placed on the devices."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import jax
import tensorflow_datasets as tfds
from flax import linen as nn
from ml_collections import ConfigDict

from resunet_lc_jax.data import stream
from resunet_lc_jax.data.selection import Selection
from resunet_lc_jax.data.sources import open_records
from resunet_lc_jax.devices import parallel
from resunet_lc_jax.evaluate import ScoreBatch, compile_scoring
from resunet_lc_jax.fine_tuning import first_variables
from resunet_lc_jax.learning import steps
from resunet_lc_jax.learning.recipe import Recipe, create_recipe
from resunet_lc_jax.learning.state import TrainState, create_state
from resunet_lc_jax.runs.config import check_config
from resunet_lc_jax.runs.workdir import build_model, initial_variables


@dataclass(frozen=True)
class Job:
    """A run that can start.

    Attributes:
      devices: Where it trains, and how the step is compiled.
      model: The network.
      recipe: Loss, augmentation, optimiser and schedule.
      builder: The prepared data set.
      selection: Which records train, validate and test.
      steps_per_epoch: Steps that read each training record once.
      total_steps: Steps of the whole run.
    """

    devices: parallel.Devices
    model: nn.Module
    recipe: Recipe
    builder: tfds.core.DatasetBuilder
    selection: Selection
    steps_per_epoch: int
    total_steps: int


def plan_job(config: ConfigDict) -> Job:
    """Checks a config against the devices, the network and the records; writes no run.

    Raises:
      ValueError: They do not fit; the message names the field and what to change.
    """
    check_config(config)
    devices = parallel.choose_devices(config.parallel.mode)
    parallel.check_batch_size(
        devices,
        config.train.batch_size,
        name="config.train.batch_size",
        parts=config.train.accumulate_steps,
    )
    parallel.check_batch_size(devices, config.eval.batch_size, name="config.eval.batch_size")
    _statistics_axis(config, devices)
    model = build_model(config)
    jax.eval_shape(partial(initial_variables, config, model))  # a length that does not fit
    builder, selection = open_records(config.data)
    training = selection.split("train").table
    records = len(training.record_id)
    steps_per_epoch = records // config.train.batch_size
    if steps_per_epoch == 0:
        raise ValueError(
            f"config.train.batch_size is {config.train.batch_size}, but only "
            f"{records} records train; choose a smaller batch"
        )
    return Job(
        devices=devices,
        model=model,
        recipe=create_recipe(
            config,
            steps_per_epoch=steps_per_epoch,
            sampling_rate=stream.variant(config.data.variant).sampling_rate,
            labels=training.labels,
            databases=training.database,
        ),
        builder=builder,
        selection=selection,
        steps_per_epoch=steps_per_epoch,
        total_steps=config.train.steps or config.train.epochs * steps_per_epoch,
    )


def compile_training(config: ConfigDict, job: Job) -> Callable:
    """Compiles the training step: (state, batch) -> (state, values)."""
    axis_name = job.devices.axis_name
    step = partial(
        steps.train_step,
        model=job.model.over(_statistics_axis(config, job.devices)),
        tx=job.recipe.tx,
        seed=config.seed,
        statistics=config.data.statistics,
        loss=job.recipe.loss,
        augment=job.recipe.augment,
        accumulate_steps=config.train.accumulate_steps,
        average_decay=config.train.ema_decay,
        axis_name=axis_name,
    )
    return parallel.compile_train_step(step, job.devices)


def _statistics_axis(config: ConfigDict, devices: parallel.Devices) -> str | None:
    """Over which devices BatchNorm counts; under jit it sees the whole batch anyway."""
    wanted = config.parallel.batch_statistics
    if wanted not in ("global", "device"):
        raise ValueError(
            f"config.parallel.batch_statistics is {wanted!r}; choose 'global' or 'device'"
        )
    if wanted == "device" and devices.mode != "pmap":
        raise ValueError("config.parallel.batch_statistics='device' is there under pmap alone")
    return devices.axis_name if wanted == "global" else None


def compile_validation(config: ConfigDict, job: Job) -> Callable[[dict], ScoreBatch]:
    """Compiles the network for validation: from variables to what scores a NumPy batch.

    Each process scores on its own devices, in its own time.
    """
    here = parallel.choose_devices(config.parallel.mode, jax.local_devices())
    score_batch = compile_scoring(job.model, here, statistics=config.data.statistics)

    def scoring(variables: dict[str, Any]) -> ScoreBatch:
        local = variables if here == job.devices else parallel.place_state(variables, here)
        return partial(score_batch, local)

    return scoring


def first_state(config: ConfigDict, job: Job) -> TrainState:
    """The state at step 0, on the devices."""
    variables = first_variables(config, job.model)
    state = create_state(variables, job.recipe.tx, average=config.train.ema_decay > 0)
    return parallel.place_state(state, job.devices)


def placed_batches(
    config: ConfigDict, job: Job, start: int
) -> Iterator[tuple[list[str], dict[str, jax.Array]]]:
    """Training batches on the devices, two of them always under way, and their records' names."""
    batches = stream.training_batches(
        job.builder,
        job.selection.split("train"),
        batch_size=config.train.batch_size,
        length=config.data.length,
        leads=config.data.leads,
        seed=config.seed,
        pad=config.data.pad,
        start_step=start,
        process=(jax.process_index(), jax.process_count()),
    )

    def place(batch: dict) -> tuple[list[str], dict[str, jax.Array]]:
        names = [name.decode() for name in batch.pop("record_id")]
        return names, parallel.place_batch(batch, job.devices)

    placed = map(place, batches)
    ahead = deque(islice(placed, 2))
    while True:
        yield ahead.popleft()
        ahead.append(next(placed))


def describe(config: ConfigDict, job: Job, state: TrainState) -> str:
    """One line: the network, the devices, the records and the steps."""
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    records = len(job.selection.split("train"))
    device = job.devices.mesh.devices.flat[0].device_kind
    return (
        f"{config.model.name}: {parameters:,} parameters on {job.devices.mesh.size} x {device} "
        f"({job.devices.mode}); {records:,} training records, {job.steps_per_epoch:,} steps "
        f"an epoch, {job.total_steps:,} in all"
    )
