"""Models side by side on the same records: their numbers and their differences to the first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from resunet_lc_jax.measures.intervals import Estimate
from resunet_lc_jax.measures.measured import difference, mean_of, measure
from resunet_lc_jax.measures.predictions import Predictions

COLUMNS = {
    "f_measure": "F-measure",
    "auprc": "AUPRC",
    "hamming_loss": "Hamming loss",
    "specificity": "Specificity",
    "auroc": "AUROC",
    "challenge_metric": "Challenge metric",
}
_SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """One line of the table.

    Attributes:
      name: of the model, or of the group of its seeds.
      source: the runs or tables, joined by +.
      members: how many there are.
      scores: by metric of `COLUMNS`; of a group the mean, with the interval of the mean.
      deviations: their standard deviation over the group (n - 1); None of a single run.
      differences: to the first model, paired by replicate; None for the first.
      adjusted: the differences' p-values, by Holm for all metrics at once; None for the first.
      measured: its `metrics.score`, the mean of a group.
      few: [26] bool, see `Measured`; the same for all models.
    """

    name: str
    source: str
    members: int
    scores: dict[str, Estimate]
    deviations: dict[str, float] | None
    differences: dict[str, Estimate] | None
    adjusted: dict[str, float] | None
    measured: dict
    few: np.ndarray

    def differs(self, key: str) -> bool:
        """Whether it differs from the first in a metric, all metrics considered."""
        if self.differences is None or self.adjusted is None:
            return False
        of = self.differences[key]
        return self.adjusted[key] < _SIGNIFICANT and not of.low <= 0 <= of.high


def compare_models(
    models: Mapping[str, Sequence[Predictions]],
    sources: Mapping[str, str],
    *,
    replicates: int,
) -> list[ComparedModel]:
    """Measures models on the same records.

    Args:
      models: by name, the predictions of each of its runs; records stand in the same order in all.
      sources: by name, what to call the runs.
      replicates: of the bootstrap over patients.
    """
    lines = []
    first = None
    for name, members in models.items():
        each = [
            measure(run.labels, run.scores, run.decisions, run.patient_id, replicates=replicates)
            for run in members
        ]
        whole = mean_of(each)
        differences = None
        if first is not None:
            differences = {key: difference(first, whole, key) for key in COLUMNS}
        first = first or whole
        deviations = None
        if len(each) > 1:
            deviations = {
                key: float(np.std([run.scores[key] for run in each], ddof=1)) for key in COLUMNS
            }
        lines.append(
            ComparedModel(
                name,
                sources[name],
                len(each),
                {key: whole.macro[key] for key in COLUMNS},
                deviations,
                differences,
                None if differences is None else holm(_p_values(differences)),
                whole.scores,
                whole.few,
            )
        )
    return lines


def _p_values(differences: Mapping[str, Estimate]) -> dict[str, float]:
    return {key: of.p_value for key, of in differences.items()}


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values that hold for all of them at once.

    Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scand. J. Statist. 1979.

    Args:
      p_values: by name; NaN counts as 1.

    Returns:
      The adjusted ones by name, at most 1.
    """
    known = {key: 1.0 if np.isnan(p) else p for key, p in p_values.items()}
    adjusted: dict[str, float] = {}
    least = 0.0
    for rank, key in enumerate(sorted(known, key=lambda key: known[key])):
        least = min(max(least, (len(known) - rank) * known[key]), 1.0)
        adjusted[key] = least
    return {key: adjusted[key] for key in p_values}
