"""From diagnoses to a heart: the rates, intervals, axes and forms that define them.

The ranges keep a margin from the textbook's limits, so that what can be measured in a noisy record
agrees with its label. Limits: Surawicz et al., AHA/ACCF/HRS recommendations for the standardization
and interpretation of the electrocardiogram, part III (2009) for QRS, axis and blocks, part IV
(Rautaharju et al. 2009) for the QT interval, part II (Mason et al. 2007) for the rhythms.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Heart:
    """What one record is made from; times in seconds.

    Attributes:
        diagnoses: Abbreviations, complete (see `choice.complete`).
        rhythm: 'sinus', 'fibrillation', 'flutter' or 'paced'.
        rr_s: Mean time between beats.
        pr_s: P onset to QRS onset; nan where no P wave leads.
        qrs_s: QRS width.
        qt_s: QRS onset to T end.
        axis_degrees: Frontal axis of the net QRS area; 0 points left, 90 to the feet.
        form: QRS form, a key of `dipole.FORMS`.
        progression: Projection on V3 when the R wave peaks, as a part of the R wave.
        limb_mv: Largest peak-to-peak QRS voltage of the limb leads.
        precordial_limit_mv: No precordial lead's QRS is larger than this, peak to peak.
        t_form: 'upright', 'flat', 'biphasic', 'inverted' or 'discordant'.
    """

    diagnoses: tuple[str, ...]
    rhythm: str
    rr_s: float
    pr_s: float
    qrs_s: float
    qt_s: float
    axis_degrees: float
    form: str
    progression: float
    limb_mv: float
    precordial_limit_mv: float
    t_form: str


def draw_heart(rng: np.random.Generator, diagnoses: tuple[str, ...]) -> Heart:
    """Draws a heart that has these diagnoses (complete, see `choice.complete`) and no others."""
    has = set(diagnoses)
    rhythm = _rhythm(has)
    rr_s = _rr_s(rng, has)
    form = _form(rng, has)
    qrs_s = rng.uniform(*_qrs_range(has, form))
    low = "LQRSV" in has
    # Wide beats are large: the ventricles' forces no longer cancel each other.
    smallest_mv = 1.1 if has & {"LBBB", "PR"} else 0.8
    usual_mv = float(np.clip(rng.lognormal(0.2, 0.35), smallest_mv, 2.2))
    return Heart(
        diagnoses=diagnoses,
        rhythm=rhythm,
        rr_s=rr_s,
        pr_s=_pr_s(rng, has, rr_s),
        qrs_s=qrs_s,
        qt_s=_qtc_s(rng, has, qrs_s) * rr_s**0.5,
        axis_degrees=rng.uniform(*_axis_range(has, form)),
        form=form,
        # PRWP: R in V3 of at most 0.3 mV.
        progression=rng.uniform(-0.25, -0.08) if "PRWP" in has else rng.uniform(0.35, 0.7),
        # LQRSV: below 0.5 mV in every limb lead and below 1 mV in every precordial one.
        limb_mv=rng.uniform(0.34, 0.44) if low else usual_mv,
        precordial_limit_mv=rng.uniform(0.7, 0.9) if low else 3.5,
        t_form=_t_form(rng, has),
    )


def _rhythm(has: set[str]) -> str:
    names = {"AF": "fibrillation", "AFL": "flutter", "PR": "paced"}
    return next((rhythm for name, rhythm in names.items() if name in has), "sinus")


def _rr_s(rng: np.random.Generator, has: set[str]) -> float:
    if "AFL" in has:
        # Flutter waves at 240 to 340 a minute, of which every second to fourth is conducted.
        return rng.uniform(0.19, 0.23) * rng.choice([2, 3, 4], p=[0.4, 0.2, 0.4])
    ranges = {
        "Brady": (38, 48),  # below 50
        "SB": (51, 57.5),  # below 60
        "STach": (105, 145),  # above 100
        "AF": (65, 140),
        "PR": (62, 88),
        "SA": (67, 84),  # its breathing must not carry the mean out of 60 to 100
        "IAVB": (63, 82),  # room for a long PR interval after the T wave
        "PAC": (63, 88),
        "PVC": (63, 88),
    }
    if has & {"LBBB", "RBBB", "BBB", "NSIVCB"}:
        ranges["STach"] = (105, 122)  # room for a T wave after a wide QRS
    low, high = next((limits for name, limits in ranges.items() if name in has), (63, 97))
    return 60 / rng.uniform(low, high)


def _pr_s(rng: np.random.Generator, has: set[str], rr_s: float) -> float:
    if has & {"AF", "AFL"} or ("PR" in has and rng.random() < 0.5):
        return float("nan")
    if "LPR" in has:
        return rng.uniform(0.265, 0.33)  # IAVB of 260 ms and more; the sources set no limit
    if "IAVB" in has:
        return rng.uniform(0.215, 0.25)  # above 200 ms
    return rng.uniform(0.13, min(0.19, 0.1 + 0.1 * rr_s))  # shorter at a fast rate


def _form(rng: np.random.Generator, has: set[str]) -> str:
    if "QAb" in has:
        return str(rng.choice(["q_inferior", "q_lateral"]))
    for name in ("LBBB", "RBBB", "IRBBB", "NSIVCB", "BBB", "LAnFB", "PR", "LAD"):
        if name in has:
            return name
    return "normal"


def _qrs_range(has: set[str], form: str) -> tuple[float, float]:
    ranges = {
        "LBBB": (0.13, 0.17),  # at least 120 ms
        "RBBB": (0.126, 0.16),  # at least 120 ms
        "BBB": (0.126, 0.155),  # at least 120 ms, of neither form
        "NSIVCB": (0.122, 0.145),  # above 110 ms, of neither form
        "IRBBB": (0.103, 0.112),  # 100 to 119 ms
        "PR": (0.14, 0.18),
        "LAnFB": (0.085, 0.098),  # below 120 ms
        "q_inferior": (0.106, 0.113),
        "q_lateral": (0.106, 0.113),
    }
    return ranges.get(form, (0.076, 0.096))


def _qtc_s(rng: np.random.Generator, has: set[str], qrs_s: float) -> float:
    if "LQT" in has:
        return rng.uniform(0.50, 0.56)  # above 460 (men 450) ms by Bazett's formula
    return rng.uniform(0.39, 0.43) if qrs_s < 0.12 else rng.uniform(0.415, 0.445)


def _axis_range(has: set[str], form: str) -> tuple[float, float]:
    if "LAnFB" in has:
        return -80.0, -55.0  # -45 to -90
    if "LAD" in has:
        return -57.0, -37.0  # -30 to -90
    if "RAD" in has:
        return 102.0, 135.0  # 90 to 180
    limited = {"LBBB": (-18.0, 45.0), "RBBB": (10.0, 70.0), "PR": (-18.0, 60.0)}
    limited |= {"q_inferior": (25.0, 65.0), "q_lateral": (10.0, 50.0)}
    return limited.get(form, (-15.0, 78.0))


def _t_form(rng: np.random.Generator, has: set[str]) -> str:
    if "TInv" in has:
        return "inverted"
    if "TAb" in has:
        return str(rng.choice(["flat", "biphasic"]))
    # After a wide QRS of these kinds the T wave points away from it.
    return "discordant" if has & {"LBBB", "BBB", "PR"} else "upright"
