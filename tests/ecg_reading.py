"""Reads ECGs as a cardiologist does, for the tests: beats, intervals, axis, waves.

Knows nothing of how simulated records are made.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
_FS = 500
_INDEPENDENT = [0, 1, *range(6, 12)]
_BEFORE, _AFTER = 300, 500  # samples of a beat around its middle
_STILL = 0.125


@dataclass(frozen=True, eq=False)
class Measured:
    """A record as measured; `beat` [12, time] is the mean of the regular beats, PQ level 0."""

    rr: np.ndarray  # s, between all beats
    regular: np.ndarray  # per beat: of the shape of most
    widths_s: np.ndarray  # per beat
    beat: np.ndarray
    onset: int
    offset: int
    spikes: int
    flutter_mv: float  # III without QRS: amplitude of the strongest rate of 230 to 350 a minute

    @property
    def rate(self) -> float:
        return 60 / float(self.rr.mean())

    @property
    def qrs_s(self) -> float:
        return (self.offset - self.onset) / _FS

    def qrs(self, lead: str) -> np.ndarray:
        return self.beat[LEADS.index(lead), self.onset : self.offset + 1]

    @property
    def axis(self) -> float:
        left, down = self.qrs("I").sum(), self.qrs("aVF").sum()
        return float(np.degrees(np.arctan2(down * 2 / 3**0.5, left)))

    def t_wave(self, lead: str) -> np.ndarray:
        last = self.onset + round(min(0.62, 0.62 * 60 / self.rate + 0.1) * _FS)
        return self.beat[LEADS.index(lead), self.offset + 20 : last]

    @property
    def qt_s(self) -> float:
        """To where the T wave's steepest descent, prolonged, meets the PQ level."""
        lead = max(LEADS, key=lambda name: np.abs(self.t_wave(name)).max())
        wave = ndimage.gaussian_filter1d(self.t_wave(lead), 3)
        wave = wave * np.sign(wave[np.abs(wave).argmax()])
        slope = np.gradient(wave)
        steepest = wave.argmax() + slope[wave.argmax() : wave.argmax() + 60].argmin()
        end = steepest - wave[steepest] / slope[steepest]
        return float(self.offset + 20 + end - self.onset) / _FS

    @property
    def p_wave_mv(self) -> float:
        """How far II rises above its surroundings in the quarter second before the QRS."""
        wave = ndimage.gaussian_filter1d(self.beat[1, self.onset - 130 : self.onset + 1], 4)
        peaks, found = signal.find_peaks(wave[:-15], prominence=0)
        return float(max(found["prominences"], default=0.0))

    @property
    def pr_s(self) -> float:
        """From where the steepest rise of P in II, prolonged, meets the PQ level, to the QRS."""
        first = self.onset - round(min(0.38, 0.42 * 60 / self.rate) * _FS)
        wave = ndimage.gaussian_filter1d(self.beat[1, first : self.onset - 20], 3)
        slope = np.gradient(wave)
        before = max(int(wave.argmax()) - 40, 0)
        steepest = before + slope[before : wave.argmax() + 1].argmax()
        start = first + steepest - wave[steepest] / slope[steepest]
        return float(self.onset - start) / _FS


def _speed(leads: np.ndarray) -> np.ndarray:
    """How fast the eight independent leads move together."""
    smooth = ndimage.gaussian_filter1d(leads[_INDEPENDENT], 2, axis=1)
    return np.linalg.norm(np.gradient(smooth, axis=1), axis=0)


def _extent(beat: np.ndarray) -> tuple[int, int]:
    """First and last sample of the QRS: moving at an eighth of its fastest or more."""
    speed = _speed(beat)
    energy = ndimage.gaussian_filter1d(speed, 18)
    low = _BEFORE - 100 + int(energy[_BEFORE - 50 : _BEFORE + 50].argmax())
    fastest = low + int(speed[low : low + 100].argmax())
    moving = speed > _STILL * speed[fastest]
    parts, _ = ndimage.label(ndimage.binary_closing(moving, np.ones(11)))
    samples = np.flatnonzero(parts == parts[fastest])
    return int(samples[0]), int(samples[-1])


def _beats(mv: np.ndarray) -> np.ndarray:
    """Middles of the QRS complexes: energy of 7 to 30 Hz in all leads, P and T waves dropped."""
    band = signal.butter(2, (7, 30), "bandpass", fs=_FS, output="sos")
    energy = np.linalg.norm(signal.sosfiltfilt(band, mv[_INDEPENDENT]), axis=0)
    energy = ndimage.gaussian_filter1d(energy, 18)
    peaks = signal.find_peaks(energy, height=0.35 * np.quantile(energy, 0.98), distance=125)[0]
    size = energy[peaks]
    minor_after = (np.diff(peaks, prepend=-1000) < 210) & (size < 0.5 * np.r_[0, size[:-1]])
    minor_before = (np.diff(peaks, append=10**6) < 210) & (size < 0.6 * np.r_[size[1:], 0])
    peaks = peaks[~minor_after & ~minor_before]
    return peaks[(peaks > 100) & (peaks < mv.shape[1] - 100)]


def _cut(mv: np.ndarray, middles: np.ndarray, before: int, after: int) -> np.ndarray:
    padded = np.pad(mv, ((0, 0), (before, after)), mode="edge")
    return np.stack([padded[:, m : m + before + after] for m in middles])


def _likeness(beats: np.ndarray, typical: np.ndarray) -> np.ndarray:
    beats = beats - beats.mean(axis=2, keepdims=True)
    typical = typical - typical.mean(axis=1, keepdims=True)
    norms = np.sqrt((beats**2).sum(axis=(1, 2)) * (typical**2).sum())
    return (beats * typical).sum(axis=(1, 2)) / norms


def measure(mv: np.ndarray) -> Measured:
    """Measures a record mv [12, time] of 500 Hz."""
    jerk = np.abs(np.diff(mv[_INDEPENDENT], 2, axis=1)).sum(axis=0)
    spikes = signal.find_peaks(jerk, height=3.0, distance=100)[0]
    mv = mv.copy()
    for spike in spikes:  # replaced by a straight line
        low, high = max(spike - 4, 0), min(spike + 7, mv.shape[1] - 1)
        mv[:, low:high] = np.linspace(mv[:, low], mv[:, high], high - low, axis=1)
    mv = signal.sosfiltfilt(signal.butter(1, 0.5, "highpass", fs=_FS, output="sos"), mv)
    middles = _beats(mv)
    beats = _cut(mv, middles, 60, 60)
    alike = [np.median(_likeness(beats, beat)) for beat in beats]
    typical = beats[int(np.argmax(alike))]
    shifts = np.arange(-12, 13)
    likeness = np.stack([_likeness(_cut(mv, middles + s, 60, 60), typical) for s in shifts])
    middles = middles + shifts[likeness.argmax(axis=0)]
    regular = likeness.max(axis=0) > 0.75
    whole = _cut(mv, middles, _BEFORE, _AFTER)
    mean = whole[regular].mean(axis=0)
    onset, offset = _extent(mean)
    mean = mean - mean[:, onset - 8 : onset - 2].mean(axis=1, keepdims=True)
    widths = np.array([np.subtract(*_extent(beat)[::-1]) for beat in whole]) / _FS
    # Flutter: the best sine in III, where P and T waves of a usual axis are small, beside the QRS.
    times = np.arange(mv.shape[1]) / _FS
    beside = np.ones(len(times), bool)
    for middle in middles:
        beside[max(middle - 35, 0) : middle + 35] = False
    flutter = 0.0
    for rate in np.arange(235, 350, 2.5) / 60:
        turns = 2 * np.pi * rate * times[beside]
        waves = np.stack([np.sin(turns), np.cos(turns), np.ones_like(turns)], axis=1)
        fit = np.linalg.lstsq(waves, mv[2, beside], rcond=None)[0]
        flutter = max(flutter, float(np.hypot(*fit[:2])))
    return Measured(
        np.diff(middles) / _FS, regular, widths, mean, onset, offset, len(spikes), flutter
    )
