"""A patient's beats and the atria's own waves, added up in the leads."""

import numpy as np

from tfds_physionet.simulate.clinical.findings import Case
from tfds_physionet.simulate.clinical.rhythm import flutter_period_s
from tfds_physionet.simulate.clinical.torso import draw_atrial, draw_torso
from tfds_physionet.simulate.clinical.waves import draw_shapes
from tfds_physionet.simulate.heart import Heart
from tfds_physionet.simulate.rhythm import Beats


def independent_leads(
    rng: np.random.Generator,
    case: Case,
    heart: Heart,
    beats: Beats,
    *,
    num_samples: int,
    sampling_rate: float,
) -> np.ndarray:
    """Returns I, II, V1 .. V6 in mV as electrodes would have them, float32 [8, time]."""
    torso = draw_torso(rng)
    shapes = draw_shapes(rng, heart, torso, st_change=case.st_change)
    before = int((np.nan_to_num(heart.pr_s, nan=0.2) + 0.15) * sampling_rate)
    window = np.arange(-before, int((heart.qt_s + 0.25) * sampling_rate))
    drawn = {kind: shapes[kind].at(window / sampling_rate) for kind in set(beats.kinds.tolist())}
    leads = np.zeros((num_samples, 8), np.float32)
    breathing = 2 * np.pi * (rng.uniform(0.15, 0.35) * beats.onsets_s + rng.random())
    depth = rng.normal(0, rng.uniform(0.01, 0.06), 8)
    sizes = 1 + np.sin(breathing)[:, None] * depth
    sizes += rng.uniform(0.005, 0.03) * rng.standard_normal(sizes.shape)
    starts = np.rint(beats.onsets_s * sampling_rate).astype(int) + window[0]
    for start, kind, size in zip(starts, beats.kinds, sizes, strict=True):
        low, high = max(start, 0), min(start + len(window), num_samples)
        if low < high:
            leads[low:high] += drawn[kind][low - start : high - start] * size
    times = np.arange(num_samples) / sampling_rate
    if case.rhythm == "AF":
        leads += _fibrillation(rng, times) @ draw_atrial(rng, torso).T
    if case.rhythm == "AFL":
        waves = _flutter(rng, heart, times - beats.onsets_s[0])
        leads += waves @ draw_atrial(rng, torso).T
    return leads.T


def _fibrillation(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Fibrillatory waves, 280 to 560 a minute, wavering, from coarse to hardly seen: [time, 3]."""
    rates = rng.uniform(4.6, 9.3) * rng.uniform(0.85, 1.15, 4)
    slow = rng.uniform(0.2, 1.5, 4)
    phases = 2 * np.pi * rng.random((2, 4))
    turns = 2 * np.pi * times[:, None]
    wavering = phases[0] + rng.uniform(0.8, 2.5) * np.sin(turns * slow + phases[1])
    waves = np.sin(turns * rates + wavering)
    size = float(np.clip(rng.lognormal(np.log(0.02), 0.6), 0.004, 0.08))
    return waves @ (size * rng.normal([0.15, 0.6, 0.8], 0.35, (4, 3)))


def _flutter(rng: np.random.Generator, heart: Heart, times: np.ndarray) -> np.ndarray:
    """Flutter waves: a sawtooth, mostly negative in II, III, aVF and positive in V1: [time, 3]."""
    turns = 2 * np.pi * (times / flutter_period_s(heart) + rng.random())
    shares = 1 / np.array([1, 2, 3]) ** rng.uniform(0.9, 1.8)
    saw = sum(share * np.sin(order * turns) for order, share in zip((1, 2, 3), shares, strict=True))
    size = float(np.clip(rng.lognormal(np.log(0.12), 0.4), 0.06, 0.3))
    vector = np.array([-0.2, -1.0, 0.5]) if rng.random() < 0.75 else np.array([0.2, 0.9, -0.4])
    return np.outer(size * saw, vector + rng.normal(0, 0.15, 3))
