"""Turns a record into what the networks are fed: standard leads, one rate, statistics per lead.

Pure NumPy and SciPy. A prepared signal is int16; its z-score, (signal - mean) / std and 0 where a
sample is missing, is taken on the device (`z_score` is the NumPy form).
"""

import hashlib
import math
from dataclasses import dataclass

import numpy as np

from tfds_physionet.formats.mapping import pieces
from tfds_physionet.leads import STANDARD_LEADS, derivation, lead_rows
from tfds_physionet.reading import resampling
from tfds_physionet.reading.records import MISSING, EcgRecord, RecordError

_LONGEST = 1 << 26  # samples a lead; a day at 500 Hz has 43 million

__all__ = ["STANDARD_LEADS", "PreparedSignal", "derived_leads", "prepare"]
__all__ += ["signal_hash", "standard_leads", "z_score"]


@dataclass(frozen=True, eq=False)
class PreparedSignal:
    """A record as the networks take it; L = 12 standard leads.

    Attributes:
        signal: int16 [L, time], ADC units; MISSING (-32768) marks missing samples and absent leads.
        lead_mean: float32 [L], of the samples that are not missing; 0 for an absent lead.
        lead_std: float32 [L], population standard deviation + 1e-8; 1 for an absent lead.
        lead_present: bool [L].
        sampling_rate: In Hz.
        leads_derived: Names of the leads that were derived from others.
    """

    signal: np.ndarray
    lead_mean: np.ndarray
    lead_std: np.ndarray
    lead_present: np.ndarray
    sampling_rate: float
    leads_derived: tuple[str, ...] = ()

    @property
    def leads_missing(self) -> tuple[str, ...]:
        """Names of the leads that are not there, nor could be derived."""
        return tuple(STANDARD_LEADS[lead] for lead in np.flatnonzero(~self.lead_present))


def derived_leads(record: EcgRecord) -> tuple[str, ...]:
    """Returns the standard leads that a record lacks and that two of its limb leads give."""
    given = lead_rows(record.leads)
    return tuple(name for name in STANDARD_LEADS if name not in given and derivation(name, given))


def standard_leads(record: EcgRecord) -> np.ndarray:
    """Returns a record's samples int16 [12, time] in the standard order of leads, with gains > 0.

    Leads go by name, in its spellings. A limb lead that is not there is derived from two others
    that are, in the ADC units of the second (in larger ones where 16 bits do not hold it). A lead
    that is neither is MISSING throughout.

    Raises:
        RecordError: No lead bears a standard name, or those that do have no valid sample.
    """
    given = lead_rows(record.leads)
    if not given:
        reason = f"none of {', '.join(record.leads)} is a standard lead (I, II, ..., V6)"
        raise RecordError(record.path, "leads", reason)
    length = record.signal.shape[1]
    if length > _LONGEST:
        raise RecordError(record.path, "length", _too_long(record, _LONGEST))
    signal = np.empty((len(STANDARD_LEADS), length), np.int16)
    for piece in pieces(record.signal):
        block = record.signal[:, piece]
        for lead, name in enumerate(STANDARD_LEADS):
            if name not in given:
                signal[lead, piece] = MISSING
            elif record.gains[given[name][0]] < 0:
                # In 16 bits the negative of -32768 is itself: what is missing stays so.
                np.negative(block[given[name][0]], out=signal[lead, piece])
            else:
                signal[lead, piece] = block[given[name][0]]
    for name in derived_leads(record):
        _derive(signal, record, name)
    if not _any_valid(signal):
        raise RecordError(record.path, "signal", "every sample of every lead is missing")
    return signal


def _too_long(record: EcgRecord, longest: int) -> str:
    length = record.signal.shape[1]
    hours, most = (count / record.sampling_rate / 3600 for count in (length, longest))
    return f"{length} samples at {record.sampling_rate:g} Hz, {hours:.1f} h; at most {most:.1f} h"


def _any_valid(signal: np.ndarray) -> bool:
    return any(np.any(signal[:, piece] != MISSING) for piece in pieces(signal))


def _derive(signal: np.ndarray, record: EcgRecord, name: str) -> None:
    """Fills in a limb lead from two others of `signal` int16 [12, time]."""
    given = lead_rows(record.leads)
    found = derivation(name, given)
    assert found is not None  # as `derived_leads` says
    pair, weights = found
    sources, lead = [STANDARD_LEADS.index(source) for source in pair], STANDARD_LEADS.index(name)
    channels = [given[source][0] for source in pair]
    gains, baselines = (np.array(values)[channels] for values in (record.gains, record.baselines))
    baselines = np.where(gains < 0, -baselines, baselines)
    weights = weights * abs(gains[1]) / abs(gains)
    largest = 0.0
    for scale in (1.0, None):
        for piece in pieces(signal):
            source = signal[sources, piece].astype(np.float64)
            missing = (source == MISSING).any(axis=0)
            values = (weights * (scale or 32767 / largest)) @ (source - baselines[:, None])
            largest = max(largest, float(np.abs(values).max(initial=0, where=~missing)))
            signal[lead, piece] = resampling.to_int16(values, missing)
        if largest <= 32767.5:
            return


def signal_hash(leads: np.ndarray) -> str:
    """Returns a hash of `standard_leads`: equal for duplicates under different names."""
    return hashlib.blake2b(leads.data, digest_size=16).hexdigest()


def prepare(
    record: EcgRecord,
    *,
    sampling_rate: float = 500.0,
    band_hz: tuple[float, float] | None = None,
    leads: np.ndarray | None = None,
) -> PreparedSignal:
    """Prepares a record: lead order, resampling, filtering, statistics per lead.

    At 500 Hz without a filter the statistics are those of the native samples, as in the reference,
    which takes the z-score before it resamples; otherwise they are those of the stored samples.

    Args:
        record: As read.
        sampling_rate: Of the result, in Hz.
        band_hz: Low and high corner of a zero-phase Butterworth band-pass of order 3, or None.
        leads: Its `standard_leads`, where they are at hand; they are not kept as they are.

    Raises:
        RecordError: There is no standard lead or no valid sample, or too many to resample.
        ValueError: The band does not lie below half the sampling rate.
    """
    changes = record.sampling_rate != sampling_rate or band_hz is not None
    length = record.signal.shape[1]
    new_length = resampling.resampled_length(length, record.sampling_rate, sampling_rate)
    if changes and max(length, new_length) > resampling.LONGEST:
        longest = int(resampling.LONGEST * min(record.sampling_rate / sampling_rate, 1))
        reason = f"{_too_long(record, longest)} to be resampled or filtered"
        raise RecordError(record.path, "length", reason)
    signal = standard_leads(record) if leads is None else leads
    present, mean, std = _statistics(signal)
    if changes:
        native, signal = signal, np.empty((len(signal), new_length), np.int16)
        for group in resampling.lead_groups(len(signal), max(length, new_length)):
            values, missing = resampling.resample(
                native[group], mean[group], record.sampling_rate, sampling_rate, new_length
            )
            # A band-pass leaves no offset to put back.
            values = (
                values + mean[group, None]
                if band_hz is None
                else _filter(values, sampling_rate, band_hz)
            )
            signal[group] = resampling.to_int16(values, missing)
        if sampling_rate != 500.0 or band_hz is not None:
            mean, std = _statistics(signal)[1:]
    mean = _take_out_large_offsets(signal, mean, std)
    derived = derived_leads(record)
    return PreparedSignal(
        signal=signal,
        lead_mean=np.where(present, mean, 0.0).astype(np.float32),
        lead_std=np.where(present, std + 1e-8, 1.0).astype(np.float32),
        lead_present=present,
        sampling_rate=sampling_rate,
        leads_derived=tuple(name for name in derived if present[STANDARD_LEADS.index(name)]),
    )


def z_score(prepared: PreparedSignal) -> np.ndarray:
    """Returns float32 [12, time]: (signal - mean) / std, and 0 where a sample is missing."""
    z = (prepared.signal - prepared.lead_mean[:, None]) / prepared.lead_std[:, None]
    return np.where(prepared.signal == MISSING, np.float32(0), z.astype(np.float32))


def _statistics(signal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (bool [L]: whether any sample is valid, mean, population std) of int16 [L, time].

    Missing samples do not count. Sums are whole numbers, so that no order of adding matters.
    """
    counts, sums, squares = (np.zeros(len(signal), np.int64) for _ in range(3))
    for piece in pieces(signal):
        values = signal[:, piece].astype(np.int32)
        missing = values == MISSING
        counts += values.shape[1]
        if missing.any():
            values[missing] = 0
            counts -= missing.sum(axis=1)
        sums += values.sum(axis=1, dtype=np.int64)
        values *= values
        squares += values.sum(axis=1, dtype=np.int64)
    mean = sums / np.maximum(counts, 1)
    # In Python's integers, which have no end.
    moments = zip(counts.tolist(), sums.tolist(), squares.tolist(), strict=True)
    std = [math.sqrt((n * q - s * s) / max(n, 1) ** 2) for n, s, q in moments]
    return counts > 0, mean, np.array(std)


def _filter(signal: np.ndarray, sampling_rate: float, band_hz: tuple[float, float]) -> np.ndarray:
    """Band-passes float64 [L, time] forwards and backwards (Butterworth, order 3)."""
    import scipy.signal  # see `resampling.resample`

    sections = scipy.signal.butter(3, band_hz, "bandpass", fs=sampling_rate, output="sos")
    # 21 is the padding of scipy.signal.filtfilt for this order, which the compared work uses.
    return scipy.signal.sosfiltfilt(sections, signal, padlen=min(21, signal.shape[1] - 1))


def _take_out_large_offsets(signal: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Shifts leads of `signal` where a float32 mean would cost more than 1e-6 in z-scores.

    Returns:
        The means of what is left.
    """
    offset = np.where(np.abs(mean.astype(np.float32) - mean) > 1e-6 * std, np.rint(mean), 0)
    for lead in np.flatnonzero(offset):
        row, shift = signal[lead : lead + 1], int(offset[lead])
        largest = 0
        for piece in pieces(row):
            shifted = row[:, piece].astype(np.int32) - shift
            valid = row[:, piece] != MISSING
            largest = max(largest, int(np.abs(shifted).max(initial=0, where=valid)))
        if largest > 32767:
            offset[lead] = 0
            continue
        for piece in pieces(row):
            np.subtract(row[:, piece], shift, out=row[:, piece], where=row[:, piece] != MISSING)
    return mean - offset
