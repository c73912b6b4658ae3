"""A run, opened once: its network at a checkpoint, its thresholds and its records, checked."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from resunet_lc_jax.data.leads import lead_mask
from resunet_lc_jax.data.selection import Split
from resunet_lc_jax.data.sources import Records, open_records
from resunet_lc_jax.data.windows import Key, ScoreBatch, Windowing, score_signals
from resunet_lc_jax.devices import hosts, parallel
from resunet_lc_jax.learning import steps
from resunet_lc_jax.measures.predictions import Predictions
from resunet_lc_jax.measures.thresholds import Thresholds
from resunet_lc_jax.models import Network
from resunet_lc_jax.models.folding import fold
from resunet_lc_jax.runs import kept_thresholds, provenance, settings
from resunet_lc_jax.runs.changes import Changes, changes, remarks
from resunet_lc_jax.runs.kept_thresholds import Checkpoint, Kept, identify
from resunet_lc_jax.runs.kind import SHIPPED, kind_of
from resunet_lc_jax.runs.overlaps import Overlap, overlap
from resunet_lc_jax.runs.screen import progress
from resunet_lc_jax.runs.seen import Seen, read_seen, threshold_records
from resunet_lc_jax.runs.trust import Untrusted, format_untrusted, read_untrusted
from resunet_lc_jax.runs.weights import restore_weights
from resunet_lc_jax.runs.workdir import build_model, configure_jax, initial_variables
from tfds_physionet.diagnoses import NUM_CLASSES
from tfds_physionet.reading.records import MISSING
from tfds_physionet.reading.signals import PreparedSignal


@dataclass(frozen=True, eq=False)
class OpenRun:
    """A run that can score records.

    Attributes:
      workdir: Its folder.
      config: Its config, with the overrides of this command.
      model: The network.
      variables: Parameters and BatchNorm statistics of the checkpoint.
      checkpoint: Which it is.
      kept: What decides.
      records: What its splits are taken from; None where they are not needed.
      overlaps: What of each split that was asked for had a part in making it.
    """

    workdir: Path
    config: ConfigDict
    model: Network
    variables: dict[str, Any]
    checkpoint: Checkpoint
    kept: Kept
    records: Records | None = None
    overlaps: dict[str, Overlap] = field(default_factory=dict)

    @property
    def step(self) -> int:
        """The checkpoint's step."""
        return self.checkpoint.step

    @property
    def thresholds(self) -> Thresholds:
        """What decides on records that have all leads."""
        return self.kept.thresholds

    @property
    def title(self) -> str:
        """What it is called above a table."""
        return f"{self.config.model.name}, step {self.step:,}"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of its numbers must know of records, thresholds and other settings."""
        kept = (self.kept.remark,) if self.kept.remark else ()
        shipped = kind_of(self.workdir) == SHIPPED
        card = (format_untrusted(self.untrusted),) if shipped and self.untrusted else ()
        return (self.records.notes if self.records else ()) + kept + remarks(self.changed) + card

    @cached_property
    def untrusted(self) -> Untrusted:
        """The classes that a reader should not trust, and why."""
        return read_untrusted(self.workdir, self.checkpoint)

    @cached_property
    def changed(self) -> Changes:
        """The settings of this command that are not its own."""
        return changes(self.workdir, self.config)

    @cached_property
    def key(self) -> str:
        """Changes with whatever changes a record's scores."""
        cut = replace(self.windowing, batch_size=0)
        told = (self.checkpoint, cut, self.config.data.variant, self.config.precision)
        return hashlib.blake2b(repr(told).encode(), digest_size=8).hexdigest()

    @cached_property
    def seen(self) -> Seen:
        """The records that had a part in making it."""
        return read_seen(self.workdir)

    def unseen(self, name: str) -> Split:
        """Returns a split that it may be measured on; what it has seen of it is in `overlaps`.

        Raises:
          ValueError: There is no such split, or its records had a part in making the run.
        """
        assert self.records is not None, "the run was opened without records"
        split = self.records.selection.split(name)
        if name not in self.overlaps:
            found = overlap(self.seen, split, self.workdir.name)
            allowed = self.config.eval.seen_records
            self.overlaps[name] = found.check(self.workdir, allowed=allowed)
        return split

    def tuned_overlaps(self, name: str) -> list[Overlap]:
        """What it has seen of a split where the validation records choose thresholds anew.

        Raises:
          ValueError: As `unseen`; of the validation records too, and where they are in the split.
        """
        split, validation = self.unseen(name), self.unseen("validation")
        seen = self.seen.over(threshold_records(validation))
        found = overlap(seen, split, self.workdir.name)
        found.check(self.workdir, allowed=self.config.eval.seen_records)
        chosen_on = self.overlaps["validation"]
        return [found] + [chosen_on] * (not chosen_on.told)

    @cached_property
    def windowing(self) -> Windowing:
        """How records are cut for it."""
        return settings.windowing(self.config)

    @cached_property
    def score_batch(self) -> ScoreBatch:
        """Its network, folded and compiled for the devices of this process.

        Raises:
          ValueError: The devices do not divide `config.eval.batch_size`.
        """
        devices = parallel.choose_devices(self.config.parallel.mode, jax.local_devices())
        size = self.windowing.batch_size
        parallel.check_batch_size(devices, size, name="config.eval.batch_size")
        model, variables = fold(self.model, self.variables, length=self.windowing.length)
        scoring = compile_scoring(model, devices, statistics=self.windowing.statistics)
        return scoring(parallel.place_state(variables, devices))

    def score_signals(
        self, signals: Iterable[tuple[Key, PreparedSignal]]
    ) -> Iterator[tuple[Key, np.ndarray]]:
        """Scores prepared signals as they come; see `windows.score_signals`."""
        return score_signals(signals, self.score_batch, self.windowing)

    def score(self, split: str, *, leads: int | None = None) -> Predictions:
        """Scores each record of a split once; the run's thresholds decide.

        Args:
          split: See `Selection.split`.
          leads: The size of a lead set: the leads outside it count as missing. None: no lead does.

        Raises:
          ValueError: There is no such split or lead set, or the split's records had a part in
            making the run.
        """
        chosen = self.unseen(split)
        assert self.records is not None  # or there would be no split
        score_batch = self.score_batch
        if leads is not None:
            mask = lead_mask(leads, self.windowing.leads)
            score_batch = partial(_with_leads, score_batch, mask)
        scored = score_split(self.records, chosen, score_batch, self.windowing)
        return scored.decided(self.thresholds)


def open_run(
    workdir: Path, config: ConfigDict, *splits: str, records: Records | None = None
) -> OpenRun:
    """Opens a run at its best checkpoint.

    Args:
      workdir: The run's folder.
      config: Its config, from `load_config`.
      splits: Those that will be scored; none: its records are not opened.
      records: The records of the config where they are open already; which serve what is chosen
        anew.

    Raises:
      FileNotFoundError: The run has no checkpoint yet.
      ValueError: No records are named, they are not the run's own, there is no such split, or its
        records had a part in making the run.
    """
    configure_jax(config)
    if splits:
        if config.data.records is None:
            raise ValueError(f"{workdir} has no records of its own; give --config.data.records=DIR")
        rules = settings.split_rules(config)
        given = records
        records = given.selected(rules) if given else open_records(settings.source(config), rules)
        provenance.check_data(workdir, records.folder, allowed=config.eval.other_records)
    run = load_run(workdir, config, records=records)
    for split in splits:
        run.unseen(split)
    return run


def load_run(
    workdir: Path,
    config: ConfigDict,
    *,
    checkpoint: str | None = None,
    model: Network | None = None,
    records: Records | None = None,
) -> OpenRun:
    """Loads a checkpoint of a run, and its thresholds; without any, 0.5 decides.

    Args:
      workdir: The run's folder.
      config: Its config, from `load_config`.
      checkpoint: 'best' or 'latest'; None for `config.eval.checkpoint`.
      model: The config's network where it is built already.
      records: What the run holds as its records, checked.

    Raises:
      FileNotFoundError: The run has no checkpoint yet.
    """
    model = model or build_model(config)
    like = jax.eval_shape(partial(initial_variables, config, model))
    step, variables = restore_weights(
        workdir, like, checkpoint=checkpoint or config.eval.checkpoint
    )
    loaded = identify(step, variables)
    kept = kept_thresholds.load(workdir, loaded)
    return OpenRun(workdir, config, model, variables, loaded, kept, records)


def compile_scoring(
    model: Network, devices: parallel.Devices, *, statistics: str
) -> Callable[[dict], ScoreBatch]:
    """Compiles a network's evaluation: from variables on the devices to what scores a batch."""
    step = partial(steps.eval_step, model=model, statistics=statistics)
    compiled = parallel.compile_eval_step(step, devices)

    def score_batch(variables: dict, batch: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(compiled(variables, parallel.place_batch(batch, devices)))

    return lambda variables: partial(score_batch, variables)


def score_split(
    records: Records, split: Split, score_batch: ScoreBatch, windowing: Windowing
) -> Predictions:
    """Scores each record of a split exactly once; 0.5 decides.

    Several processes share the records out and each gets all of the scores.
    """
    from resunet_lc_jax.data.stream import stored_signals  # imports tensorflow

    process = (jax.process_index(), jax.process_count())
    numbers = range(len(split))[process[0] :: process[1]]
    scores = np.zeros((len(split), NUM_CLASSES), np.float32)
    with closing(stored_signals(records, split, process=process)) as stored:
        signals = (signal for _, signal in stored)
        shown = progress(signals, split.name, len(numbers), leave=False)
        pairs = zip(numbers, shown, strict=True)
        for number, found in score_signals(pairs, score_batch, windowing):
            scores[number] = found
    scores, table, decided_at = hosts.total(scores), split.table, Thresholds.fixed()
    return Predictions(
        record_id=table.record_id,
        patient_id=table.patient_id,
        database=table.database,
        labels=table.labels,
        scores=scores,
        decisions=decided_at.decide(scores),
        thresholds=decided_at.values,
        age=table.age,
        sex=table.sex,
    )


def _with_leads(
    score_batch: ScoreBatch, mask: np.ndarray, batch: dict[str, np.ndarray]
) -> np.ndarray:
    """Scores a batch as if its records had only the leads of mask [L] bool."""
    return score_batch(
        {
            **batch,
            "signal": np.where(mask[:, None], batch["signal"], np.int16(MISSING)),
            "lead_present": batch["lead_present"] & mask,
        }
    )
