"""When a patient's beats come, and of which kind each is."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from tfds_physionet.simulate.clinical.findings import Case
from tfds_physionet.simulate.heart import Heart
from tfds_physionet.simulate.rhythm import Beats


class Kind(IntEnum):
    """A beat's kind; the first three are those of `simulate.rhythm.Beat`."""

    REGULAR = 0
    ATRIAL = 1  # premature, conducted as usual
    VENTRICULAR = 2
    VENTRICULAR_OTHER = 3  # from another place
    ABERRANT = 4  # premature from the atria, met by a bundle branch that is not ready
    BLOCKED = 5  # premature from the atria, not conducted: a P wave alone
    DROPPED = 6  # the sinus node's P wave alone


@dataclass(frozen=True)
class _Premature:
    """How premature beats come in one record: their number or their order."""

    atrial: bool
    every: int  # after every so many regular beats; 0: here and there
    count: int
    couplet: float  # the probability that another follows
    coupling: float  # to the beat before, as a part of the usual interval
    other: bool  # whether ventricular ones have two shapes
    aberrant: float  # the share of atrial ones that are conducted aberrantly


def draw_beats(rng: np.random.Generator, case: Case, heart: Heart, duration_s: float) -> Beats:
    """Draws the beats from two before the record's start to two after its end."""
    count = int(np.ceil(duration_s / min(heart.rr_s, 1.0) * 1.4)) + 10
    rr = _intervals(rng, case, heart, count)
    premature = [
        _premature(rng, name == "PAC", case.aberrant)
        for name in ("PAC", "PVC")
        if name in case.findings
    ]
    for _ in range(20):
        beats = _placed(rng, case, heart, rr, premature, duration_s)
        inside = (beats.onsets_s > 0.9 * heart.rr_s) & (beats.onsets_s < duration_s - 0.9)
        seen = set(beats.kinds[inside].tolist())
        wanted = [not p.atrial or seen & {1, 4, 5} for p in premature]
        wanted += [p.atrial or seen & {2, 3} for p in premature]
        if all(wanted):
            break
    return beats


def _premature(rng: np.random.Generator, atrial: bool, aberrant: float) -> _Premature:
    return _Premature(
        atrial=atrial,
        every=int(rng.choice([0, 1, 2, 3], p=[0.8, 0.08, 0.07, 0.05])),
        count=int(rng.integers(1, 5)),
        couplet=float(rng.choice([0.0, 0.3], p=[0.75, 0.25])),
        coupling=rng.uniform(0.5, 0.83) if atrial else rng.uniform(0.45, 0.78),
        other=bool(rng.random() < 0.15),
        aberrant=aberrant,
    )


def _placed(
    rng: np.random.Generator,
    case: Case,
    heart: Heart,
    rr: np.ndarray,
    premature: list[_Premature],
    duration_s: float,
) -> Beats:
    """Walks along the intervals, putting premature and dropped beats between."""
    onsets, kinds = [], []
    now = -2 * heart.rr_s - rng.uniform(0, heart.rr_s)
    usual = duration_s / heart.rr_s
    luck = rng.random((len(rr), 2))
    since = 0
    for number, interval in enumerate(rr):
        onsets.append(now)
        kinds.append(int(Kind.REGULAR))
        since += 1
        following = now + interval
        for turn, kind in enumerate(premature):
            due = since >= kind.every if kind.every else luck[number, turn] < kind.count / usual
            if not due or since < 1:
                continue
            since = 0
            following = _early(rng, heart, kind, onsets, kinds, now, interval)
            break
        else:
            if case.rhythm == "dropped" and luck[number, 1] < 0.12:
                onsets.append(following)
                kinds.append(int(Kind.DROPPED))
                following += interval
        now = following
        if now > duration_s + 2 * heart.rr_s:
            break
    return Beats(np.array(onsets), np.array(kinds))


def _early(
    rng: np.random.Generator,
    heart: Heart,
    kind: _Premature,
    onsets: list[float],
    kinds: list[int],
    now: float,
    interval: float,
) -> float:
    """Adds one premature beat, or two; returns when the next regular one comes."""
    early = now + max(kind.coupling * rng.uniform(0.95, 1.05) * interval, 0.3)
    if kind.atrial:
        luck = rng.random()
        blocked = luck < 0.08 and kind.coupling < 0.65
        onsets.append(early)
        aberrant = Kind.ABERRANT if rng.random() < kind.aberrant else Kind.ATRIAL
        kinds.append(int(Kind.BLOCKED if blocked else aberrant))
        if not blocked and rng.random() < kind.couplet:
            early += rng.uniform(0.6, 0.85) * interval
            onsets.append(early)
            kinds.append(int(Kind.ATRIAL))
        return early + rng.uniform(0.98, 1.25) * interval
    shape = Kind.VENTRICULAR_OTHER if kind.other and rng.random() < 0.5 else Kind.VENTRICULAR
    onsets.append(early)
    kinds.append(int(shape))
    if rng.random() < kind.couplet:
        early += max(rng.uniform(0.45, 0.65) * interval, 0.3)
        onsets.append(early)
        kinds.append(int(shape))
    if heart.rhythm == "fibrillation":
        return early + rng.uniform(0.8, 1.5) * interval
    if heart.rr_s > 0.8 and rng.random() < 0.1:
        return now + 1.05 * interval if early < now + 0.7 * interval else now + 2 * interval
    return max(now + 2 * interval, early + 0.4)


def _intervals(rng: np.random.Generator, case: Case, heart: Heart, count: int) -> np.ndarray:
    """The intervals without premature beats, in seconds [count]."""
    rr_s = heart.rr_s
    if case.rhythm == "AF":
        factors = rng.gamma(1 / rng.uniform(0.13, 0.3) ** 2, size=count)
        return np.maximum(rr_s * factors / factors.mean(), 0.29)
    if case.rhythm == "AFL":
        return _flutter_intervals(rng, heart, count)
    if case.rhythm in ("PR", "svt"):
        return np.full(count, rr_s) * (1 + 0.003 * rng.standard_normal(count))
    times = np.arange(count) * rr_s
    turns = 2 * np.pi * (rng.uniform(0.12, 0.38) * times + rng.random())
    drift = 2 * np.pi * (rng.uniform(0.03, 0.1) * times + rng.random())
    if "SA" in case.findings:
        # The longest and the shortest interval differ by more than 120 ms and a tenth.
        depth = rng.uniform(1.25, 3.4) * max(0.125, 0.11 * rr_s) / rr_s / 2
        slow = rng.uniform(0.0, 0.5) * depth
    else:
        depth = min(rng.gamma(1.2, 0.012), 0.035)
        slow = min(rng.gamma(1.2, 0.008), 0.02)
        depth, slow = (
            part * min(1.0, 0.04 / max(rr_s * (depth + slow), 1e-6)) for part in (depth, slow)
        )
    factors = 1 + depth * np.sin(turns) + slow * np.sin(drift)
    factors += rng.uniform(0.002, 0.007) * rng.standard_normal(count)
    return rr_s * factors / factors.mean()


def flutter_period_s(heart: Heart) -> float:
    """The time between flutter waves, a whole part of the usual time between beats."""
    return heart.rr_s / max(round(heart.rr_s / 0.21), 2)


def _flutter_intervals(rng: np.random.Generator, heart: Heart, count: int) -> np.ndarray:
    """Every second to fourth flutter wave is conducted, always as many or now so, now so."""
    period = flutter_period_s(heart)
    usual = round(heart.rr_s / period)
    waves = np.full(count, usual)
    if rng.random() < 0.45:
        waves = np.maximum(usual + rng.choice([-1, 0, 0, 1, 2], size=count), 2)
    return period * waves + 0.005 * rng.standard_normal(count)
