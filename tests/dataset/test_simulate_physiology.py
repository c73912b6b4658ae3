"""Simulated records read as ECGs: what defines a diagnosis can be measured in the written files.

Limits as in the AHA/ACCF/HRS recommendations on the standardization and interpretation of the
electrocardiogram.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ecg_reading import Measured, measure
from scipy import signal

from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.reading.records import read_record
from tfds_physionet.simulate import SimulatedRecord, simulate_record
from tfds_physionet.simulate.writing import write_record

_RECORDS = 12  # per class, four of each source


def _written(folder: Path, record: SimulatedRecord) -> Measured:
    write_record(folder, record)
    read = read_record(folder / f"{record.name}.hea")
    return measure(read.signal / np.array(read.gains)[:, None])


def _rs(m: Measured, lead: str) -> bool:
    """A small r, then a deeper S."""
    wave = m.qrs(lead)
    return bool(wave[: wave.argmin()].max(initial=0) > 0.03 and -wave.min() > wave.max())


def _late_s(m: Measured, lead: str) -> bool:
    """S after R, for 40 ms or more."""
    wave = m.qrs(lead)
    return (wave[wave.argmax() :] < 0).sum() >= 20


def _rsr(m: Measured, lead: str) -> bool:
    """The last large wave is upright and exceeds the first r."""
    wave = m.qrs(lead)
    last = wave.argmax()
    return last > wave.argmin() and last > 0.55 * len(wave)


def _left_block(m: Measured) -> bool:
    """Notched R without q in I and V6, almost all of it downwards in V1."""
    for lead in ("I", "V6"):
        wave = m.qrs(lead)
        if len(signal.find_peaks(wave, height=0.5 * wave.max())[0]) < 2 or -wave.min() > 0.15:
            return False
    v1 = m.qrs("V1")
    return -v1.min() > 3 * v1.max()


def _q_wave(m: Measured, lead: str) -> bool:
    """At least 40 ms, deeper than a quarter of R."""
    wave = m.qrs(lead)
    below = np.flatnonzero(wave[: wave.argmax()] < 0)
    if not len(below) or wave.max() < 0.15:  # a QS
        return False
    return bool((below[-1] + 1) / 500 >= 0.04 and -wave[: below[-1] + 1].min() > wave.max() / 4)


def _premature(m: Measured, regular: bool) -> list[int]:
    """Beats that come 15 % or more too early, followed by a beat."""
    early = m.rr[:-1] < 0.85 * np.median(m.rr)
    return [k for k in np.flatnonzero(early) + 1 if m.regular[k] == regular]


def _compensated(m: Measured, k: int) -> bool:
    return abs(m.rr[k - 1] + m.rr[k] - 2 * np.median(m.rr)) < 0.07 * np.median(m.rr)


def _abnormal_t(m: Measured) -> bool:
    """Below a tenth of R or partly inverted, in the one of I, II, V5 with the largest R."""
    lead = max(("I", "II", "V5"), key=lambda name: m.qrs(name).max())
    return m.t_wave(lead).max() < 0.1 * m.qrs(lead).max() or m.t_wave(lead).min() < -0.05


def _low(m: Measured, leads: str, limit_mv: float) -> bool:
    return all(np.ptp(m.qrs(lead)) < limit_mv for lead in leads.split())


_DEFINITIONS: dict[str, Callable[[Measured], bool]] = {
    "NSR": lambda m: 60 <= m.rate <= 100 and m.p_wave_mv > 0.09,
    "SB": lambda m: m.rate < 60 and m.p_wave_mv > 0.09,
    "Brady": lambda m: m.rate < 50,
    "STach": lambda m: m.rate > 100 and m.p_wave_mv > 0.09,
    "SA": lambda m: np.ptp(m.rr) > max(0.12, 0.1 * m.rr.mean()) and m.p_wave_mv > 0.09,
    "AF": lambda m: m.rr.std() > 0.12 * m.rr.mean() and m.p_wave_mv < 0.09,
    "AFL": lambda m: m.flutter_mv > 0.045,
    "PAC": lambda m: any(not _compensated(m, k) for k in _premature(m, True)),
    "PVC": lambda m: any(
        m.widths_s[k] >= 0.12 and _compensated(m, k) for k in _premature(m, False)
    ),
    "LBBB": lambda m: m.qrs_s >= 0.12 and _left_block(m),
    "RBBB": lambda m: m.qrs_s >= 0.12 and _rsr(m, "V1") and _late_s(m, "I") and _late_s(m, "V6"),
    "IRBBB": lambda m: 0.1 <= m.qrs_s < 0.12 and _rsr(m, "V1"),
    "NSIVCB": lambda m: m.qrs_s > 0.11 and not _left_block(m) and not _rsr(m, "V1"),
    "BBB": lambda m: m.qrs_s >= 0.12,
    "LAD": lambda m: -90 <= m.axis <= -30,
    "RAD": lambda m: 90 <= m.axis <= 180,
    "LAnFB": lambda m: (
        -90 <= m.axis <= -45
        and m.qrs_s < 0.12
        and all(_rs(m, lead) for lead in ("II", "III", "aVF"))
        and -0.02 > m.qrs("aVL")[: m.qrs("aVL").argmax()].min()  # qR
    ),
    "IAVB": lambda m: m.pr_s > 0.2,
    "LPR": lambda m: m.pr_s > 0.2,
    "LQT": lambda m: m.qt_s / m.rr.mean() ** 0.5 > 0.46,
    "LQRSV": lambda m: _low(m, "I II III aVR aVL aVF", 0.5) and _low(m, "V1 V2 V3 V4 V5 V6", 1.0),
    "TInv": lambda m: all(m.t_wave(lead).min() < -0.1 for lead in ("II", "V4", "V5")),
    "TAb": _abnormal_t,
    "QAb": lambda m: any(
        _q_wave(m, one) and _q_wave(m, other)
        for one, other in (("II", "aVF"), ("III", "aVF"), ("I", "aVL"), ("V5", "V6"))
    ),
    "PRWP": lambda m: m.qrs("V3").max() <= 0.3,
    "PR": lambda m: m.spikes >= len(m.rr) and m.qrs_s >= 0.12,
}


def _sinus(m: Measured) -> bool:
    return m.p_wave_mv > 0.02


def _inverted(m: Measured) -> bool:
    """In two neighbouring leads by 0.1 mV or more."""
    pairs = (("I", "V6"), ("II", "aVF"), ("V2", "V3"), ("V3", "V4"), ("V4", "V5"), ("V5", "V6"))
    return any(all(m.t_wave(lead).min() < -0.09 for lead in pair) for pair in pairs)


def _no_r(m: Measured, lead: str) -> bool:
    """QS, or a Q wave before R."""
    wave = m.qrs(lead)
    return wave[: wave.argmin() + 1].max() < 0.08 or _q_wave(m, lead)


def _late_r(m: Measured) -> bool:
    """V1 ends upright, I or V6 with an S wave."""
    v1 = m.qrs("V1")
    late = v1[len(v1) // 2 :]
    return late.max() > max(0.1, 1.2 * -late.min()) and (_late_s(m, "I") or _late_s(m, "V6"))


def _broad_left(m: Measured) -> bool:
    """No q in I and V6, where R is broad, and almost all of V1 downwards."""
    v1 = m.qrs("V1")
    left = all(-m.qrs(lead)[: m.qrs(lead).argmax() + 1].min() < 0.15 for lead in ("I", "V6"))
    return left and -v1.min() > 1.5 * v1.max()


# In the clinical style P and flutter waves may be low, T waves inverted in some leads only, Q waves
# anterior, and a bipolar pacemaker's spikes next to invisible.
_CLINICAL = {
    **_DEFINITIONS,
    "NSR": lambda m: 59 <= m.rate <= 101 and _sinus(m),
    "SB": lambda m: m.rate < 60.5 and _sinus(m),
    "STach": lambda m: m.rate > 99.5,
    "SA": lambda m: np.ptp(m.rr) > max(0.11, 0.09 * m.rr.mean()) and _sinus(m),
    "AF": lambda m: m.rr.std() > 0.1 * m.rr.mean(),
    "AFL": lambda m: m.flutter_mv > 0.03,
    "LBBB": lambda m: m.qrs_s >= 0.115 and _broad_left(m),
    "RBBB": lambda m: m.qrs_s >= 0.11 and _late_r(m),
    "IRBBB": lambda m: 0.085 <= m.qrs_s < 0.125 and (_rsr(m, "V1") or _late_r(m)),
    "NSIVCB": lambda m: m.qrs_s > 0.105 and not _left_block(m) and not _late_r(m),
    "TInv": _inverted,
    "QAb": lambda m: (
        _DEFINITIONS["QAb"](m) or _no_r(m, "V2") or (_no_r(m, "V1") and _no_r(m, "V3"))
    ),
    "PR": lambda m: m.qrs_s >= 0.12,
    "PAC": lambda m: bool(_premature(m, True) or _premature(m, False)),
    "PVC": lambda m: any(m.widths_s[k] >= 0.11 for k in _premature(m, False)),
}
_STYLES = {"clear": _DEFINITIONS, "clinical": _CLINICAL}
# Records of a dozen that may fail: noise, wander and electrodes of the clinical style hide things.
_HIDDEN = {"clear": 0, "clinical": 3}


@pytest.fixture(scope="module", params=_STYLES)
def usual(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[Measured]]:
    folder = tmp_path_factory.mktemp("usual")
    made = [simulate_record(1, k, diagnoses=["NSR"], style=request.param) for k in range(_RECORDS)]
    return request.param, [_written(folder, record) for record in made]


@pytest.mark.parametrize("style", _STYLES)
@pytest.mark.parametrize("name", CLASS_NAMES)
def test_what_defines_a_diagnosis_is_measured_in_each_of_its_records(
    name: str, style: str, tmp_path: Path
) -> None:
    missing = []
    for k in range(_RECORDS):
        record = simulate_record(0, k, diagnoses=[name], style=style)
        if not _STYLES[style][name](_written(tmp_path, record)):
            missing.append(record.name)
    assert len(missing) <= _HIDDEN[style], missing


@pytest.mark.parametrize("name", sorted(set(CLASS_NAMES) - {"NSR"}))
def test_no_other_diagnosis_is_measured_in_a_normal_record(
    name: str, usual: tuple[str, list[Measured]]
) -> None:
    style, records = usual
    assert sum(_STYLES[style][name](m) for m in records) <= _HIDDEN[style]


def test_measured_values_and_labels_of_drawn_records_agree_with_their_truth(tmp_path: Path) -> None:
    widths, axes, confirmed = [], [], []
    for k in range(90):
        record = simulate_record(3, k)
        heart = record.truth.heart
        m = _written(tmp_path, record)
        if heart.rhythm not in ("flutter", "paced"):  # flutter waves and spikes hide the limits
            widths.append(m.qrs_s - heart.qrs_s)
            axes.append(m.axis - heart.axis_degrees)
        confirmed += [_DEFINITIONS[name](m) for name in record.diagnoses]
    # Measured from when the leads start to move, made from when the dipole is a twentieth of its
    # largest: some milliseconds apart.
    assert np.all(np.abs(np.quantile(widths, [0.05, 0.95])) < 0.02)
    assert np.all(np.abs(np.quantile(axes, [0.05, 0.95])) < 10)
    # Several diagnoses in one record can hide each other from these simple measurements.
    assert np.mean(confirmed) > 0.9
