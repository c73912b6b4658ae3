"""Finds what is wrong with the leads of a record: flat, clipped, missing, hum, wander, noise, ...

Pure NumPy on one record's samples; who reads the records and writes tables is `__main__`.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from tfds_physionet.leads import STANDARD_LEADS, derivation, lead_rows
from tfds_physionet.quality.placement import exchanged
from tfds_physionet.quality.repetition import is_interpolated, repeated_s
from tfds_physionet.reading.records import EcgRecord
from tfds_physionet.reading.sixteen_bits import MISSING

_UNUSABLE = frozenset({"unit"})  # of the record's own findings; leads are counted


@dataclass(frozen=True)
class Finding:
    """One fault: the lead ('' for the whole record), its word, and how much of it there is."""

    lead: str
    finding: str
    value: float | str


def find(record: EcgRecord) -> list[Finding]:
    """Returns a record's findings, in the order of its standard leads.

    flat: longest stretch of one value (s, from 1); clipped: share at the extremes, in runs of four
    (from 0.01); missing: share of samples; hum: amplitude at 50 or 60 Hz (mV, from 0.05); wander:
    standard deviation below 0.5 Hz (mV, from 0.3); noise: standard deviation from 65 to 95 Hz (mV,
    from 0.06); unit: median peak to peak (mV, outside 0.05 to 20); short: length (s, below 5);
    einthoven: the exchange of limb leads that repairs III = II - I, or 'none'; arm_swap and
    chest_order: see `placement`; repeated: see `repetition` (s, from 1, or 'every second sample').
    """
    rows = {lead: channels[0] for lead, channels in lead_rows(record.leads).items()}
    rate, found, peaks = record.sampling_rate, [], []
    in_mv = {}
    for lead in STANDARD_LEADS:
        if lead not in rows:
            if not derivation(lead, rows):  # a limb lead that two others give is there
                found.append(Finding(lead, "missing", 1.0))
            continue
        samples = record.signal[rows[lead]]
        valid = samples != MISSING
        if not valid.all():
            found.append(Finding(lead, "missing", round(1 - float(valid.mean()), 4)))
        if not valid.any():
            continue
        whole = np.where(valid, samples, np.median(samples[valid])).astype(np.float64)
        signal = (whole - record.baselines[rows[lead]]) / record.gains[rows[lead]]
        run_s = _longest_run(samples) / rate
        if run_s >= 1:
            found.append(Finding(lead, "flat", round(run_s, 3)))
        if np.ptp(whole) == 0:
            continue
        if (share := _at_extremes(samples[valid])) >= 0.01:
            found.append(Finding(lead, "clipped", round(share, 4)))
        if seconds := repeated_s(samples, rate):
            found.append(Finding(lead, "repeated", round(seconds, 3)))
        if is_interpolated(samples):
            found.append(Finding(lead, "repeated", "every second sample"))
        found += [Finding(lead, word, value) for word, value in _bands(signal, rate)]
        in_mv[lead] = signal
        peaks.append(float(np.ptp(np.percentile(signal, [0.1, 99.9]))))
    if peaks and not 0.05 <= np.median(peaks) <= 20:
        found.append(Finding("", "unit", round(float(np.median(peaks)), 5)))
    if record.signal.shape[1] < 5 * rate:
        found.append(Finding("", "short", round(record.signal.shape[1] / rate, 3)))
    if {"I", "II", "III"} <= in_mv.keys() and (repair := _einthoven(in_mv)) is not None:
        found.append(Finding("", "einthoven", repair))
    placed = exchanged(in_mv, rate)
    return found + [Finding("", word, round(value, 3)) for word, value in placed.items()]


def quality(found: list[Finding]) -> str:
    """Returns 'good', 'doubtful' or 'unusable': a wrong unit, or six leads flat or missing."""
    gone = {f.lead for f in found if f.finding == "flat" and float(f.value) >= 5}
    gone |= {f.lead for f in found if f.finding == "missing" and float(f.value) > 0.5}
    if len(gone) >= 6 or any(f.finding in _UNUSABLE for f in found):
        return "unusable"
    return "doubtful" if found else "good"


def _longest_run(samples: np.ndarray) -> int:
    """Returns the longest stretch of one value that is there."""
    ends = np.concatenate([[-1], np.flatnonzero(np.diff(samples)), [len(samples) - 1]])
    return int(np.diff(ends)[samples[ends[1:]] != MISSING].max())


def _at_extremes(samples: np.ndarray) -> float:
    """Returns the share of samples in runs of four or more at the lowest or the highest value."""
    edges = np.concatenate([[-1], np.flatnonzero(np.diff(samples)), [len(samples) - 1]])
    runs, values = np.diff(edges), samples[edges[1:]]
    extreme = (values == samples.min()) | (values == samples.max())
    return float(runs[extreme & (runs >= 4)].sum() / len(samples))


def _bands(signal: np.ndarray, rate: float) -> list[tuple[str, float]]:
    power = 2 * np.abs(np.fft.rfft(signal - signal.mean())) ** 2 / len(signal) ** 2
    hz = np.fft.rfftfreq(len(signal), 1 / rate)
    found = []
    mains = []
    for line in (50, 60):
        near = np.abs(hz - line)
        beside = power[(near > 1) & (near < 4)]
        if line + 4 < rate / 2 and len(beside):
            inside = power[near <= 0.5]
            mains.append(max(inside.sum() - np.median(beside) * len(inside), 0))
    if mains and (hum := float(np.sqrt(2 * max(mains)))) >= 0.05:
        found.append(("hum", round(hum, 4)))
    if (wander := float(np.sqrt(power[hz < 0.5].sum()))) >= 0.3:
        found.append(("wander", round(wander, 4)))
    if (noise := float(np.sqrt(power[(hz > 65) & (hz < 95)].sum()))) >= 0.06:
        found.append(("noise", round(noise, 4)))
    return found


def _einthoven(leads: dict[str, np.ndarray]) -> str | None:
    """Returns None where III = II - I holds, else the order of I, II, III that repairs it."""
    one, two, three = (leads[name] - np.median(leads[name]) for name in ("I", "II", "III"))
    size = max(float(one.std() + two.std() + three.std()) / 3, 0.02)
    limit = 0.3 * size
    if float((two - one - three).std()) <= limit:
        return None
    named = {"I": one, "II": two, "III": three}
    for order in itertools.permutations(named):
        a, b, c = (named[name] for name in order)
        if float((b - a - c).std()) <= limit:
            return " ".join(order)
    return "none"
