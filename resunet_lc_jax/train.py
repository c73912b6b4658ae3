"""The training loop: restore, validate, save, next batch, step."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import jax
from ml_collections import ConfigDict
from tqdm import tqdm

from resunet_lc_jax.data.sources import Records
from resunet_lc_jax.devices import hosts, parallel, preemption
from resunet_lc_jax.evaluate import choose_thresholds, evaluate_run, validate
from resunet_lc_jax.learning import optim
from resunet_lc_jax.learning.state import TrainState
from resunet_lc_jax.runs import provenance, settings
from resunet_lc_jax.runs.checkpoints import METRIC, Checkpoints
from resunet_lc_jax.runs.metrics_log import MetricsWriter, read_validations
from resunet_lc_jax.runs.open_run import load_run
from resunet_lc_jax.runs.overlaps import check_start
from resunet_lc_jax.runs.screen import progress, say
from resunet_lc_jax.runs.seen import keep_seen, seen_at_start
from resunet_lc_jax.runs.splits import keep_splits
from resunet_lc_jax.runs.watch import Watch
from resunet_lc_jax.runs.workdir import check_unbegun, configure_jax, hold
from resunet_lc_jax.training_setup import TrainingSetup, set_up_training


def train(config: ConfigDict, workdir: Path, records: Records | None = None) -> int:
    """Trains a run to its end, then chooses its thresholds and evaluates it on the test records.

    A run that is found in the folder is taken up where its latest checkpoint stands.

    Args:
      config: The run's config.
      workdir: Its folder.
      records: The records that the config asks for, where they are open already.

    Returns:
      The exit status: 0, or 75 if a signal stopped the run (it is saved then).

    Raises:
      ValueError: The config, the data or the folder do not fit; the message says what to change.
    """
    configure_jax(config)
    setup = set_up_training(config, records)
    selection, source = setup.records.selection, config.init_from
    start = seen_at_start(workdir, source)
    check_start(start, selection, workdir, source, allowed=config.eval.seen_records)
    with hold(workdir, config):
        if hosts.is_main():
            keep_seen(workdir, start, selection)
            keep_splits(workdir, selection)
        with preemption.listen() as stop:
            if not _loop(setup, workdir, stop):
                return preemption.EXIT_STATUS
        if hosts.is_main():
            provenance.record_end(workdir)
        run = load_run(workdir, config, model=setup.model, records=setup.records)
        evaluate_run(choose_thresholds(run), "test")
    return 0


def _loop(setup: TrainingSetup, workdir: Path, stop: preemption.StopRequest) -> bool:
    """Trains to the end and returns True, or saves and returns False once a stop is asked for."""
    config, records = setup.config, setup.records
    train_step = setup.compile_step()
    total, per_epoch = setup.total_steps, setup.steps_per_epoch
    with Checkpoints(workdir / "checkpoints") as checkpoints:
        begun = checkpoints.latest is not None
        if not begun:
            check_unbegun(workdir)
        state = setup.first_state(begun=begun)
        say(*records.notes, setup.describe(state))
        if begun:
            state = checkpoints.restore(state)
            say(f"taken up at step {int(state.step):,} of {total:,}")
        start = int(state.step)
        hosts.agree("training", {"the step to go on from": start})
        if hosts.is_main():
            source = provenance.data_source(records.folder)
            provenance.record_start(workdir, step=start, data=source)
        with (
            MetricsWriter(workdir, step=start, validated=checkpoints.validated(start)) as writer,
            progress(
                None, "training", total, initial=start, unit="step", dynamic_ncols=True
            ) as bar,
            closing(setup.placed_batches(start)) as batches,
        ):
            hosts.wait("metrics")
            history = read_validations(workdir)
            ended = setup.recipe.guide(list(history.values())).stop
            watch = Watch(
                workdir,
                step=start,
                allowed=config.train.skip_not_finite,
                write=writer.write,
                say=say,
            )
            alone = jax.process_count() == 1
            number = start
            while True:
                due = number > 0 and (number % per_epoch == 0 or number >= total)
                stopping = bool(stop) if alone else _every(10, number) and hosts.any_of(bool(stop))
                checkpoint_due = _every(config.train.checkpoint_every_steps, number)
                if due or checkpoint_due or stopping:
                    watch.settle()
                if due and number not in history and not stopping:
                    metrics = validate(
                        records, setup.scorer(state.variables), settings.windowing(config)
                    )
                    # So that a log of two validations tells that there was a checkpoint.
                    checkpoints.wait()
                    writer.write_validation(number, metrics)
                    history[number] = metrics
                    state, ended = _guided(setup, state, history)
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
                names, batch = next(batches)
                if number == start:
                    train_step = parallel.compile_for(train_step, state, batch)
                    hosts.wait("compiled")  # an exchange between CPUs waits 30 s for the others
                state, values = train_step(state, batch)
                number += 1
                watch.follow(number, values, names)
                bar.update()
                if _every(config.train.log_every_steps, number) or number == total:
                    watch.settle()
                    row = {name: float(values[name]) for name in ("loss", "gradient_norm")}
                    writer.write(number, {"epoch": number / per_epoch, **row})
                    bar.set_postfix_str(_speed(bar, config, row["loss"]), refresh=False)


def _guided(setup: TrainingSetup, state: TrainState, history: dict) -> tuple[TrainState, bool]:
    """The state with the rate that the last validation leaves it, and whether training ends.

    What the rate was before it is the checkpoint's to say: the log may have lost lines.
    """
    validations = list(history.values())
    guidance = setup.recipe.guide(validations)
    before = setup.recipe.guide(validations[:-1]).rate_factor
    if guidance.rate_factor != before:
        factor = optim.rate_factor(state.opt_state) * guidance.rate_factor / before
        state = replace(state, opt_state=optim.set_rate_factor(state.opt_state, factor))
    return state, guidance.stop


def _every(interval: int, number: int) -> bool:
    return bool(interval) and number > 0 and number % interval == 0


def _validation_line(step: int, epoch: float, metrics: dict[str, float]) -> str:
    values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    return f"step {step:,} (epoch {epoch:.4g}) validation: {values}"


def _speed(bar: tqdm, config: ConfigDict, loss: float) -> str:
    rate = bar.format_dict["rate"]
    return f"loss {loss:.4f}" + (f", {rate * config.train.batch_size:.0f} ex/s" if rate else "")
