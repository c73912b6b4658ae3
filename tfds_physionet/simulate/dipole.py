"""The heart's dipole in time, a sum of Gaussians of a 3-D vector, and its projection on the leads.

Axes: x to the patient's left, y to the feet, z to the front; in mV.
"""

import numpy as np

from tfds_physionet.simulate.heart import Heart
from tfds_physionet.simulate.qrs import LEADS, Waves, draw_qrs
from tfds_physionet.simulate.rhythm import Beats, flutter_period_s


def independent_leads(
    rng: np.random.Generator, heart: Heart, beats: Beats, *, num_samples: int, sampling_rate: float
) -> np.ndarray:
    """Returns I, II, V1 .. V6 in mV without noise, float32 [8, time]."""
    dipole = _beating(rng, heart, beats, num_samples, sampling_rate)
    times = np.arange(num_samples, dtype=np.float32) / sampling_rate
    if heart.rhythm == "fibrillation":
        dipole += _fibrillation(rng, times)
    if heart.rhythm == "flutter":
        dipole += _flutter(rng, heart, times - beats.onsets_s[0])
    return LEADS.astype(np.float32) @ dipole.T


def _beating(
    rng: np.random.Generator, heart: Heart, beats: Beats, num_samples: int, sampling_rate: float
) -> np.ndarray:
    """Adds up the beats' waves: float32 [time, 3]."""
    kinds = _beat_kinds(rng, heart)
    size = max(len(waves.centre_s) for waves in kinds)
    padded = [_pad(waves, size) for waves in kinds]
    centres = np.stack([waves.centre_s for waves in padded]).astype(np.float32)
    widths = np.stack([waves.width_s for waves in padded]).astype(np.float32)
    vectors = np.stack([waves.mv for waves in padded]).astype(np.float32)

    before = int((np.nan_to_num(heart.pr_s) + 0.1) * sampling_rate)
    window = np.arange(-before, int((heart.qt_s + 0.2) * sampling_rate))
    first = np.floor(beats.onsets_s * sampling_rate).astype(int)
    # Times are taken from each beat's own onset, which lies between samples.
    times = ((first[:, None] + window) / sampling_rate - beats.onsets_s[:, None]).astype(np.float32)
    steps = (times[:, :, None] - centres[beats.kinds, None]) / widths[beats.kinds, None]
    breathing = 1 + 0.04 * np.sin(2 * np.pi * (0.25 * beats.onsets_s + rng.random()))
    sizes = vectors[beats.kinds] * breathing.astype(np.float32)[:, None, None]
    shapes = np.exp(-0.5 * steps**2) @ sizes

    dipole = np.zeros((num_samples, 3), np.float32)
    for start, shape in zip(first + window[0], shapes, strict=True):
        low, high = max(start, 0), min(start + len(window), num_samples)
        if low < high:
            dipole[low:high] += shape[low - start : high - start]
    return dipole


def _beat_kinds(rng: np.random.Generator, heart: Heart) -> list[Waves]:
    """The waves of a regular, an atrial premature and a ventricular premature beat."""
    qrs = draw_qrs(rng, heart)
    t_wave = _t_wave(rng, heart, qrs)
    p_mv = 0.7 if "LQRSV" in heart.diagnoses else 1.0
    p_wave = _p_wave(rng, heart.pr_s, p_mv * np.array([0.11, 0.14, 0.02]))
    spike = [_spike(rng)] if heart.rhythm == "paced" else []
    regular = _join([p_wave, *spike, qrs, t_wave])
    if heart.rhythm != "sinus":
        atrial = regular
    else:
        # From another place in the atria: another way through them.
        early_p = _p_wave(rng, min(heart.pr_s, 0.16), p_mv * np.array([0.10, -0.12, 0.08]))
        atrial = _join([early_p, qrs, t_wave])
    return [regular, atrial, _ventricular(rng, heart)]


def _t_wave(rng: np.random.Generator, heart: Heart, qrs: Waves) -> Waves:
    """A slow rise and a faster fall; its end (where the steepest tangent meets 0) is at QT."""
    angle = np.deg2rad(rng.uniform(25, 60))
    vector = np.array([np.cos(angle), np.sin(angle), rng.uniform(0.1, 0.5)])
    vector *= rng.uniform(0.28, 0.42) * heart.limb_mv**0.8
    foot = 0.4
    if heart.form == "RBBB":
        vector[2] *= -0.8
    if heart.t_form == "inverted":
        # At least 0.1 mV in leads with an upright QRS, low voltage or not.
        vector *= -rng.uniform(0.7, 1.0) * max(0.6 / heart.limb_mv, 1.0)
    elif heart.t_form == "flat":
        vector *= rng.uniform(-0.08, 0.08)  # below a tenth of R
    elif heart.t_form == "biphasic":
        vector, foot = -vector * 0.6, -1.1
    elif heart.t_form == "discordant":
        area = qrs.width_s @ qrs.mv
        vector = -rng.uniform(0.3, 0.45) * area / np.linalg.norm(area)
    width = float(np.clip(0.17 * (heart.qt_s - heart.qrs_s), 0.026, 0.055))
    peak = heart.qt_s - 2 * width
    return Waves(
        np.array([peak - 1.4 * width, peak]),
        np.array([1.5 * width if foot > 0 else width, width]),
        np.stack([foot * vector, vector]),
    )


def _p_wave(rng: np.random.Generator, pr_s: float, mean_mv: np.ndarray) -> Waves:
    """The right atrium (to the front), then the left (to the back); none where pr_s is nan."""
    if np.isnan(pr_s):
        return Waves(np.zeros(0), np.zeros(0), np.zeros((0, 3)))
    mv = mean_mv * rng.uniform(0.65, 1.05) * rng.lognormal(0, 0.1, 3) + [
        [0, 0, 0.04],
        [0, 0, -0.04],
    ]
    width = 0.018
    start = -pr_s + 2 * width
    return Waves(np.array([start, start + rng.uniform(0.022, 0.035)]), np.full(2, width), mv)


def _spike(rng: np.random.Generator) -> Waves:
    """A pacemaker's stimulus, 4 ms before the QRS."""
    mv = rng.uniform(1.5, 3.0) * np.array([[0.6, 0.7, -0.4]])
    return Waves(np.array([-0.004]), np.array([0.0016]), mv)


def _ventricular(rng: np.random.Generator, heart: Heart) -> Waves:
    """A premature ventricular beat: no P wave, wide, large, T opposite to QRS."""
    angle = rng.uniform(0, 2 * np.pi)
    front = rng.choice([-1.0, 1.0]) * rng.uniform(0.5, 1.0)
    unit = np.array([np.cos(angle), np.sin(angle), front])
    size = 1.7 * max(heart.limb_mv, 0.5)
    qrs_s = rng.uniform(0.15, 0.18)
    t_s = max(heart.qt_s, qrs_s + 0.2)
    return Waves(
        np.array([0.32 * qrs_s, 0.60 * qrs_s, 0.85 * qrs_s, t_s - 0.11]),
        np.array([0.12 * qrs_s, 0.12 * qrs_s, 0.07 * qrs_s, 0.055]),
        size * np.array([[0.9], [0.6], [-0.25], [-0.35]]) * unit,
    )


def _fibrillation(rng: np.random.Generator, times: np.ndarray) -> np.ndarray:
    """Fibrillatory waves, 300 to 500 a minute, wavering; largest in V1 and II."""
    rates = rng.uniform(4.5, 8.5, 3)
    slow = rng.uniform(0.3, 1.2, 3)
    phases = 2 * np.pi * rng.random((2, 3))
    turns = 2 * np.pi * times[:, None]
    waves = np.sin(turns * rates + phases[0] + 1.5 * np.sin(turns * slow + phases[1])).sum(axis=1)
    size = rng.uniform(0.025, 0.055)
    return np.outer(waves * size, [0.1, 0.8, 0.9]).astype(np.float32)


def _flutter(rng: np.random.Generator, heart: Heart, times: np.ndarray) -> np.ndarray:
    """Flutter waves: a sawtooth, negative in II, III, aVF and positive in V1."""
    turns = 2 * np.pi * (times / flutter_period_s(heart) + rng.random())
    saw = sum(np.sin(order * turns) / order for order in (1, 2, 3))
    size = rng.uniform(0.13, 0.2)
    return np.outer(size * saw, [-0.2, -1.0, 0.6]).astype(np.float32)


def _join(parts: list[Waves]) -> Waves:
    return Waves(
        np.concatenate([part.centre_s for part in parts]),
        np.concatenate([part.width_s for part in parts]),
        np.concatenate([part.mv for part in parts]),
    )


def _pad(waves: Waves, size: int) -> Waves:
    """Adds waves of no height, so that all kinds of beat have as many."""
    more = size - len(waves.centre_s)
    return Waves(
        np.append(waves.centre_s, np.zeros(more)),
        np.append(waves.width_s, np.ones(more)),
        np.append(waves.mv, np.zeros((more, 3)), axis=0),
    )
