"""The simulator's clinical style: records varied as widely as real ones, with labels that hold.

`findings` draws what a record shows and what its source writes down, `patient` the numbers behind
it, `torso` how the leads see the heart, `waves` the shapes of its beats, `rhythm` when they come,
`leads` adds them up, and `machine` is what electrodes, amplifiers and filters do to them.
"""

import numpy as np

from tfds_physionet.simulate.clinical.findings import draw_case, given_case
from tfds_physionet.simulate.clinical.leads import independent_leads
from tfds_physionet.simulate.clinical.machine import record_leads
from tfds_physionet.simulate.clinical.patient import draw_heart
from tfds_physionet.simulate.clinical.rhythm import draw_beats
from tfds_physionet.simulate.heart import Heart
from tfds_physionet.simulate.rhythm import Beats


def simulate(
    rng: np.random.Generator,
    diagnoses: tuple[str, ...] | None,
    num_samples: int,
    sampling_rate: float,
    mains_hz: float,
) -> tuple[Heart, Beats, np.ndarray]:
    """Returns a heart, its beats and I, II, V1 .. V6 as a machine stores them [8, time], mV.

    Args:
        rng: Where chance comes from.
        diagnoses: What it shows (complete, see `choice.complete`); drawn where None.
        num_samples: The record's length.
        sampling_rate: In Hz.
        mains_hz: The power line's frequency.
    """
    case = draw_case(rng) if diagnoses is None else given_case(diagnoses)
    heart = draw_heart(rng, case)
    beats = draw_beats(rng, case, heart, num_samples / sampling_rate)
    leads = independent_leads(
        rng, case, heart, beats, num_samples=num_samples, sampling_rate=sampling_rate
    )
    return heart, beats, record_leads(rng, leads, sampling_rate, mains_hz)
