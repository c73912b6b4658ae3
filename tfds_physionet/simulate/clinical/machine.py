"""What electrodes, amplifiers and filters make of a heart's leads.

Ranges cover what 218 real records of seven databases show: medians and tails of noise above 40 Hz,
wander below 0.5 Hz and the slopes of their spectra.
"""

import numpy as np
from scipy import fft


def record_leads(
    rng: np.random.Generator, leads: np.ndarray, sampling_rate: float, mains_hz: float
) -> np.ndarray:
    """Returns I, II, V1 .. V6 [8, time] in mV as a machine stores them, float32."""
    num_samples = leads.shape[1]
    noisy = leads + _muscle(rng, num_samples, sampling_rate)
    noisy += _wander(rng, num_samples, sampling_rate)
    noisy += _hum(rng, num_samples, sampling_rate, mains_hz)
    _disturb(rng, noisy, sampling_rate)
    filtered = _filtered(rng, noisy, sampling_rate, mains_hz)
    _take_off(rng, filtered)
    return filtered


def _shaped(rng: np.random.Generator, shape: np.ndarray, num_samples: int) -> np.ndarray:
    """Noise of unit variance with this amplitude spectrum [frequency], float32 [8, time]."""
    parts = rng.standard_normal((2, 8, len(shape)), dtype=np.float32)
    noise = fft.irfft((parts[0] + 1j * parts[1]) * shape.astype(np.float32), num_samples)
    return noise / (noise.std(axis=1, keepdims=True) + 1e-12)


def _frequencies(num_samples: int, sampling_rate: float) -> np.ndarray:
    return np.arange(num_samples // 2 + 1) * (sampling_rate / num_samples)


def _muscle(rng: np.random.Generator, num_samples: int, sampling_rate: float) -> np.ndarray:
    """Muscle and amplifier noise, of some records in bursts: float32 [8, time]."""
    frequency = _frequencies(num_samples, sampling_rate)
    corner = rng.uniform(15, 60)
    shape = np.where(frequency > 0.3, 1 / (1 + (corner / np.maximum(frequency, 1)) ** 2), 0)
    shape = np.maximum(shape, rng.uniform(0.1, 0.6))
    level = rng.lognormal(np.log(0.007), 1.0) * rng.lognormal(0, 0.45, 8)
    level[2:] *= rng.uniform(0.5, 1.1)
    noise = _shaped(rng, shape, num_samples) * level[:, None]
    if rng.random() < 0.3:
        times = np.arange(num_samples) / num_samples
        start, width = rng.random(), rng.uniform(0.02, 0.25)
        burst = np.exp(-(((times - start) / width) ** 4)) * rng.uniform(1, 6)
        noise *= 1 + burst * (rng.random((8, 1)) < rng.uniform(0.2, 1))
    return noise.astype(np.float32)


def _wander(rng: np.random.Generator, num_samples: int, sampling_rate: float) -> np.ndarray:
    """The baseline's drift: slow noise, falling with frequency, up to 1 Hz: float32 [8, time]."""
    frequency = _frequencies(num_samples, sampling_rate)
    frequency = frequency[1 : max(2, np.searchsorted(frequency, rng.uniform(0.25, 1.3)))]
    shape = np.append(0, frequency ** -rng.uniform(0.8, 2)).astype(np.float32)
    own = _shaped(rng, shape, num_samples)
    # Limbs and chest share part of it.
    shared = rng.standard_normal((8, 2), dtype=np.float32) @ own[:2]
    level = rng.lognormal(np.log(0.025), 1.0) * rng.lognormal(0, 0.6, (8, 1))
    return (0.6 * own + 0.5 * shared) * level.astype(np.float32)


def _hum(
    rng: np.random.Generator, num_samples: int, sampling_rate: float, mains_hz: float
) -> np.ndarray:
    """The power line's hum, in a third of the records: float32 [8, time]."""
    if rng.random() > 0.35:
        return np.zeros((8, 1), np.float32)
    turns = 2 * np.pi * mains_hz / sampling_rate * np.arange(num_samples)
    level = min(rng.exponential(0.012), 0.15) * rng.standard_normal((2, 8, 1))
    return (level[0] * np.sin(turns) + level[1] * np.cos(turns)).astype(np.float32)


def _disturb(rng: np.random.Generator, leads: np.ndarray, sampling_rate: float) -> None:
    """Electrodes that move: steps that decay, short bumps; in place, [8, time]."""
    times = np.arange(leads.shape[1]) / sampling_rate
    length_s = times[-1]
    for _ in range(int(rng.choice([0, 1, 2], p=[0.72, 0.18, 0.10]))):
        start, touched = rng.uniform(0, length_s), rng.random((8, 1)) < 0.25
        size = rng.normal(0, 0.7, (8, 1)) * touched
        after = np.clip(times - start, 0, None)
        if rng.random() < 0.5:
            leads += size * (times >= start) * np.exp(-after / rng.uniform(0.3, 3))
        else:
            leads += size * np.exp(-(((times - start) / rng.uniform(0.05, 0.4)) ** 2))


def _filtered(
    rng: np.random.Generator, leads: np.ndarray, sampling_rate: float, mains_hz: float
) -> np.ndarray:
    """A machine's pass-band: 0 to 0.7 Hz below, 35 to 200 Hz above, at times a notch."""
    num_samples = leads.shape[1]
    frequency = _frequencies(num_samples, sampling_rate)
    high = rng.choice([rng.uniform(35, 45), rng.uniform(60, 110), 150.0, 200.0])
    low = rng.choice([0.0, 0.05, 0.15, 0.5, 0.67], p=[0.2, 0.35, 0.15, 0.2, 0.1])
    gain = 1 / np.sqrt(1 + (frequency / high) ** (2 * rng.integers(2, 6)))
    if low:
        gain *= 1 / np.sqrt(1 + (low / np.maximum(frequency, 1e-6)) ** 2)
    if rng.random() < 0.3:
        gain *= 1 - np.exp(-(((frequency - mains_hz) / 1.0) ** 2))
    return fft.irfft(fft.rfft(leads, axis=1) * gain.astype(np.float32), num_samples)


def _take_off(rng: np.random.Generator, leads: np.ndarray) -> None:
    """Leads that are off, chest leads that were never there, a range that ends; in place."""
    luck = rng.random()
    if luck < 0.02:
        leads[rng.integers(8)] = 0
    elif luck < 0.03:
        leads[2:] = 0
    elif luck < 0.04:
        lead, num_samples = rng.integers(8), leads.shape[1]
        start = rng.integers(num_samples)
        leads[lead, start : start + rng.integers(num_samples)] = rng.normal(0, 0.3)
    elif luck < 0.05:
        limit = rng.uniform(0.6, 1.5)
        np.clip(leads, -limit, limit, out=leads)
