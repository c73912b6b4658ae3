"""The shapes of a patient's beats: Gaussian waves, each with its voltage in the eight leads."""

from dataclasses import dataclass

import numpy as np

from tfds_physionet.simulate.clinical.torso import CHEST, draw_atrial
from tfds_physionet.simulate.heart import Heart
from tfds_physionet.simulate.qrs import draw_qrs


@dataclass(frozen=True, eq=False)
class LeadWaves:
    """Gaussians about a beat's QRS onset: centre_s, width_s (std) [wave], mv [wave, 8]."""

    centre_s: np.ndarray
    width_s: np.ndarray
    mv: np.ndarray

    def at(self, times_s: np.ndarray) -> np.ndarray:
        """Returns the sum at these times, mV [time, 8]."""
        times, centres = times_s.astype(np.float32), self.centre_s.astype(np.float32)
        steps = (times[:, None] - centres) / self.width_s.astype(np.float32)
        return np.exp(np.float32(-0.5) * steps**2) @ self.mv.astype(np.float32)


def join(*parts: LeadWaves) -> LeadWaves:
    """Returns all waves of the parts."""
    return LeadWaves(
        np.concatenate([part.centre_s for part in parts]),
        np.concatenate([part.width_s for part in parts]),
        np.concatenate([part.mv for part in parts]),
    )


def draw_shapes(
    rng: np.random.Generator, heart: Heart, torso: np.ndarray, *, st_change: bool
) -> tuple[LeadWaves, ...]:
    """Draws the waves of each kind of beat, in the order of `rhythm.Kind`."""
    qrs = _qrs(rng, heart, torso)
    repolarisation = _repolarisation(rng, heart, torso, qrs, st_change)
    atrial = draw_atrial(rng, torso)
    low = 0.7 if "LQRSV" in heart.diagnoses else 1.0
    size = low * float(np.clip(rng.lognormal(np.log(0.115), 0.35), 0.05, 0.26))
    angle = np.deg2rad(np.clip(rng.normal(52, 15), 15, 80))
    p_wave = _p_wave(rng, atrial, heart.pr_s, size, angle)
    spikes = _spikes(rng, heart, torso)
    regular = join(p_wave, spikes, qrs, repolarisation)
    early_pr = rng.uniform(0.11, 0.19)
    early_angle = np.deg2rad(rng.choice([rng.uniform(-110, -40), rng.uniform(20, 90)]))
    early_p = _p_wave(rng, atrial, early_pr, size * rng.uniform(0.6, 1.3), early_angle)
    early = join(early_p, qrs, repolarisation)
    aberrant = join(early_p, _widened(rng, qrs, torso), repolarisation)
    return (
        regular,
        early,
        _ventricular(rng, heart, torso),
        _ventricular(rng, heart, torso),
        aberrant,
        early_p,
        p_wave,
    )


_MANY_FORMS = ("RBBB", "IRBBB", "LBBB", "NSIVCB", "BBB", "PR")


def _qrs(rng: np.random.Generator, heart: Heart, torso: np.ndarray) -> LeadWaves:
    """The dipole's QRS, and small local wavelets of each lead's own that no dipole explains."""
    variety, timing = (0.33, 0.025) if heart.form in _MANY_FORMS else (0.25, 0.02)
    waves = draw_qrs(rng, heart, leads=torso, variety=variety, timing=timing)
    mv = waves.mv @ torso.T
    times = np.linspace(0, heart.qrs_s, 60)
    usual = LeadWaves(waves.centre_s, waves.width_s, mv)
    height = np.ptp(usual.at(times), axis=0)
    count = 2
    level = rng.uniform(0.02, 0.14) * np.array([0.5, 0.5, 1, 1, 1, 1, 0.8, 0.7])
    local = rng.standard_normal((count, 8)) * level * height
    centre = rng.uniform(0.1, 0.9, 8 * count) * heart.qrs_s
    width = rng.uniform(0.005, 0.012, 8 * count)
    spread = np.zeros((8 * count, 8))
    spread[np.arange(8 * count), np.tile(np.arange(8), count)] = local.ravel()
    return join(usual, LeadWaves(centre, width, spread))


def _widened(rng: np.random.Generator, qrs: LeadWaves, torso: np.ndarray) -> LeadWaves:
    """A QRS that meets a bundle branch before it has recovered."""
    factor = rng.uniform(1.3, 1.7)
    late = rng.normal(0, 0.35, 3) @ torso.T
    wave = LeadWaves(np.array([0.1]), np.array([0.018]), late[None])
    return join(LeadWaves(qrs.centre_s * factor, qrs.width_s * factor, qrs.mv), wave)


# Which of I, II, V1 .. V6 an inverted or otherwise abnormal T wave is seen in.
_TERRITORIES = (
    (-1.0, -0.4, 0.8, 0.6, -0.3, -1.0, -1.0, -1.0),  # lateral
    (0.3, -1.0, 0.8, 0.9, 0.5, -0.5, -0.9, -0.9),  # inferior and lateral
    (-0.4, -0.5, -0.6, -1.0, -1.0, -1.0, -0.7, -0.4),  # anterior
    (-1.0, -1.0, -0.2, -0.7, -1.0, -1.0, -1.0, -1.0),  # all
)


def _repolarisation(
    rng: np.random.Generator, heart: Heart, torso: np.ndarray, qrs: LeadWaves, st_change: bool
) -> LeadWaves:
    """ST segment, T and now and then U wave."""
    times = np.linspace(0, heart.qrs_s + 0.02, 60)
    shape = qrs.at(times)
    t_mv = _t_mv(rng, heart, torso, shape)
    width = float(np.clip(0.145 * (heart.qt_s - heart.qrs_s), 0.022, 0.055)) * rng.uniform(0.8, 1.2)
    peak = heart.qt_s - 2 * width
    foot = rng.uniform(0.1, 0.4)
    centres, widths = [peak - 1.5 * width, peak], [1.4 * width, width]
    mv = [foot * t_mv, t_mv]
    if heart.t_form == "biphasic":
        centres[0], widths[0] = peak - 2.2 * width, width
        mv = [t_mv, -rng.uniform(0.6, 1.2) * t_mv]
    # The ST segment: mostly near its line, at times off it up or down, level or sloping.
    level = rng.uniform(0.05, 0.22) if st_change else abs(rng.normal(0, 0.015))
    vector = rng.standard_normal(3)
    vector *= level / np.linalg.norm(vector)
    st_mv = vector @ torso.T
    slope = rng.uniform(-0.6, 0.6)
    start, end = heart.qrs_s + 0.005, max(peak - 1.5 * width, heart.qrs_s + 0.05)
    for part in (0.0, 0.33, 0.67, 1.0):
        centres.append(start + part * (end - start))
        widths.append(max((end - start) / 5, 0.014))
        mv.append(0.75 * st_mv * (1 + slope * (part - 0.5)))
    if rng.random() < 0.15:
        centres.append(heart.qt_s + 0.05)
        widths.append(0.025)
        mv.append(rng.uniform(0.05, 0.2) * np.abs(t_mv))
    return LeadWaves(np.array(centres), np.array(widths), np.stack(mv))


def _t_mv(
    rng: np.random.Generator, heart: Heart, torso: np.ndarray, shape: np.ndarray
) -> np.ndarray:
    """The T wave's voltage in each lead [8], from the QRS's shape [time, 8]."""
    r_mv = shape.max(axis=0)
    if heart.t_form == "discordant" or (heart.form == "RBBB" and rng.random() < 0.3):
        area = shape.sum(axis=0)
        return (
            -rng.uniform(0.12, 0.4) * area / np.abs(area).max() * np.ptp(shape, axis=0).max() * 0.6
        )
    axis = np.deg2rad(0.35 * np.clip(heart.axis_degrees, -60, 110) + rng.normal(28, 12))
    vector = np.array([np.cos(axis), np.sin(axis), rng.uniform(0.0, 0.9)])
    vector *= np.clip(rng.lognormal(np.log(0.25), 0.4), 0.1, 0.7) * max(heart.limb_mv, 0.3) ** 0.8
    upright = vector @ torso.T
    upright[2:] *= rng.uniform(0.5, 1.0)
    if heart.form == "RBBB":
        upright[2:4] = -np.abs(upright[2:4]) * rng.uniform(0.2, 1.0)
    lead = (0, 1, 6)[int(np.argmax(r_mv[[0, 1, 6]]))]
    seen = max(upright[lead], 1e-3)
    if heart.t_form == "upright":
        # Above a tenth of R where R is largest, or it would be abnormal.
        return upright * max(1.0, rng.uniform(0.13, 0.2) * r_mv[lead] / seen)
    if heart.t_form == "flat":
        factors = rng.uniform(-0.5, 1.0, 8) * 0.08 * r_mv[lead] / seen
        factors[2:5] = rng.uniform(0.1, 0.6) * np.ones(3)
        return upright * np.minimum(factors, 0.6)
    if heart.t_form == "partly" or heart.t_form == "biphasic":
        signs = np.array(_TERRITORIES[rng.integers(len(_TERRITORIES))])
        size = np.maximum(np.abs(upright), 0.09)
        return size * signs * rng.uniform(0.5, 0.9)
    signs = np.array(_TERRITORIES[rng.integers(len(_TERRITORIES))])
    size = np.maximum(np.abs(upright), 0.16 * np.ones(8))
    return size * signs * rng.uniform(0.8, 1.6)


def _p_wave(
    rng: np.random.Generator, atrial: np.ndarray, pr_s: float, size: float, angle: float
) -> LeadWaves:
    """The right atrium (to the front), then the left (to the back); none where pr_s is nan."""
    if np.isnan(pr_s):
        return LeadWaves(np.zeros(0), np.zeros(0), np.zeros((0, 8)))
    frontal = np.array([np.cos(angle), np.sin(angle), 0.0])
    shares = rng.uniform(0.35, 0.65)
    right = 1.5 * size * shares * frontal + [0, 0, size * rng.uniform(0.1, 0.7)]
    left = 1.5 * size * (1 - shares) * frontal - [0, 0, size * rng.uniform(0.0, 0.8)]
    width = rng.uniform(0.014, 0.021)
    start = -pr_s + 2 * width
    later = start + rng.uniform(0.018, 0.045)
    # It ends before the QRS begins.
    later = min(later, max(start + 0.01, -0.035))
    return LeadWaves(
        np.array([start, later]), np.full(2, width), np.stack([right, left]) @ atrial.T
    )


def _spikes(rng: np.random.Generator, heart: Heart, torso: np.ndarray) -> LeadWaves:
    """A pacemaker's stimuli before the QRS and at times before P; bipolar ones are low."""
    if heart.rhythm != "paced":
        return LeadWaves(np.zeros(0), np.zeros(0), np.zeros((0, 8)))
    size = float(np.clip(rng.lognormal(np.log(0.8), 0.8), 0.1, 4.0))
    vector = size * np.array([0.6, 0.7, -0.4]) * rng.choice([-1, 1, 1])
    mv = [vector @ torso.T]
    centres = [-0.004]
    if not np.isnan(heart.pr_s) and rng.random() < 0.6:
        centres.append(-heart.pr_s - 0.01)
        mv.append(rng.uniform(0.3, 1.0) * mv[0])
    return LeadWaves(np.array(centres), np.full(len(centres), 0.0016), np.stack(mv))


def _ventricular(rng: np.random.Generator, heart: Heart, torso: np.ndarray) -> LeadWaves:
    """A premature ventricular beat: no P wave, wide, T opposite to QRS."""
    angle = rng.uniform(0, 2 * np.pi)
    unit = np.array([np.cos(angle), np.sin(angle), rng.choice([-1.0, 1.0]) * rng.uniform(0.2, 1)])
    size = rng.uniform(0.9, 1.9) * max(heart.limb_mv, 0.5)
    qrs_s = rng.uniform(0.13, 0.185)
    t_s = max(heart.qt_s, qrs_s + 0.2)
    turned = unit + rng.normal(0, 0.3, (4, 3))
    mv = size * np.array([[0.9], [0.6], [-0.2], [-0.33]]) * turned
    mv[2:] = size * np.array([[rng.uniform(-0.4, 0.1)], [-rng.uniform(0.2, 0.45)]]) * unit
    waves = LeadWaves(
        np.array([0.32 * qrs_s, rng.uniform(0.5, 0.68) * qrs_s, 0.85 * qrs_s, t_s - 0.11]),
        np.array([0.12 * qrs_s, 0.13 * qrs_s, 0.08 * qrs_s, rng.uniform(0.045, 0.065)]),
        mv @ torso.T,
    )
    local = waves.mv[:2, CHEST] * rng.normal(0, 0.15, (2, 6))
    waves.mv[:2, CHEST] += local
    return waves
