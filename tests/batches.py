"""Small random batches for the tests of steps and loops."""

import numpy as np

from tfds_physionet.reading.records import MISSING


def random_batch(seed: int, *, size: int, leads: int = 12, length: int = 128) -> dict:
    """A batch whose labels can be read off the signal's offsets, some samples missing."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((size, 26)) < 0.3).astype(np.float32)
    signal = rng.normal(0, 300, (size, leads, length)) + 100 * labels[:, :leads, None]
    signal = signal.astype(np.int16)
    signal[:, 0, -7:] = MISSING
    return {
        "signal": signal,
        "lead_mean": np.full((size, leads), 20, np.float32),
        "lead_std": np.full((size, leads), 300, np.float32),
        "lead_present": np.ones((size, leads), bool),
        "labels": labels,
        "mask": np.ones(size, np.float32),
        "index": np.arange(size, dtype=np.int32),
    }


def as_dtype(batch: dict, dtype: str) -> dict:
    """The batch with its float32 arrays in another type."""
    return {
        name: values.astype(dtype) if values.dtype == np.float32 else values
        for name, values in batch.items()
    }
