"""A trained network for Python programs: NumPy arrays in, NumPy arrays out, no files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from resunet_lc_jax.command_line.config_files import default_config
from resunet_lc_jax.data.sources import VARIANTS
from resunet_lc_jax.data.windows import ScoreBatch, score_signals, window_starts
from resunet_lc_jax.learning.steps import normalise
from resunet_lc_jax.models.embedding import embedding
from resunet_lc_jax.pretrained import BETTER, located
from resunet_lc_jax.runs.config import load_for_use
from resunet_lc_jax.runs.open_run import OpenRun, open_run
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.formats.arrays import layout_of, to_recording
from tfds_physionet.formats.facts import Facts
from tfds_physionet.reading.records import EcgRecord, from_recording
from tfds_physionet.reading.signals import PreparedSignal, prepare


@dataclass(frozen=True, eq=False)
class Classified:
    """What a network says of one ECG, or of N.

    Attributes:
      scores: [26] or [N, 26] float32, uncalibrated probabilities, in the order of `classes`.
      decisions: [26] or [N, 26] uint8: 1 where the score reaches the class's threshold.
    """

    scores: np.ndarray
    decisions: np.ndarray


class Classifier:
    """A trained network. One may be called by several threads at once."""

    def __init__(self, run: OpenRun) -> None:
        """Takes a run; `load` opens one."""
        self._run = run
        self._score_batch = run.score_batch
        self._embed = jax.jit(partial(_embedded, run))

    @classmethod
    def load(cls, run: str | Path = BETTER) -> "Classifier":
        """Loads a network.

        Args:
          run: A run's folder, or 'simulated' or 'finetuned', which come with the package.

        Raises:
          FileNotFoundError: There is no such run, or it has no checkpoint yet.
          ValueError: The folder holds something else, or a file in it is damaged.
        """
        folder = located(str(run))
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder}")
        return cls(open_run(folder, load_for_use(folder, default_config(), {})))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the 26 classes in the order of the scores."""
        return CLASS_NAMES

    @property
    def thresholds(self) -> np.ndarray:
        """[26] float64: a score from here on is a positive decision."""
        return self._run.thresholds.values.copy()

    @property
    def untrusted(self) -> dict[str, str]:
        """Classes that a reader should not trust, and why."""
        return dict(self._run.untrusted)

    def __call__(
        self,
        signal: np.ndarray,
        *,
        leads: Sequence[str],
        sampling_rate: float,
        unit: str = "mV",
    ) -> Classified:
        """Classifies one ECG or several of one form, as `--mode=predict` does with files.

        Args:
          signal: [lead, time] or [N, lead, time], numbers in `unit`; nan is a missing sample.
          leads: Their names, in any usual spelling and order. Limb leads that two others give are
            derived; what else is not there is missing.
          sampling_rate: In Hz.
          unit: mV, uV, V or nV.

        Raises:
          RecordError: An ECG can't be used; the message says why.
        """
        prepared, several = self._prepared(signal, leads, sampling_rate, unit)
        found = list(self._over(prepared, self._score_batch))
        scores = np.stack(found)
        decided = [
            self._run.kept.of_leads(self._run.windowing.leads, one.leads_missing).decide(row)
            for one, row in zip(prepared, scores, strict=True)
        ]
        decisions = np.stack(decided)
        return Classified(scores, decisions) if several else Classified(scores[0], decisions[0])

    def embeddings(
        self,
        signal: np.ndarray,
        *,
        leads: Sequence[str],
        sampling_rate: float,
        unit: str = "mV",
    ) -> np.ndarray:
        """Returns the vector before the last layer, [D] or [N, D] float32: its windows' mean.

        Arguments and errors are those of a call.
        """
        prepared, several = self._prepared(signal, leads, sampling_rate, unit)
        vectors = np.stack(list(self._over(prepared, self._embed)))
        return vectors if several else vectors[0]

    def _prepared(
        self, signal: np.ndarray, leads: Sequence[str], sampling_rate: float, unit: str
    ) -> tuple[list[PreparedSignal], bool]:
        facts = Facts(leads=tuple(leads), rate=float(sampling_rate), unit=unit)
        variant = VARIANTS[self._run.config.data.variant]
        several = np.ndim(signal) == 3
        records = [_record(one, facts) for one in (signal if several else [signal])]
        return [
            prepare(record, sampling_rate=variant.sampling_rate, band_hz=variant.band_hz)
            for record in records
        ], several

    def _over(
        self, prepared: Sequence[PreparedSignal], function: ScoreBatch
    ) -> Iterator[np.ndarray]:
        """Yields the mean over each signal's windows, in batches no larger than they need be."""
        cut = self._run.windowing
        windows = sum(
            len(window_starts(one.signal.shape[1], cut.length, cut.rule)) for one in prepared
        )
        size = min(cut.batch_size, 1 << (windows - 1).bit_length())
        keyed = ((None, one) for one in prepared)
        for _, values in score_signals(keyed, function, replace(cut, batch_size=size)):
            yield values


def _record(signal: np.ndarray, facts: Facts) -> EcgRecord:
    name, values = Path("signal"), np.asarray(signal)
    layout = layout_of(name, values.shape, facts.leads)
    if values.ndim == 1:
        values = values[None]
    values = values if layout.leads_first else values.T
    return from_recording(name, to_recording(name, values, layout.leads, facts, 0, []))


def _embedded(run: OpenRun, batch: dict[str, Any]) -> jax.Array:
    inputs = normalise(batch, statistics=run.windowing.statistics)
    return embedding(run.model, run.variables, inputs["signal"], inputs["lead_present"])
