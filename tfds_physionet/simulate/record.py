"""One simulated record, a pure function of a seed and a number: heart, leads, noise, person."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfds_physionet.diagnoses import DIAGNOSES
from tfds_physionet.simulate import clinical
from tfds_physionet.simulate.choice import complete, draw_diagnoses
from tfds_physionet.simulate.dipole import independent_leads
from tfds_physionet.simulate.heart import Heart, draw_heart
from tfds_physionet.simulate.rhythm import Beats, draw_beats

STYLES = ("clear", "clinical")
"""'clear': findings with a margin, for teaching and tests; 'clinical': as wide as real ones."""

_SHORTEST_S = 5.0


@dataclass(frozen=True)
class Source:
    """A place that records come from: how its machines and its patients differ from the others'.

    Attributes:
        database: The folder's name.
        prefix: First letters of its records' names.
        gain: ADC units per mV.
        gain_text: The gain as its headers write it.
        format_text: The signal format as its headers write it.
        remark: How its lines of remarks begin.
        mains_hz: The power line's frequency.
        noise: Factor on wander, hum and muscle noise.
        age: Mean age in years.
    """

    database: str
    prefix: str
    gain: int
    gain_text: str
    format_text: str
    remark: str
    mains_hz: float
    noise: float
    age: float


# The Challenge's sources write their headers in these ways; 200 units per mV make 5 uV steps.
SOURCES = (
    Source("simulated_a", "SA", 1000, "1000/mV", "16+24", "#", 50, 1.0, 58),
    Source("simulated_b", "SB", 1000, "1000.0(0)/mV", "16x1+24", "# ", 60, 1.3, 66),
    Source("simulated_c", "SC", 200, "200/mv", "16+24", "#", 50, 0.8, 48),
)


@dataclass(frozen=True, eq=False)
class Truth:
    """What a record was made from: its heart, and its beats inside and around the record."""

    heart: Heart
    beats: Beats


@dataclass(frozen=True, eq=False)
class SimulatedRecord:
    """A record and its truth.

    Attributes:
        name: The record's name.
        source: Where it comes from; `source.gain` ADC units are 1 mV.
        signal: int16 [12, time], ADC units, leads I II III aVR aVL aVF V1 .. V6. III, aVR, aVL and
            aVF are computed from the rounded I and II, so that III = II - I holds exactly.
        sampling_rate: In Hz.
        codes: SNOMED CT codes of the diagnoses.
        age: In whole years; None where unknown.
        sex: 'Male' or 'Female'.
        truth: What it was made from.
    """

    name: str
    source: Source
    signal: np.ndarray
    sampling_rate: float
    codes: tuple[str, ...]
    age: int | None
    sex: str
    truth: Truth

    @property
    def diagnoses(self) -> tuple[str, ...]:
        """The diagnoses' abbreviations."""
        return self.truth.heart.diagnoses


def simulate_record(
    seed: int,
    index: int,
    *,
    diagnoses: Sequence[str] | None = None,
    duration_s: float = 10.0,
    sampling_rate: float = 500.0,
    style: str = "clear",
) -> SimulatedRecord:
    """Makes record number `index` of a seed; no other record has a part in it.

    Args:
        seed: Chooses among data sets.
        index: The record's number, from 0; the sources take turns.
        diagnoses: Abbreviations to give it; what they imply is added, and sinus rhythm where they
            name no rhythm. Drawn where None.
        duration_s: Length, at least 5 s. What needs several beats to be seen (SA, PAC, PVC) is
            sure in 10 s and more.
        sampling_rate: In Hz, at least 100.
        style: One of `STYLES`.

    Raises:
        ValueError: Diagnoses that exclude each other or don't exist; a length or rate too small.
    """
    if duration_s < _SHORTEST_S:
        raise ValueError(f"duration_s is {duration_s}; give {_SHORTEST_S} s or more")
    if style not in STYLES:
        raise ValueError(f"style is {style!r}; choose {' or '.join(map(repr, STYLES))}")
    if sampling_rate < 100:
        raise ValueError(f"sampling_rate is {sampling_rate} Hz; give 100 Hz or more")
    rng = np.random.default_rng([seed, index])
    source = SOURCES[index % len(SOURCES)]
    number = index // len(SOURCES) + 1
    wanted = None if diagnoses is None else complete(diagnoses)
    num_samples = round(duration_s * sampling_rate)
    if style == "clinical":
        heart, beats, leads = clinical.simulate(
            rng, wanted, num_samples, sampling_rate, source.mains_hz
        )
    else:
        drawn = draw_diagnoses(rng)
        heart = draw_heart(rng, wanted or drawn)
        beats = draw_beats(rng, heart, duration_s)
        leads = independent_leads(
            rng, heart, beats, num_samples=num_samples, sampling_rate=sampling_rate
        )
        leads += _noise(rng, source, num_samples, sampling_rate)
    age = int(np.clip(rng.normal(source.age, 16), 18, 89))
    return SimulatedRecord(
        name=f"{source.prefix}{number:05d}",
        source=source,
        signal=_digitise(leads, source.gain),
        sampling_rate=sampling_rate,
        codes=_codes(heart.diagnoses, index % len(SOURCES)),
        age=None if rng.random() < 0.01 else age,
        sex=str(rng.choice(["Male", "Female"])),
        truth=Truth(heart, beats),
    )


def _codes(diagnoses: tuple[str, ...], source: int) -> tuple[str, ...]:
    """Where two codes are one class, each source has its own custom."""
    return tuple(
        diagnosis.codes[source % len(diagnosis.codes)]
        for diagnosis in DIAGNOSES
        if diagnosis.abbreviation in diagnoses
    )


def _noise(
    rng: np.random.Generator, source: Source, num_samples: int, sampling_rate: float
) -> np.ndarray:
    """Baseline wander, mains hum and muscle noise on I, II, V1 .. V6: float32 [8, time], mV."""
    size = (8, 1)
    turns = (2 * math.pi / sampling_rate) * np.arange(num_samples, dtype=np.float32)
    # Breathing and slow drifts of the electrodes, and the power line: sums of a few waves.
    rates = np.array([rng.uniform(0.05, 0.12), rng.uniform(0.2, 0.35), source.mains_hz])
    level = source.noise * np.array([rng.uniform(0.01, 0.07), rng.uniform(0.005, 0.04), 0.0])
    level[2] = source.noise * min(rng.exponential(0.004), 0.012)
    weights = level * rng.standard_normal((2, 8, 3))
    angles = rates.astype(np.float32)[:, None] * turns
    waves = weights[0].astype(np.float32) @ np.sin(angles)
    waves += weights[1].astype(np.float32) @ np.cos(angles)
    # White noise over three samples: muscles' broad band without the highest rates.
    muscle = source.noise * rng.uniform(0.005, 0.018) * rng.uniform(0.7, 1.3, size)
    white = rng.standard_normal((8, num_samples + 2), dtype=np.float32)
    smooth = (0.25 * (white[:, :-2] + white[:, 2:]) + 0.75 * white[:, 1:-1]) / np.float32(0.83)
    return waves + muscle.astype(np.float32) * smooth


def _digitise(leads: np.ndarray, gain: int) -> np.ndarray:
    """Rounds I, II, V1 .. V6 [8, time] in mV to ADC units and derives the other limb leads."""
    limit = 16383  # so that no derived lead overflows
    adc = np.clip(np.rint(leads * np.float32(gain)), -limit, limit).astype(np.int16)
    one, two = adc[:2]
    derived = np.stack([two - one, -((one + two) // 2), one - two // 2, two - one // 2])
    return np.concatenate([adc[:2], derived.astype(np.int16), adc[2:]])
