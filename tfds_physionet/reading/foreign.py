"""Turns a recording of any format but WFDB into a header and leads as WFDB's reader gives them."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np

from tfds_physionet.databases import database_of
from tfds_physionet.errors import RecordError
from tfds_physionet.formats import arrays, clinical, kinds, tables
from tfds_physionet.formats.facts import Facts, facts_of
from tfds_physionet.formats.recording import RATES, Recording, StoredChannel
from tfds_physionet.reading.annotations import read_annotations
from tfds_physionet.reading.channels import Channel, choose_channels, gain_per_mv
from tfds_physionet.reading.headers import RecordHeader, Storage

_LONGEST = 1 << 28  # numbers of all channels together


def read_foreign(
    path: Path, root: Path | None, facts: Facts, part: int | None
) -> tuple[RecordHeader, Storage, list[np.ndarray], list[str]]:
    """Reads a file by its content.

    Args:
        path: The file.
        root: The folder that records were looked for in.
        facts: What the command says of arrays.
        part: Which of several ECGs.

    Returns:
        As a WFDB record: header, storage, leads, and what contradicts its checksums.

    Raises:
        RecordError: It can't be read, or holds no ECG.
    """
    kind = kinds.kind_of(path)
    if kind in kinds.CLINICAL:
        recording = clinical.read_clinical(path, kind)
    elif kind == "csv":
        recording = tables.read_table(path, facts_of(path, facts))
    else:
        recording = arrays.read_ecg(path, kind, facts_of(path, facts), part)
    return as_stored(path, root, recording)


def as_stored(
    path: Path, root: Path | None, recording: Recording
) -> tuple[RecordHeader, Storage, list[np.ndarray], list[str]]:
    """Returns a recording as `read_foreign` does, whose errors are those below reading."""
    frame_rate, per_frame = _frames(path, recording.channels)
    channels = tuple(
        _channel(channel, count)
        for channel, count in zip(recording.channels, per_frame, strict=True)
    )
    kept, own, notes = choose_channels(path, channels, float(frame_rate))
    rate = float(frame_rate * own)
    if abs(rate - round(rate)) < 1e-5 * rate:
        rate = float(round(rate))
    if not RATES[0] <= rate <= RATES[1]:
        reason = f"{rate:g} Hz; an ECG has {RATES[0]:g} to {RATES[1]:g} Hz"
        raise RecordError(path, "sampling rate", reason)
    leads, notes = _of_one_length(recording, kept, per_frame, notes)
    told = [f"Sex: {recording.sex}", f"Patient: {recording.patient}"]
    told += [f"Age: {recording.age:g}"] * math.isfinite(recording.age)
    told += [f"Dx: {','.join(recording.codes)}"] * bool(recording.codes)
    header = RecordHeader(
        record_id=path.stem,
        path=path,
        database=database_of(path, root),
        sampling_rate=rate,
        leads=tuple(channels[row].name for row in kept),
        gains=tuple(channels[row].gain for row in kept),
        baselines=tuple(channels[row].baseline for row in kept),
        remarks=(*recording.remarks, *notes),
        **vars(read_annotations([" ".join(line.split()) for line in told])),
    )
    return header, Storage(channels, kept, own, None), leads, list(recording.mismatches)


def _frames(path: Path, channels: tuple[StoredChannel, ...]) -> tuple[Fraction, list[int]]:
    """Returns the rate of frames, and the samples of each channel in one."""
    rates = [
        Fraction(channel.rate).limit_denominator(10_000) if 0 < channel.rate < 1e9 else Fraction(0)
        for channel in channels
    ]
    if not all(rates):
        wrong = next(c for c, rate in zip(channels, rates, strict=True) if not rate)
        raise RecordError(path, "sampling rate", f"{wrong.rate:g} Hz of {wrong.name}")
    if sum(len(channel.samples) for channel in channels) > _LONGEST:
        raise RecordError(path, "length", "it is too long; cut it into parts")
    denominator = math.lcm(*(rate.denominator for rate in rates))
    common = Fraction(math.gcd(*(int(rate * denominator) for rate in rates)), denominator)
    return common, [int(rate / common) for rate in rates]


def _channel(stored: StoredChannel, per_frame: int) -> Channel:
    """Returns a channel with its gain per mV, as a header's signal line has it."""
    gain, baseline, unit = gain_per_mv(stored.gain, stored.baseline, stored.unit)
    return Channel(
        file="",
        form="",
        samples_per_frame=per_frame,
        skew=0,
        offset=0,
        gain_text=f"{stored.gain:g}",
        gain=gain,
        baseline=baseline,
        unit=unit,
        first=None,
        checksum=None,
        name=" ".join(stored.name.split())[:100],
    )


def _of_one_length(
    recording: Recording, kept: tuple[int, ...], per_frame: list[int], notes: list[str]
) -> tuple[list[np.ndarray], list[str]]:
    """Returns the leads, each as long as the longest: what one lacks at its end is missing."""
    samples = [recording.channels[row].samples for row in kept]
    frames = max(-(-len(s) // per_frame[row]) for s, row in zip(samples, kept, strict=True))
    leads, short = [], []
    for row, values in zip(kept, samples, strict=True):
        lacking = frames * per_frame[row] - len(values)
        if lacking >= per_frame[row] or lacking and per_frame[row] == 1:
            short.append(recording.channels[row].name)
        if values.dtype != np.int16:
            with np.errstate(invalid="ignore"):  # of a signalling nan
                values = values.astype(np.float64, copy=False)
        elif lacking:
            values = np.where(values == -32768, np.nan, values)
        leads.append(np.pad(values, (0, lacking), constant_values=np.nan) if lacking else values)
    if short:
        notes = [*notes, f"leads that end before the others: {', '.join(short[:12])}"]
    return leads, notes
