"""How the leads see the heart: lead vectors of a body's own, and what no single dipole explains."""

import numpy as np

from tfds_physionet.simulate.qrs import LEADS

CHEST = slice(2, 8)


def draw_torso(rng: np.random.Generator) -> np.ndarray:
    """Returns lead vectors of I, II, V1 .. V6 [8, 3]: the chest's vary by body and electrode.

    The limb leads keep Einthoven's triangle, so that the axis can be read.
    """
    leads = LEADS.copy()
    chest = leads[CHEST]
    size = np.linalg.norm(chest, axis=1, keepdims=True)
    chest += rng.normal(0, 0.13, chest.shape) * size
    chest *= rng.lognormal(0, 0.15, (6, 1)) * rng.lognormal(0.2, 0.35)
    return leads


def draw_atrial(rng: np.random.Generator, torso: np.ndarray) -> np.ndarray:
    """Returns the lead vectors for the atria, which lie far from all chest leads but V1."""
    size = np.linalg.norm(torso[CHEST], axis=1).mean() / np.linalg.norm(LEADS[CHEST], axis=1).mean()
    leads = torso.copy()
    leads[CHEST] *= rng.uniform(0.3, 0.55) / size
    leads[2] *= rng.uniform(1.0, 1.8)
    return leads
