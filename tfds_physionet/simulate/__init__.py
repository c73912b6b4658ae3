"""Embedded data: 12-lead records of a moving heart dipole with known diagnoses.

For learning how the whole works and for testing it, not for medicine. `choice` draws which
diagnoses a record carries, `heart` turns them into rates, intervals, axes and voltages, `rhythm`
into beat times, `dipole` into a signal, `record` adds noise, age and sex, `writing` writes files
in the Challenge's own form. `clinical` is the style whose records vary as widely as real ones do.
"""

from tfds_physionet.simulate.record import STYLES, SimulatedRecord, Truth, simulate_record
from tfds_physionet.simulate.writing import VERSIONS, write_records

__all__ = ["STYLES", "VERSIONS", "SimulatedRecord", "Truth", "simulate_record", "write_records"]
