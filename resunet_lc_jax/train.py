"""The training loop: restore, validate, save, next batch, step."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import jax
import numpy as np
import tensorflow_datasets as tfds
from flax import linen as nn
from ml_collections import ConfigDict
from tqdm import tqdm

from resunet_lc_jax import data, hosts, optim, parallel, preemption, provenance, steps
from resunet_lc_jax.checkpoints import METRIC, Checkpoints
from resunet_lc_jax.evaluate import (
    check_evaluation,
    choose_thresholds,
    compile_scoring,
    evaluate,
    validate,
)
from resunet_lc_jax.exchange import first_variables
from resunet_lc_jax.recipe import Recipe, check_recipe, create_recipe
from resunet_lc_jax.selection import Selection, keep_splits
from resunet_lc_jax.sources import open_records
from resunet_lc_jax.state import TrainState, create_state
from resunet_lc_jax.watch import Watch
from resunet_lc_jax.workdir import build_model, configure_jax, hold, initial_variables
from resunet_lc_jax.writers import MetricsWriter, read_metrics


def train(config: ConfigDict, workdir: Path) -> int:
    """Trains a run to its end, then chooses its thresholds and evaluates it on the test records.

    A run that is found in the folder is taken up where its latest checkpoint stands.

    Args:
      config: The run's config.
      workdir: Its folder.

    Returns:
      The exit status: 0, or 75 if a signal stopped the run (it is saved then).

    Raises:
      ValueError: The config, the data or the folder do not fit; the message says what to change.
    """
    configure_jax(config)
    job = _plan(config)
    with hold(workdir, config):
        if hosts.is_main():
            keep_splits(workdir / "splits.csv", job.selection)
        with preemption.listen() as stop:
            if not _loop(config, workdir, job, stop):
                return preemption.EXIT_STATUS
        choose_thresholds(config, workdir)
        evaluate(config, workdir, split="test")
    return 0


@dataclass(frozen=True)
class _Job:
    """What a config comes to, checked, before any file is written."""

    devices: parallel.Devices
    model: nn.Module
    recipe: Recipe
    builder: tfds.core.DatasetBuilder
    selection: Selection
    records: int
    steps_per_epoch: int
    total_steps: int


def _plan(config: ConfigDict) -> _Job:
    devices = parallel.choose_devices(config.parallel.mode)
    parallel.check_batch_size(
        devices,
        config.train.batch_size,
        name="config.train.batch_size",
        parts=config.train.accumulate_steps,
    )
    parallel.check_batch_size(devices, config.eval.batch_size, name="config.eval.batch_size")
    check_evaluation(config)
    check_recipe(config)
    data.variant(config.data.variant)
    data.lead_rows(config.data.leads)
    model = build_model(config)
    jax.eval_shape(partial(initial_variables, config, model))  # a length that does not fit
    builder, selection = open_records(config.data)
    records = len(selection.split("train"))
    steps_per_epoch = records // config.train.batch_size
    if steps_per_epoch == 0:
        raise ValueError(
            f"config.train.batch_size is {config.train.batch_size}, but only "
            f"{records} records train; choose a smaller batch"
        )
    training = selection.split("train").table
    return _Job(
        devices=devices,
        model=model,
        recipe=create_recipe(
            config,
            steps_per_epoch=steps_per_epoch,
            sampling_rate=data.variant(config.data.variant).sampling_rate,
            labels=training.labels,
            databases=training.database,
        ),
        builder=builder,
        selection=selection,
        records=records,
        steps_per_epoch=steps_per_epoch,
        total_steps=config.train.steps or config.train.epochs * steps_per_epoch,
    )


def _compile(config: ConfigDict, job: _Job) -> Callable:
    axis_name = job.devices.axis_name
    step = partial(
        steps.train_step,
        model=job.model.clone(axis_name=axis_name),
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


def _loop(config: ConfigDict, workdir: Path, job: _Job, stop: preemption.StopRequest) -> bool:
    """Trains to the end and returns True, or saves and returns False once a stop is asked for."""
    train_step = _compile(config, job)
    score_batch = _validation_scoring(config, job)
    state = create_state(
        first_variables(config, job.model), job.recipe.tx, average=config.train.ema_decay > 0
    )
    state = parallel.place_state(state, job.devices)
    total, per_epoch = job.total_steps, job.steps_per_epoch
    say = tqdm.write if hosts.is_main() else _silent
    say("\n".join([*job.selection.notes, _summary(config, job, state)]))
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        if checkpoints.latest is not None:
            state = checkpoints.restore(state)
            say(f"taken up at step {int(state.step):,} of {total:,}")
        start = int(state.step)
        if hosts.is_main():
            source = provenance.data_source(job.builder.data_dir)
            provenance.record_start(workdir, step=start, data=source)
        with MetricsWriter(workdir, step=start) as writer, _progress(total, start) as progress:
            hosts.wait("metrics")
            history = [r for r in read_metrics(workdir) if f"validation_{METRIC}" in r]
            state, ended = _follow(job.recipe, state, history)
            watch = Watch(
                workdir,
                step=start,
                allowed=config.train.skip_not_finite,
                write=writer.write,
                say=say,
            )
            batches = _placed_batches(config, job, start)
            alone = jax.process_count() == 1
            number = start
            while True:
                due = number > 0 and (number % per_epoch == 0 or number == total)
                stopping = bool(stop) if alone else _every(10, number) and hosts.any_of(bool(stop))
                checkpoint_due = _every(config.train.checkpoint_every_steps, number)
                if due or checkpoint_due or stopping:
                    watch.settle()
                if due and number not in {row["step"] for row in history} and not stopping:
                    metrics = validate(
                        config,
                        job.builder,
                        job.selection.split("validation"),
                        partial(score_batch, state.variables),
                    )
                    row = {f"validation_{k}": v for k, v in metrics.items()}
                    writer.write(number, row)
                    history.append({"step": number} | row)
                    state, ended = _follow(job.recipe, state, history)
                    say(_validation_line(number, number / per_epoch, metrics))
                    checkpoints.save(state, metric=metrics[METRIC])
                elif checkpoint_due:
                    checkpoints.save(state)
                if stopping:
                    checkpoints.save(state, wait=True)
                    say(
                        f"{stop.signal_name or 'stopped elsewhere'}: saved at step {number:,}; "
                        "the same command takes the run up again"
                    )
                    return False
                if number == total or ended:
                    return True
                records, batch = next(batches)
                state, values = train_step(state, batch)
                number += 1
                watch.follow(number, values, records)
                progress.update()
                if _every(config.train.log_every_steps, number) or number == total:
                    watch.settle()
                    row = {name: float(values[name]) for name in ("loss", "gradient_norm")}
                    writer.write(number, {"epoch": number / per_epoch, **row})
                    progress.set_postfix_str(_speed(progress, config, row["loss"]), refresh=False)


def _follow(recipe: Recipe, state: TrainState, history: list) -> tuple[TrainState, bool]:
    """The state with the learning rate that the validations ask for, and whether they end it."""
    decision = recipe.decide(history)
    opt_state = optim.set_rate_factor(state.opt_state, decision.rate_factor)
    return replace(state, opt_state=opt_state), decision.stop


def _placed_batches(
    config: ConfigDict, job: _Job, start: int
) -> Iterator[tuple[list[str], dict[str, jax.Array]]]:
    """Training batches on the devices, two of them always under way, and their records' names."""
    batches = data.training_batches(
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


def _validation_scoring(config: ConfigDict, job: _Job) -> Callable:
    """From (variables, NumPy batch) to scores; each process on its own devices, in its own time."""
    here = parallel.choose_devices(config.parallel.mode, jax.local_devices())
    score_batch = compile_scoring(job.model, here, statistics=config.data.statistics)
    if here == job.devices:
        return score_batch

    def score_here(variables: dict, batch: dict) -> np.ndarray:
        return score_batch(parallel.place_state(variables, here), batch)

    return score_here


def _silent(text: str) -> None:
    """Prints nothing: what the processes but the first say."""


def _every(interval: int, number: int) -> bool:
    return bool(interval) and number > 0 and number % interval == 0


def _summary(config: ConfigDict, job: _Job, state: TrainState) -> str:
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    device = job.devices.mesh.devices.flat[0].device_kind
    return (
        f"{config.model.name}: {parameters:,} parameters on {job.devices.mesh.size} x {device} "
        f"({job.devices.mode}); {job.records:,} training records, {job.steps_per_epoch:,} steps "
        f"an epoch, {job.total_steps:,} in all"
    )


def _validation_line(step: int, epoch: float, metrics: dict[str, float]) -> str:
    values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    return f"step {step:,} (epoch {epoch:.4g}) validation: {values}"


def _progress(total: int, start: int) -> tqdm:
    return tqdm(
        total=total,
        initial=start,
        unit="step",
        desc="training",
        dynamic_ncols=True,
        disable=not hosts.is_main(),
    )


def _speed(progress: tqdm, config: ConfigDict, loss: float) -> str:
    rate = progress.format_dict["rate"]
    return f"loss {loss:.4f}" + (f", {rate * config.train.batch_size:.0f} ex/s" if rate else "")
