"""What a clinical record shows, and which of it the record's source writes down."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import numpy as np

from tfds_physionet.diagnoses import CLASS_NAMES

# What sets the beats. The last three are no classes: a junctional rhythm without P waves, a
# supraventricular tachycardia, and sinus rhythm with beats that are dropped.
_RHYTHMS = {
    **{"NSR": 0.33, "SB": 0.16, "STach": 0.14, "AF": 0.12, "AFL": 0.09, "PR": 0.05},
    **{"junctional": 0.035, "svt": 0.035, "dropped": 0.04},
}
# In turn, each with this probability where nothing that is there already excludes it.
_ACCOMPANIMENTS = {
    "Brady": 0.25,
    "SA": 0.22,
    "PAC": 0.22,
    "PVC": 0.15,
    "LPR": 0.05,
    "IAVB": 0.14,
    "LBBB": 0.07,
    "RBBB": 0.11,
    "IRBBB": 0.08,
    "NSIVCB": 0.09,
    "BBB": 0.03,
    "LAnFB": 0.08,
    "LAD": 0.10,
    "RAD": 0.08,
    "QAb": 0.11,
    "PRWP": 0.07,
    "LQRSV": 0.08,
    "TInv": 0.13,
    "TAb": 0.19,
    "LQT": 0.13,
}
_SINUS = ("NSR", "SB", "STach", "dropped")
_NO_SINUS = ("AF", "AFL", "PR", "junctional", "svt")
_WIDE = ("LBBB", "RBBB", "BBB", "NSIVCB")
# Much fewer than in the clear style: here a finding may hide another, as it does in a clinic.
_EXCLUSIONS = [
    (("Brady",), tuple(name for name in _RHYTHMS if name != "SB")),
    (("SA", "PAC", "IAVB", "LPR"), _NO_SINUS),
    (("SA",), ("STach", "PAC", "dropped")),
    (("LPR",), ("STach",)),
    (("PVC",), ("PR", "svt")),
    (("LBBB",), ("RBBB", "IRBBB", "NSIVCB", "BBB", "LAnFB", "RAD", "QAb", "PRWP")),
    (("RBBB",), ("IRBBB", "NSIVCB", "BBB", "PRWP")),
    (("IRBBB", "PRWP"), ("NSIVCB", "BBB")),
    (("NSIVCB",), ("BBB",)),
    (("IRBBB",), ("PRWP",)),
    (("PR",), (*_WIDE, "IRBBB", "LAnFB", "LAD", "RAD", "QAb", "PRWP", "LQRSV", "LQT")),
    (("LAD", "LAnFB"), ("RAD",)),
    (("QAb",), ("LAnFB", "LAD", "RAD", "IRBBB", "BBB")),
    (("LQRSV",), _WIDE),
    (("TInv", "TAb"), ("LBBB", "BBB", "PR")),
    (("LQT",), (*_WIDE, "AFL", "svt")),
    (("TInv", "TAb"), ("AFL", "svt")),
]
_EXCLUDED = {
    pair
    for left, right in _EXCLUSIONS
    for one, other in product(left, right)
    for pair in ((one, other), (other, one))
}
_IMPLIED = {"Brady": "SB", "LPR": "IAVB", "LAnFB": "LAD"}
# How often a source that writes the narrower word writes the wider one too (the Challenge's own
# label table: Brady, LPR and LAnFB beside SB, IAVB and LAD; inverted T waves beside abnormal ones).
_ALSO = {"Brady": 0.15, "LPR": 0.35, "LAnFB": 0.65, "TInv": 0.45}
# The share of fibrillations whose source writes flutter for both (Ningbo: 7,615 to 0).
_FLUTTER_FOR_BOTH = 0.3


@dataclass(frozen=True)
class Case:
    """A record's findings.

    Attributes:
        rhythm: What sets the beats: a class's name, 'junctional', 'svt' or 'dropped'.
        findings: Classes that its signal shows, beside the rhythm.
        labels: Classes that its source writes down, in the table's order.
        st_change: Whether the ST segment is off its line, which is no class.
        aberrant: The share of atrial premature beats that meet an unready bundle branch.
    """

    rhythm: str
    findings: frozenset[str]
    labels: tuple[str, ...]
    st_change: bool
    aberrant: float = 0.0


def draw_case(rng: np.random.Generator) -> Case:
    """Draws what a record shows and what is written of it."""
    rhythm = str(rng.choice(list(_RHYTHMS), p=list(_RHYTHMS.values())))
    found: set[str] = set()
    # Some hearts have little beside their rhythm, some have much.
    burden = rng.gamma(1.5) / 1.5
    more = {"PAC": 1.7, "SA": 0.0} if rhythm == "STach" else {}
    for name, luck in zip(_ACCOMPANIMENTS, rng.random(len(_ACCOMPANIMENTS)), strict=True):
        shown = {rhythm, *found}
        wider = {name, _IMPLIED.get(name, name)}
        if luck < burden * more.get(name, 1.0) * _ACCOMPANIMENTS[name] and not any(
            pair in _EXCLUDED for pair in product(wider, shown)
        ):
            found |= wider
    st_change = bool(rng.random() < 0.3)
    labels = _written(rng, rhythm, found, st_change)
    aberrant = 0.0
    if "PAC" in found:
        aberrant = float(rng.choice([0.0, 0.1, 0.6], p=[0.55, 0.2, 0.25]))
        # Some sources call aberrant conduction by the nonspecific disorder's name.
        if aberrant > 0.5 and rng.random() < 0.5 and not found & {*_WIDE, "IRBBB"}:
            labels = _ordered({*labels, "NSIVCB"})
    return Case(rhythm, frozenset(found), labels, st_change, aberrant)


def given_case(diagnoses: Iterable[str]) -> Case:
    """The case that shows and is labelled with these (complete, see `choice.complete`) alone."""
    labels = tuple(diagnoses)
    rhythm = next(name for name in ("AF", "AFL", "PR", "SB", "STach", "NSR") if name in labels)
    return Case(rhythm, frozenset(labels) - {rhythm}, labels, False)


def _written(
    rng: np.random.Generator, rhythm: str, found: set[str], st_change: bool
) -> tuple[str, ...]:
    """What a source writes, for sources differ.

    Some write sinus rhythm only of a record without anything else, some of each with 60 to 100
    beats a minute, and some of each whose beats spring from the sinus node, where they leave out
    its slowness unless it is marked.
    """
    custom = rng.choice(["nothing else", "rate", "node"], p=[0.45, 0.35, 0.2])
    labels = set(found)
    if rhythm in CLASS_NAMES:
        labels.add("AFL" if rhythm == "AF" and rng.random() < _FLUTTER_FOR_BOTH else rhythm)
    if custom == "nothing else" and (found or st_change):
        labels.discard("NSR")
    if custom == "node" and rhythm in _SINUS:
        labels.add("NSR")
        if "Brady" not in found and rng.random() < 0.4:
            labels.discard("SB")
    # The largest source of right bundle branch blocks has no name for incomplete ones.
    if "IRBBB" in found and rng.random() < 0.35:
        labels = labels - {"IRBBB"} | {"RBBB"}
    for narrow, probability in _ALSO.items():
        wide = {**_IMPLIED, "TInv": "TAb"}[narrow]
        if narrow in found and rng.random() >= probability:
            labels.discard(wide)
        elif narrow in found:
            labels.add(wide)
    return _ordered(labels)


def _ordered(labels: set[str]) -> tuple[str, ...]:
    """The labels in the order of the table of classes."""
    return tuple(name for name in CLASS_NAMES if name in labels)
