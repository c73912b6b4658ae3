"""The twelve standard leads: their order, their spellings, and the limb leads as sums of two.

Einthoven's and Goldberger's six limb leads lie in a plane: any two of them give the others.
"""

import functools
import itertools
import re
import unicodedata
from collections.abc import Collection

import numpy as np

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

# Each limb lead in mV as weights of I and II.
_LIMB = {"I": (1.0, 0.0), "II": (0.0, 1.0), "III": (-1.0, 1.0)}
_LIMB |= {"aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}
# Pairs to derive from: of the three that are measured first, then those at right angles.
_PAIRS = [("I", "II"), ("I", "III"), ("II", "III"), ("I", "aVF"), ("II", "aVL"), ("III", "aVR")]
_PAIRS += [pair for pair in itertools.combinations(_LIMB, 2) if pair not in _PAIRS]

# 'Lead I', 'ECG_II', 'MDC_ECG_LEAD_AVR', 'DIII', 'D1', 'C4', 'I (mV)', 'v 5'. A minus that parts
# words is taken; one before a lead turns it over: '-aVR' and 'Lead -aVR' are no aVR.
_SPELLING = re.compile(
    r"(?:(?:MDC|ECG|EKG|LEAD|CHANNEL|DERIVATION|ABLEITUNG)(?:[ _:.]|-(?=\w))?)*"
    r"(?:(I{1,3})|D[ _-]?(I{1,3}|[123])|A[ _-]?V[ _-]?([RLF])|V[ _-]?([1-6])|C[ _-]?([1-6]))"
    r"(?:[ _,/]{1,2}[MUNΜ]V|[ _,/]{0,2}[(\[{][MUNΜ]?V[)\]}])?",
    re.ASCII,
)
# Electrodes of the 10-20 system: beside them C3 and C4 are places on the scalp.
_SCALP = re.compile(r"(?:EEG )?(?:FP[12]|[FO][12Z]|F[3478]|T[3456]|P[34]|[CPF]Z|A[12]|M[12])\b.*")


@functools.lru_cache(maxsize=1024)
def lead_rows(names: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    """Returns the channels that bear each standard lead's name: the one to take first.

    A lead's own name goes before another spelling of it. C1 to C6 are V1 to V6 beside a limb
    lead, unless electrodes of an EEG are there too.
    """
    plain = [_plain(name) for name in names]
    matches = [_SPELLING.fullmatch(name) for name in plain]
    found = [match and _standard(match) for match in matches]
    if not any(name in _LIMB for name in found) or any(map(_SCALP.fullmatch, plain)):
        chest = [match is not None and match[5] is not None for match in matches]
        found = [None if c else lead for c, lead in zip(chest, found, strict=True)]
    rows: dict[str, list[int]] = {}
    for row in sorted(range(len(names)), key=lambda row: plain[row] != (found[row] or "").upper()):
        if lead := found[row]:
            rows.setdefault(lead, []).append(row)
    return {lead: tuple(rows[lead]) for lead in STANDARD_LEADS if lead in rows}


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name[:80]).strip(" '\"\t.").upper()


def _standard(match: re.Match[str]) -> str:
    roman, d, augmented, v, c = match.groups()
    if augmented:
        return f"aV{augmented}"
    if v or c:
        return f"V{v or c}"
    return roman or {"1": "I", "2": "II", "3": "III"}.get(d, d)


def derivation(wanted: str, given: Collection[str]) -> tuple[tuple[str, str], np.ndarray] | None:
    """Returns how to derive a lead: two of the given ones, and the weights [2] of their mV.

    None where it can't be: a chest lead, or fewer than two limb leads given.
    """
    pair = next((pair for pair in _PAIRS if set(pair) <= set(given)), None)
    if wanted not in _LIMB or pair is None:
        return None
    weights = np.linalg.solve(np.array([_LIMB[name] for name in pair]).T, np.array(_LIMB[wanted]))
    return pair, np.rint(weights * 12) / 12  # all are such fractions; the solver rounds
