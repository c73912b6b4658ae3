"""Turns a record into what the networks are fed: standard leads, one rate, statistics per lead.

Pure NumPy and SciPy. A prepared signal is int16; its z-score, (signal - mean) / std and 0 where a
sample is missing, is taken on the device (`z_score` is the NumPy form).
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import scipy.signal

from tfds_physionet.records import MISSING, EcgRecord, RecordError

STANDARD_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")

# Einthoven and Goldberger: each limb lead in mV as weights of I and II.
_DERIVED = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}


@dataclass(frozen=True, eq=False)
class PreparedSignal:
    """A record as the networks take it; L = 12 standard leads.

    Attributes:
        signal: int16 [L, time], ADC units; MISSING (-32768) marks missing samples and absent leads.
        lead_mean: float32 [L], of the samples that are not missing; 0 for an absent lead.
        lead_std: float32 [L], population standard deviation + 1e-8; 1 for an absent lead.
        lead_present: bool [L].
        sampling_rate: In Hz.
    """

    signal: np.ndarray
    lead_mean: np.ndarray
    lead_std: np.ndarray
    lead_present: np.ndarray
    sampling_rate: float


def standard_leads(record: EcgRecord) -> np.ndarray:
    """Returns the record's samples int16 [12, time] in the standard order of leads.

    Leads go by name, in any case. III, aVR, aVL and aVF are derived from I and II where they are
    not there, in the ADC units of II. A lead that is neither is MISSING throughout.

    Raises:
        RecordError: No lead bears a standard name, or those that do have no valid sample.
    """
    rows = {name.upper(): row for row, name in reversed(list(enumerate(record.leads)))}
    signal = np.full((len(STANDARD_LEADS), record.signal.shape[1]), MISSING, np.int16)
    found = [rows.get(name.upper()) for name in STANDARD_LEADS]
    for lead, row in enumerate(found):
        if row is not None:
            signal[lead] = record.signal[row]
        elif STANDARD_LEADS[lead] in _DERIVED and "I" in rows and "II" in rows:
            weights = _DERIVED[STANDARD_LEADS[lead]]
            signal[lead] = _derive(record, (rows["I"], rows["II"]), weights)
    if all(row is None for row in found):
        reason = f"none of {', '.join(record.leads)} is a standard lead (I, II, ..., V6)"
        raise RecordError(record.path, "leads", reason)
    if np.all(signal == MISSING):
        raise RecordError(record.path, "signal", "every sample of every lead is missing")
    return signal


def _derive(record: EcgRecord, rows: tuple[int, int], weights: tuple[float, float]) -> np.ndarray:
    """Returns int16 [time], the weighted sum of two leads, in the ADC units of the second."""
    source = record.signal[list(rows)].astype(np.float64)
    gains, baselines = (np.array(values)[list(rows)] for values in (record.gains, record.baselines))
    lead = (np.array(weights) * gains[1] / gains) @ (source - baselines[:, None])
    missing = (source == MISSING).any(axis=0)
    return np.where(missing, MISSING, np.clip(np.rint(lead), -32767, 32767)).astype(np.int16)


def signal_hash(record: EcgRecord) -> str:
    """Returns a hash of the lead-ordered samples: equal for duplicates under different names."""
    return hashlib.blake2b(standard_leads(record).tobytes(), digest_size=16).hexdigest()


def prepare(
    record: EcgRecord,
    *,
    sampling_rate: float = 500.0,
    band_hz: tuple[float, float] | None = None,
) -> PreparedSignal:
    """Prepares a record: lead order, resampling, filtering, statistics per lead.

    At 500 Hz without a filter the statistics are those of the native samples, as in the reference,
    which takes the z-score before it resamples; otherwise they are those of the stored samples.

    Args:
        record: As read.
        sampling_rate: Of the result, in Hz.
        band_hz: Low and high corner of a zero-phase Butterworth band-pass of order 3, or None.

    Raises:
        RecordError: There is no standard lead, or no valid sample.
        ValueError: The band does not lie below half the sampling rate.
    """
    native = standard_leads(record)
    missing = native == MISSING
    present = ~missing.all(axis=1)
    mean, std = _statistics(native, missing)
    if record.sampling_rate == sampling_rate and band_hz is None:
        signal = native
    else:
        # What is missing takes its lead's mean meanwhile, here 0.
        centred = np.where(missing, 0.0, native - mean[:, None])
        missing = _nearest(missing, record.sampling_rate, sampling_rate)
        centred = _resample(centred, missing.shape[1], record.sampling_rate, sampling_rate)
        # A band-pass leaves no offset to put back.
        values = (
            centred + mean[:, None] if band_hz is None else _filter(centred, sampling_rate, band_hz)
        )
        signal = np.where(missing, MISSING, np.clip(np.rint(values), -32767, 32767))
        signal = signal.astype(np.int16)
        if sampling_rate != 500.0 or band_hz is not None:
            mean, std = _statistics(signal, missing)
    signal, mean = _without_large_offsets(signal, missing, mean, std)
    return PreparedSignal(
        signal=signal,
        lead_mean=np.where(present, mean, 0.0).astype(np.float32),
        lead_std=np.where(present, std + 1e-8, 1.0).astype(np.float32),
        lead_present=present,
        sampling_rate=sampling_rate,
    )


def z_score(prepared: PreparedSignal) -> np.ndarray:
    """Returns float32 [12, time]: (signal - mean) / std, and 0 where a sample is missing."""
    z = (prepared.signal - prepared.lead_mean[:, None]) / prepared.lead_std[:, None]
    return np.where(prepared.signal == MISSING, np.float32(0), z.astype(np.float32))


def _statistics(signal: np.ndarray, missing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns (mean, population std) float64 [L] of the samples that are not missing."""
    count = np.maximum((~missing).sum(axis=1), 1)
    mean = np.where(missing, 0, signal).sum(axis=1, dtype=np.float64) / count
    deviation = np.where(missing, 0.0, signal - mean[:, None])
    return mean, np.sqrt((deviation**2).sum(axis=1) / count)


def _nearest(missing: np.ndarray, rate: float, new_rate: float) -> np.ndarray:
    """Returns bool [L, time at the new rate]: the samples nearest to those missing."""
    length = missing.shape[1]
    if rate == new_rate:
        return missing
    new_length = max(1, int(length * new_rate / rate))
    if (rate, new_rate) == (1000.0, 500.0):
        new_length = -(-length // 2)  # as resample_poly has it
    ratio = rate / new_rate
    # Each new sample asks its nearest old one, and each old one tells its nearest new one.
    asked = np.clip(np.rint(np.arange(new_length) * ratio).astype(int), 0, length - 1)
    nearest = missing[:, asked]
    leads, times = np.nonzero(missing)
    nearest[leads, np.clip(np.rint(times / ratio).astype(int), 0, new_length - 1)] = True
    return nearest


def _resample(signal: np.ndarray, new_length: int, rate: float, new_rate: float) -> np.ndarray:
    """Resamples float64 [L, time] the way of the reference."""
    if rate == new_rate:
        return signal
    if (rate, new_rate) == (1000.0, 500.0):
        return scipy.signal.resample_poly(signal, 1, 2, axis=1)
    return scipy.signal.resample(signal, new_length, axis=1)


def _filter(signal: np.ndarray, sampling_rate: float, band_hz: tuple[float, float]) -> np.ndarray:
    """Band-passes float64 [L, time] forwards and backwards (Butterworth, order 3)."""
    sections = scipy.signal.butter(3, band_hz, "bandpass", fs=sampling_rate, output="sos")
    # 21 is the padding of scipy.signal.filtfilt for this order, which the compared work uses.
    return scipy.signal.sosfiltfilt(sections, signal, padlen=min(21, signal.shape[1] - 1))


def _without_large_offsets(
    signal: np.ndarray, missing: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Takes whole offsets out where a float32 mean would cost more than 1e-6 in z-scores."""
    offset = np.where(np.abs(mean.astype(np.float32) - mean) > 1e-6 * std, np.rint(mean), 0)
    if not offset.any():
        return signal, mean
    shifted = np.where(missing, 0, signal - offset[:, None])
    offset[np.abs(shifted).max(axis=1) > 32767] = 0
    return np.where(missing, MISSING, signal - offset[:, None]).astype(np.int16), mean - offset
