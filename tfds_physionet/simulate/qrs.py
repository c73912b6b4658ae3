"""The QRS complex: its forms by conduction, brought to a wanted width, axis and voltage.

Axes: x to the patient's left, y to the feet, z to the front; in mV.
"""

from dataclasses import dataclass

import numpy as np

from tfds_physionet.simulate.heart import Heart

# Lead vectors of I, II, V1 .. V6. I and II lie at 0 and 60 degrees of the frontal plane, as
# in Einthoven's triangle, so that the axis can be read from them. The precordial ones are Dower's
# (Dower et al. 1980, the transform from Frank leads; Frank's z points to the back).
LEADS = np.array(
    [
        [0.8, 0.0, 0.0],
        [0.4, 0.8 * 3**0.5 / 2, 0.0],
        [-0.515, 0.157, 0.917],
        [0.044, 0.164, 1.387],
        [0.882, 0.098, 1.277],
        [1.213, 0.127, 0.601],
        [1.125, 0.127, 0.086],
        [0.831, 0.076, -0.230],
    ]
)
_V3 = 4

# QRS forms. A row is one Gaussian: centre and standard deviation as parts of the QRS width; the
# part that turns with the axis; the part that is fixed in x, y, z; whether it is the R wave whose
# z follows the R progression.
_SEPTAL = (0.20, 0.070, -0.12, 0.00, 0.00, 0.22, 0)
_BASAL = (0.75, 0.085, -0.10, 0.00, 0.00, -0.40, 0)
FORMS: dict[str, list[tuple[float, float, float, float, float, float, int]]] = {
    "normal": [_SEPTAL, (0.48, 0.105, 1.0, 0.0, 0.0, 0.0, 1), _BASAL],
    # No septal wave downwards: what tells it from the fascicular block.
    "LAD": [
        (0.17, 0.060, 0.05, 0.00, -0.06, 0.28, 0),
        (0.48, 0.105, 1.0, 0.0, 0.0, 0.0, 1),
        _BASAL,
    ],
    # First downwards and right (r in II, III, aVF; q in I, aVL), then late upwards and left.
    "LAnFB": [
        (0.17, 0.070, 0.00, -0.18, 0.38, 0.25, 0),
        (0.53, 0.115, 1.0, 0.0, 0.0, 0.0, 1),
        (0.78, 0.080, 0.20, 0.00, 0.00, -0.35, 0),
    ],
    # Late and slow to the right and front: rSR' in V1, wide S in I and V6.
    "RBBB": [
        (0.10, 0.040, -0.12, 0.00, 0.00, 0.25, 0),
        (0.28, 0.070, 1.2, 0.0, 0.0, 0.0, 1),
        (0.44, 0.055, -0.05, 0.00, 0.00, -0.45, 0),
        (0.74, 0.105, 0.00, -0.45, 0.05, 0.60, 0),
    ],
    "IRBBB": [
        (0.13, 0.050, -0.12, 0.00, 0.00, 0.25, 0),
        (0.37, 0.085, 1.1, 0.0, 0.0, 0.0, 1),
        (0.56, 0.060, -0.05, 0.00, 0.00, -0.50, 0),
        (0.82, 0.070, 0.00, -0.20, 0.00, 0.48, 0),
    ],
    # To the left and back throughout, in two humps: broad notched R in I and V6, rS or QS in V1.
    "LBBB": [
        (0.12, 0.050, 0.10, 0.00, 0.00, 0.06, 0),
        (0.36, 0.100, 0.9, 0.0, 0.0, -0.50, 0),
        (0.66, 0.110, 0.9, 0.0, 0.0, -0.60, 0),
    ],
    # Every part of the normal form slower, with a slur after R.
    "NSIVCB": [
        (0.15, 0.060, -0.12, 0.00, 0.00, 0.28, 0),
        (0.40, 0.100, 1.0, 0.0, 0.0, 0.0, 1),
        (0.66, 0.090, 0.40, 0.00, 0.00, -0.15, 0),
        (0.83, 0.070, -0.12, 0.00, 0.00, -0.40, 0),
    ],
    # Splintered, R S R' towards the axis: wide, but neither a left nor a right block.
    "BBB": [
        (0.20, 0.080, 0.80, 0.00, 0.00, 0.20, 0),
        (0.48, 0.080, -0.60, 0.00, 0.00, -0.30, 0),
        (0.77, 0.090, 0.95, 0.00, 0.00, -0.10, 0),
    ],
    # A first force away from an infarct lasts 40 ms or more and exceeds a quarter of R.
    "q_inferior": [
        (0.24, 0.098, 0.00, 0.00, -0.52, 0.15, 0),
        (0.67, 0.087, 1.0, 0.0, 0.0, 0.0, 1),
        (0.87, 0.055, -0.05, 0.00, 0.00, -0.35, 0),
    ],
    "q_lateral": [
        (0.24, 0.098, 0.00, -0.55, 0.00, 0.15, 0),
        (0.67, 0.087, 1.0, 0.0, 0.0, 0.0, 1),
        (0.87, 0.055, -0.05, 0.00, 0.00, -0.35, 0),
    ],
    # No first r in front of the septum: QS or qR from V1 to V3.
    "q_anterior": [
        (0.30, 0.110, 0.00, 0.00, 0.00, -0.62, 0),
        (0.52, 0.100, 1.0, 0.0, 0.0, 0.0, 1),
        (0.78, 0.070, -0.08, 0.00, 0.00, -0.30, 0),
    ],
    # From the right ventricle's tip: slow, to the left and back, without a notch.
    "PR": [(0.28, 0.105, 0.5, 0.0, 0.0, -0.25, 0), (0.58, 0.115, 0.9, 0.0, 0.0, -0.60, 0)],
}


@dataclass(frozen=True, eq=False)
class Waves:
    """Gaussians about a beat's QRS onset: centre_s and width_s (std) [wave], mv [wave, 3]."""

    centre_s: np.ndarray
    width_s: np.ndarray
    mv: np.ndarray


def draw_qrs(
    rng: np.random.Generator,
    heart: Heart,
    *,
    leads: np.ndarray = LEADS,
    variety: float = 0.12,
    timing: float = 0.0,
) -> Waves:
    """Builds a heart's QRS; its first moment lies at 0 s.

    Args:
        rng: Where chance comes from.
        heart: Whose.
        leads: The lead vectors [8, 3] in which voltages and R progression count.
        variety: How far each part's size varies (the standard deviation of its logarithm).
        timing: How far each part's time varies, in QRS widths, and its own width four times that.
    """
    form = np.array(FORMS[heart.form])
    form[:, 2:6] *= rng.lognormal(0, variety, (len(form), 1))
    if timing:
        form[:, 0] += rng.normal(0, timing, len(form))
        form[:, 1] *= rng.lognormal(0, 4 * timing, len(form))
    centre, width, turning, fixed, is_r = (
        form[:, 0],
        form[:, 1],
        form[:, 2],
        form[:, 3:6],
        form[:, 6],
    )
    # The net area points along the axis if the turning part turns to `angle`:
    # turning_area * sin(angle - axis) + (fixed area across the axis) = 0.
    axis = np.deg2rad(heart.axis_degrees)
    across = (width * (fixed[:, 1] * np.cos(axis) - fixed[:, 0] * np.sin(axis))).sum()
    angle = axis - np.arcsin(np.clip(across / (width * turning).sum(), -0.9, 0.9))
    vectors = fixed + turning[:, None] * np.array([np.cos(angle), np.sin(angle), 0.0])
    in_v3 = heart.progression * np.abs(turning)
    vectors[:, 2] += is_r * (in_v3 - vectors[:, :2] @ leads[_V3, :2]) / leads[_V3, 2]
    if "PRWP" in heart.diagnoses:
        vectors[0, 2] *= 0.25  # the first r in V1 to V3 stays small too

    times = np.linspace(-0.3, 1.5, 361)
    shapes = np.exp(-0.5 * ((times[:, None] - centre) / width) ** 2) @ vectors
    limb, precordial = _voltages(shapes, leads)
    scale = min(heart.limb_mv / limb, heart.precordial_limit_mv / precordial)
    # The QRS lasts from the first to the last moment above 5 % of its largest vector.
    size = np.linalg.norm(shapes, axis=1)
    lasting = times[size > 0.05 * size.max()]
    stretch = heart.qrs_s / (lasting[-1] - lasting[0])
    return Waves((centre - lasting[0]) * stretch, width * stretch, vectors * scale)


def _voltages(vectors: np.ndarray, lead_vectors: np.ndarray) -> tuple[float, float]:
    """Largest peak-to-peak voltage of the six limb leads and of the precordial leads."""
    leads = lead_vectors @ vectors.T
    one, two = leads[:2]
    limb = np.stack([one, two, two - one, (one + two) / 2, one - two / 2, two - one / 2])
    return float(np.ptp(limb, axis=1).max()), float(np.ptp(leads[2:], axis=1).max())
