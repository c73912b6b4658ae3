"""From a case to the numbers behind it: rates, intervals, axis, voltages over their whole range.

Limits as in `simulate.heart`; here they are reached up to a measurement's error.
"""

import numpy as np

from tfds_physionet.simulate.clinical.findings import Case
from tfds_physionet.simulate.heart import Heart

_WIDE = {"LBBB", "RBBB", "BBB", "NSIVCB"}


def draw_heart(rng: np.random.Generator, case: Case) -> Heart:
    """Draws a heart that shows what the case says and nothing else that is a class."""
    has = {case.rhythm, *case.findings}
    rr_s = _rr_s(rng, has)
    form = _form(rng, has)
    qrs_s = rng.uniform(*_QRS_S.get(form, (0.064, 0.098)))
    low = "LQRSV" in has
    usual_mv = float(np.clip(rng.lognormal(0.0, 0.4), 0.55, 3.0))
    return Heart(
        diagnoses=case.labels,
        rhythm={"AF": "fibrillation", "AFL": "flutter", "PR": "paced"}.get(case.rhythm, "sinus"),
        rr_s=rr_s,
        pr_s=_pr_s(rng, has, rr_s),
        qrs_s=qrs_s,
        qt_s=_qt_s(rng, has, rr_s, qrs_s),
        axis_degrees=_axis(rng, has, form),
        form=form,
        progression=rng.uniform(-0.3, -0.05) if "PRWP" in has else rng.uniform(0.25, 0.9),
        limb_mv=rng.uniform(0.25, 0.46) if low else usual_mv,
        precordial_limit_mv=rng.uniform(0.5, 0.92) if low else 6.0,
        t_form=_t_form(rng, has),
    )


# QRS widths in seconds by form; others are narrow.
_QRS_S = {
    "LBBB": (0.122, 0.17),
    "RBBB": (0.118, 0.155),
    "BBB": (0.12, 0.155),
    "NSIVCB": (0.112, 0.15),
    "IRBBB": (0.095, 0.117),
    "PR": (0.13, 0.185),
    "LAnFB": (0.08, 0.11),
    "LAD": (0.07, 0.108),
    "q_inferior": (0.09, 0.113),
    "q_lateral": (0.09, 0.113),
    "q_anterior": (0.085, 0.113),
}


def _rr_s(rng: np.random.Generator, has: set[str]) -> float:
    if "AF" in has:
        return 60 / float(np.clip(rng.lognormal(np.log(88), 0.3), 42, 178))
    if "AFL" in has:
        return rng.uniform(0.18, 0.25) * rng.choice([2, 3, 4], p=[0.45, 0.2, 0.35])
    if "Brady" in has:
        return 60 / rng.uniform(34, 49.5)
    if "SB" in has:
        return 60 / rng.triangular(38, 57, 59.7)
    if "STach" in has:
        return 60 / rng.triangular(100.5, 106, 165)
    ranges = {"PR": (58, 92), "junctional": (38, 75), "svt": (140, 215), "dropped": (58, 98)}
    low, high = next((limits for name, limits in ranges.items() if name in has), (60.5, 99.5))
    return 60 / rng.uniform(low, high)


def _pr_s(rng: np.random.Generator, has: set[str], rr_s: float) -> float:
    if has & {"AF", "AFL", "junctional", "svt"} or ("PR" in has and rng.random() < 0.5):
        return float("nan")
    if "LPR" in has:
        return min(rng.uniform(0.225, 0.36), 0.55 * rr_s)
    if "IAVB" in has:
        return min(0.207 + rng.gamma(2, 0.022), max(0.55 * rr_s, 0.21), 0.36)
    return rng.uniform(0.115, min(0.195, 0.105 + 0.1 * rr_s))


def _form(rng: np.random.Generator, has: set[str]) -> str:
    if "QAb" in has and not has & _WIDE:
        return str(rng.choice(["q_inferior", "q_lateral", "q_anterior"], p=[0.4, 0.2, 0.4]))
    for name in ("PR", "LBBB", "RBBB", "IRBBB", "NSIVCB", "BBB", "LAnFB", "LAD"):
        if name in has:
            return name
    return "normal"


def _qt_s(rng: np.random.Generator, has: set[str], rr_s: float, qrs_s: float) -> float:
    """The QT interval: by Bazett's formula near 60 a minute, less by it at other rates."""
    wide = max(qrs_s - 0.1, 0)
    if "LQT" in has:
        return rng.uniform(0.475, 0.56) * rr_s**0.5
    qtc = rng.normal(0.41, 0.018) + 0.6 * wide
    return float(np.clip(qtc, 0.355, 0.45 + wide)) * rr_s ** rng.uniform(0.4, 0.5)


def _axis(rng: np.random.Generator, has: set[str], form: str) -> float:
    if "LAnFB" in has:
        return rng.uniform(-80, -47)
    if "LAD" in has:
        return rng.uniform(-75, -32)
    if "RAD" in has:
        return rng.uniform(93, 150)
    if form == "PR":
        return rng.uniform(-85, 80)
    return float(np.clip(rng.normal(38, 30), -27, 87))


def _t_form(rng: np.random.Generator, has: set[str]) -> str:
    if "TInv" in has:
        return "inverted"
    if "TAb" in has:
        return str(rng.choice(["flat", "biphasic", "partly"], p=[0.45, 0.2, 0.35]))
    return "discordant" if has & {"LBBB", "BBB", "PR"} else "upright"
