"""Which diagnoses a simulated record carries: how often, what implies what, what excludes what."""

from collections.abc import Iterable
from itertools import product

import numpy as np

from tfds_physionet.diagnoses import CLASS_NAMES

# Every record has exactly one of these; the probabilities are far from a clinic's, so that each
# class has enough records to be learned from a thousand.
_RHYTHMS = {"NSR": 0.38, "SB": 0.18, "STach": 0.12, "AF": 0.11, "AFL": 0.10, "PR": 0.11}

# Drawn in this order, each with this probability where nothing drawn before excludes it. A class
# that implies another comes before it.
_ACCOMPANIMENTS = {
    "Brady": 0.45,
    "SA": 0.17,
    "PAC": 0.20,
    "PVC": 0.17,
    "LPR": 0.14,
    "IAVB": 0.14,
    "LBBB": 0.09,
    "RBBB": 0.10,
    "IRBBB": 0.11,
    "NSIVCB": 0.12,
    "BBB": 0.12,
    "LAnFB": 0.16,
    "RAD": 0.13,
    "LAD": 0.12,
    "QAb": 0.25,
    "PRWP": 0.16,
    "LQRSV": 0.12,
    "TInv": 0.15,
    "TAb": 0.15,
    "LQT": 0.40,
}

# Brady is the rarer word for a slow rate; the axis of an anterior fascicular block lies within
# left axis deviation.
_IMPLIED = {"Brady": "SB", "LPR": "IAVB", "TInv": "TAb", "LAnFB": "LAD"}

_NO_SINUS = ("AF", "AFL", "PR")
_BLOCKS = ("LBBB", "RBBB", "BBB")
# No class of the left goes with one of the right. Some pairs do occur in a clinic, but one hides
# what defines the other: a wide QRS the Q waves, flutter waves the T wave, a fast rate the P wave.
_EXCLUSIONS = [
    *(((one,), tuple(_RHYTHMS.keys() - {one})) for one in _RHYTHMS),
    (("Brady",), tuple(_RHYTHMS.keys() - {"SB"})),
    (("SA", "PAC", "IAVB", "LPR", "LQT"), ("STach", *_NO_SINUS)),
    (("SA",), ("PAC", "PVC")),
    (("PVC",), ("STach", "AFL", "PR")),
    (("LBBB",), ("RBBB", "IRBBB", "NSIVCB", "RAD")),
    (("RBBB",), ("IRBBB", "NSIVCB", "LAD")),
    (("IRBBB",), ("NSIVCB", "BBB")),
    (("NSIVCB",), ("BBB",)),
    (("PR",), (*_BLOCKS, "IRBBB", "NSIVCB", "RAD")),
    (("LAD",), ("RAD",)),
    (("LAnFB", "QAb"), (*_BLOCKS, "IRBBB", "NSIVCB", "RAD", "PR")),
    (("QAb",), ("LAD",)),
    (("PRWP",), (*_BLOCKS, "IRBBB", "RAD", "PR")),
    (("LQRSV",), (*_BLOCKS, "PR")),
    (("TAb",), (*_BLOCKS, "PR", "AFL")),
    (("LQT",), (*_BLOCKS, "NSIVCB", "IAVB", "LPR", "TAb")),
]
_EXCLUDED = {
    pair
    for left, right in _EXCLUSIONS
    for one, other in product(left, right)
    for pair in ((one, other), (other, one))
}


def draw_diagnoses(rng: np.random.Generator) -> tuple[str, ...]:
    """Draws a record's diagnoses, as abbreviations in the order of the table of classes."""
    rhythm = rng.choice(list(_RHYTHMS), p=list(_RHYTHMS.values()))
    chosen = {str(rhythm)}
    luck = rng.random(len(_ACCOMPANIMENTS))
    for (diagnosis, probability), draw in zip(_ACCOMPANIMENTS.items(), luck, strict=True):
        wider = _with_implied([diagnosis])
        if draw < probability and not any(pair in _EXCLUDED for pair in product(wider, chosen)):
            chosen |= wider
    return complete(chosen)


def complete(diagnoses: Iterable[str]) -> tuple[str, ...]:
    """Adds what the given diagnoses imply, and sinus rhythm where they name no rhythm.

    Raises:
        ValueError: A class that there is not, or two that exclude each other.
    """
    chosen = _with_implied(diagnoses)
    for name in chosen:
        if name not in CLASS_NAMES:
            raise ValueError(f"diagnoses: {name!r} is no class; take from {', '.join(CLASS_NAMES)}")
    if chosen.isdisjoint(_RHYTHMS):
        chosen.add("NSR")
    for one, other in product(sorted(chosen), repeat=2):
        if (one, other) in _EXCLUDED:
            raise ValueError(f"diagnoses: {one} and {other} exclude each other here; leave one out")
    return tuple(name for name in CLASS_NAMES if name in chosen)


def _with_implied(diagnoses: Iterable[str]) -> set[str]:
    chosen = set(diagnoses)
    return chosen | {_IMPLIED[name] for name in chosen if name in _IMPLIED}
