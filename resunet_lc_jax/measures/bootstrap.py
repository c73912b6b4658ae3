"""The bootstrap over patients.

A replicate draws as many patients as there are, with replacement. It enters as a weight per record
(how often its patient was drawn); `metrics.weighted_scores` measures it.
"""

from collections.abc import Iterator, Sequence

import numpy as np

# One for all, so that the same predictions have the same intervals wherever they are reported.
_SEED = 0
# Replicates at a time: keeps the sums of weights of 20,000 records within a few MB.
_BLOCK = 64


def patient_weights(
    patient_ids: Sequence[str] | np.ndarray, *, replicates: int = 1000, seed: int = _SEED
) -> Iterator[np.ndarray]:
    """Draws patients with replacement.

    Args:
      patient_ids: [N]. The same patients in the same places get the same draws, so that two runs
        can be compared replicate by replicate.
      replicates: how many in all.
      seed: of the draws.

    Yields:
      [R, N] int32 in blocks of replicates: how often each record was drawn.
    """
    patients, patient = np.unique(np.asarray(patient_ids, dtype=str), return_inverse=True)
    rng = np.random.default_rng(seed)
    for start in range(0, replicates, _BLOCK):
        block = min(_BLOCK, replicates - start)
        drawn = rng.integers(len(patients), size=(block, len(patients)))
        drawn += np.arange(block)[:, None] * len(patients)
        counts = np.bincount(drawn.ravel(), minlength=block * len(patients))
        yield counts.reshape(block, -1).astype(np.int32)[:, patient]
