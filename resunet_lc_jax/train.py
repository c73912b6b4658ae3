"""The training loop: restore, validate, save, next batch, step."""

from dataclasses import replace
from pathlib import Path

import jax
from ml_collections import ConfigDict
from tqdm import tqdm

from resunet_lc_jax.data.selection import keep_splits
from resunet_lc_jax.devices import hosts, parallel, preemption
from resunet_lc_jax.evaluate import choose_thresholds, evaluate, validate
from resunet_lc_jax.job import (
    Job,
    compile_training,
    compile_validation,
    describe,
    first_state,
    placed_batches,
    plan_job,
)
from resunet_lc_jax.learning import optim
from resunet_lc_jax.learning.recipe import Recipe
from resunet_lc_jax.learning.state import TrainState
from resunet_lc_jax.runs import provenance
from resunet_lc_jax.runs.checkpoints import METRIC, Checkpoints
from resunet_lc_jax.runs.metrics_log import MetricsWriter, read_metrics
from resunet_lc_jax.runs.watch import Watch
from resunet_lc_jax.runs.workdir import configure_jax, hold


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
    job = plan_job(config)
    with hold(workdir, config):
        if hosts.is_main():
            keep_splits(workdir / "splits.csv", job.selection)
        with preemption.listen() as stop:
            if not _loop(config, workdir, job, stop):
                return preemption.EXIT_STATUS
        choose_thresholds(config, workdir)
        evaluate(config, workdir, split="test")
    return 0


def _loop(config: ConfigDict, workdir: Path, job: Job, stop: preemption.StopRequest) -> bool:
    """Trains to the end and returns True, or saves and returns False once a stop is asked for."""
    train_step = compile_training(config, job)
    scoring = compile_validation(config, job)
    state = first_state(config, job)
    total, per_epoch = job.total_steps, job.steps_per_epoch
    say = tqdm.write if hosts.is_main() else _silent
    say("\n".join([*job.selection.notes, describe(config, job, state)]))
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
            batches = placed_batches(config, job, start)
            alone = jax.process_count() == 1
            number = start
            while True:
                due = number > 0 and (number % per_epoch == 0 or number >= total)
                stopping = bool(stop) if alone else _every(10, number) and hosts.any_of(bool(stop))
                checkpoint_due = _every(config.train.checkpoint_every_steps, number)
                if due or checkpoint_due or stopping:
                    watch.settle()
                if due and number not in {row["step"] for row in history} and not stopping:
                    metrics = validate(
                        config,
                        job.builder,
                        job.selection.split("validation"),
                        scoring(state.variables),
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
                if number >= total or ended:
                    return True
                records, batch = next(batches)
                if number == start:
                    train_step = parallel.compile_for(train_step, state, batch)
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


def _silent(text: str) -> None:
    """Prints nothing: what the processes but the first say."""


def _every(interval: int, number: int) -> bool:
    return bool(interval) and number > 0 and number % interval == 0


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
