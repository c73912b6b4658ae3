"""Finds electrodes at each other's places where Einthoven's law can't: arms, and V1 to V6 reversed.

A chest lead is like the limb leads that look from its side: lead I grows from V1 to V6, and so, in
most hearts, does II. Exchanged arms turn lead I over; a reversed row of chest leads turns over what
grows along it. The limits were chosen on 218 real records; docs/quality.md has their recall.
"""

from collections.abc import Mapping

import numpy as np

from tfds_physionet.leads import STANDARD_LEADS

# The frontal X axis from V1 to V6: Edenbrandt and Pahlm, "Vectorcardiogram synthesized from a
# 12-lead ECG: superiority of the inverse Dower matrix", J Electrocardiol 1988.
_X = np.array([-0.172, -0.074, 0.122, 0.231, 0.239, 0.194])
_PLACES = np.arange(6) - 2.5
_NEEDED = ("I", "II", *STANDARD_LEADS[6:])
_ARMS, _ROW, _SHAPE = 0.1, 0.3, 1.5


def exchanged(leads: Mapping[str, np.ndarray], rate: float) -> dict[str, float]:
    """Returns the words that hold, arm_swap and chest_order, with what told them.

    Args:
        leads: [time] in mV of each, by its name; without I, II and V1 to V6 nothing can be told.
        rate: In Hz.
    """
    if not set(_NEEDED) <= leads.keys():
        return {}
    one, two, *chest = _of_heart(np.stack([leads[name] for name in _NEEDED]), rate)
    foot = two - one / 2  # aVF
    if min(lead.std() for lead in (one, two, foot, *chest)) < 1e-4:
        return {}  # a lead without a signal tells nothing
    arms = _alike(one, _X @ chest)
    row = sum(p * (_alike(one, v) + _alike(two, v)) for p, v in zip(_PLACES, chest, strict=True))
    # Of what the arms do not change: aVF along the chest, and R waves that take over from S waves.
    shape = sum(p * (_alike(foot, v) + _skew(v) / 4) for p, v in zip(_PLACES, chest, strict=True))
    found = {}
    if row < -_ROW and shape < _SHAPE:
        found["chest_order"] = row
    if arms < -_ARMS and not (row < -_ROW and shape < -_SHAPE):
        found["arm_swap"] = arms
    return found


def _of_heart(leads: np.ndarray, rate: float) -> np.ndarray:
    """Returns the leads between 0.7 and 40 Hz."""
    hz = np.fft.rfftfreq(leads.shape[1], 1 / rate)
    spectrum = np.fft.rfft(leads, axis=1)
    spectrum[:, (hz < 0.7) | (hz > 40)] = 0
    return np.fft.irfft(spectrum, leads.shape[1], axis=1)


def _alike(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def _skew(x: np.ndarray) -> float:
    """Returns the third moment about the median: above 0 where R waves are higher than S deep."""
    above = x - np.median(x)
    return float((above * above * above).mean() / x.std() ** 3)
