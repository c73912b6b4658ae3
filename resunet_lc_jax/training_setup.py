"""What a config comes to before training starts: checked, compiled, placed on the devices."""

from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from typing import Any

import jax
from ml_collections import ConfigDict

from resunet_lc_jax.data import stream
from resunet_lc_jax.data.sources import Records, open_records
from resunet_lc_jax.data.windows import ScoreBatch, Windowing
from resunet_lc_jax.devices import parallel
from resunet_lc_jax.fine_tuning import first_variables
from resunet_lc_jax.learning import steps
from resunet_lc_jax.learning.recipe import Recipe
from resunet_lc_jax.learning.state import TrainState, create_state
from resunet_lc_jax.models import Network
from resunet_lc_jax.runs import settings
from resunet_lc_jax.runs.config import check_config
from resunet_lc_jax.runs.open_run import compile_scoring
from resunet_lc_jax.runs.workdir import build_model, initial_variables


@dataclass(frozen=True, eq=False)
class TrainingSetup:
    """A run that can start.

    Attributes:
      config: The run's config.
      devices: Where it trains, and how the step is compiled.
      model: The network.
      recipe: Loss, augmentation, optimiser and schedule.
      records: What it trains, validates and tests on.
      windowing: Of the training batches.
      steps_per_epoch: Steps that read each training record once.
      total_steps: Steps of the whole run.
    """

    config: ConfigDict
    devices: parallel.Devices
    model: Network
    recipe: Recipe
    records: Records
    windowing: Windowing
    steps_per_epoch: int
    total_steps: int

    def compile_step(self) -> Callable:
        """Compiles the training step: (state, batch) -> (state, values)."""
        config = self.config
        step = partial(
            steps.train_step,
            model=self.model.over(_statistics_axis(config, self.devices)),
            tx=self.recipe.tx,
            seed=config.seed,
            statistics=self.windowing.statistics,
            loss=self.recipe.loss,
            augment=self.recipe.augment,
            accumulate_steps=config.train.accumulate_steps,
            average_decay=config.train.ema_decay,
            axis_name=self.devices.axis_name,
        )
        return parallel.compile_train_step(step, self.devices)

    @cached_property
    def _scoring(self) -> tuple[parallel.Devices, Callable[[dict], ScoreBatch]]:
        here = parallel.choose_devices(self.config.parallel.mode, jax.local_devices())
        statistics = self.windowing.statistics
        return here, compile_scoring(self.model, here, statistics=statistics)

    def scorer(self, variables: dict[str, Any]) -> ScoreBatch:
        """What scores a batch of windows with these variables, as they are on the devices.

        Each process scores on its own devices, in its own time.
        """
        here, scoring = self._scoring
        return scoring(variables if here == self.devices else parallel.place_state(variables, here))

    def first_state(self, *, begun: bool = False) -> TrainState:
        """The state at step 0, on the devices.

        Args:
          begun: Whether it only gives a checkpoint its form: then nothing is read from
            `config.init_from`, which may have moved since.
        """
        draw = initial_variables if begun else first_variables
        variables = draw(self.config, self.model)
        average = self.config.train.ema_decay > 0
        return parallel.place_state(
            create_state(variables, self.recipe.tx, average=average), self.devices
        )

    def placed_batches(self, start: int) -> Generator[tuple[list[str], dict[str, jax.Array]]]:
        """Batches on the devices, two of them always under way, and their records' names.

        To be closed by who is through with it: it holds files and threads.
        """
        batches = stream.training_batches(
            self.records,
            self.records.selection.split("train"),
            self.windowing,
            start_step=start,
            process=(jax.process_index(), jax.process_count()),
        )

        def place(batch: dict) -> tuple[list[str], dict[str, jax.Array]]:
            names = [name.decode() for name in batch.pop("record_id")]
            return names, parallel.place_batch(batch, self.devices)

        with closing(batches):
            placed = map(place, batches)
            ahead = deque(islice(placed, 2))
            while True:
                yield ahead.popleft()
                ahead.append(next(placed))

    def describe(self, state: TrainState) -> str:
        """One line: the network, the devices, the records and the steps."""
        parameters = sum(x.size for x in jax.tree.leaves(state.params))
        count = len(self.records.selection.split("train"))
        device = self.devices.mesh.devices.flat[0].device_kind
        return (
            f"{self.config.model.name}: {parameters:,} parameters on {self.devices.mesh.size} x "
            f"{device} ({self.devices.mode}); {count:,} training records, "
            f"{self.steps_per_epoch:,} steps an epoch, {self.total_steps:,} in all"
        )


def set_up_training(config: ConfigDict, records: Records | None = None) -> TrainingSetup:
    """Checks a config against the devices, the network and the records; writes no run.

    Args:
      config: The run's config.
      records: The records that it asks for where they are open already; which serve what is chosen
        anew.

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
    rules = settings.split_rules(config)
    opened = records.selected(rules) if records else open_records(settings.source(config), rules)
    training = opened.selection.split("train")
    windowing = replace(settings.windowing(config), batch_size=config.train.batch_size)
    steps_per_epoch = len(training) // windowing.batch_size
    if steps_per_epoch == 0:
        raise ValueError(
            f"config.train.batch_size is {windowing.batch_size}, but only {len(training)} records "
            "train; choose a smaller batch"
        )
    return TrainingSetup(
        config=config,
        devices=devices,
        model=model,
        recipe=settings.recipe(
            config,
            steps_per_epoch=steps_per_epoch,
            sampling_rate=opened.sampling_rate,
            labels=training.table.labels,
            databases=training.table.database,
        ),
        records=opened,
        windowing=windowing,
        steps_per_epoch=steps_per_epoch,
        total_steps=config.train.steps or config.train.epochs * steps_per_epoch,
    )


def _statistics_axis(config: ConfigDict, devices: parallel.Devices) -> str | None:
    """Over which devices BatchNorm counts; under jit it sees the whole batch anyway."""
    wanted = config.parallel.batch_statistics
    if wanted == "device" and devices.mode != "pmap":
        raise ValueError("config.parallel.batch_statistics='device' is there under pmap alone")
    return devices.axis_name if wanted == "global" else None
