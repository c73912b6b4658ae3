"""Gathers a record's leads from its signal files and segments, and compares them with the header.

Numbers stay as stored, as `sixteen_bits` has them; what fits them to 16 bits is `records`.
"""

from dataclasses import replace

import numpy as np

from tfds_physionet.errors import RecordError
from tfds_physionet.formats import mapping
from tfds_physionet.reading.channels import Channel
from tfds_physionet.reading.headers import RecordHeader, Storage, parse_header, segment_path
from tfds_physionet.reading.samples import Frames, read_frames
from tfds_physionet.reading.sixteen_bits import mark_missing, missing_mark, to_floats

_LARGEST = 1 << 27  # samples of a record in segments

Leads = np.ndarray | list[np.ndarray]
"""int16 [lead, time] where all leads are stored so, else one array [time] a lead."""


def read_leads(header: RecordHeader, storage: Storage) -> tuple[Leads, list[str]]:
    """Reads the leads of a record as they are stored.

    Returns:
        The leads, and what in them is not as the header says (checksums, first values).

    Raises:
        RecordError: A signal file is missing or broken, or contradicts the header.
    """
    if storage.segments:
        return _read_segments(header, storage)
    kept = set(storage.kept)
    num_frames = storage.num_frames
    leads: dict[int, np.ndarray] = {}
    stored: dict[int, np.ndarray] = {}
    surplus = 0
    for file in dict.fromkeys(channel.file for channel in storage.channels):
        rows = [row for row, channel in enumerate(storage.channels) if channel.file == file]
        if kept.isdisjoint(rows):
            continue
        channels = [storage.channels[row] for row in rows]
        frames = read_frames(header.path, channels, num_frames)
        num_frames = len(frames.samples)
        surplus = max(surplus, frames.surplus)
        if rows == list(range(len(storage.channels))) == list(storage.kept) and _plain(
            channels, frames
        ):
            whole = frames.samples.T
            whole = whole if mapping.is_mapped(whole) else np.ascontiguousarray(whole)
            return whole, _compare(header, storage, whole, surplus)
        start = 0
        for row, channel in zip(rows, channels, strict=True):
            stop = start + channel.samples_per_frame
            if row in kept:
                stored[row] = frames.samples[:, start:stop].reshape(-1)
                leads[row] = _late(mark_missing(stored[row], frames.invalid), channel)
            start = stop
    mismatches = _compare(header, storage, [stored[row] for row in storage.kept], surplus)
    return [leads[row] for row in storage.kept], mismatches


def _plain(channels: list[Channel], frames: Frames) -> bool:
    """Returns whether frames are the leads as they are."""
    simple = all(channel.samples_per_frame == 1 and not channel.skew for channel in channels)
    return simple and frames.samples.dtype == np.int16 and frames.invalid is None


def _late(values: np.ndarray, channel: Channel) -> np.ndarray:
    """Returns a channel whose samples come late in its file, put in time."""
    if not channel.skew:
        return values
    late = min(channel.skew * channel.samples_per_frame, len(values))
    return np.concatenate([values[late:], np.full(late, missing_mark(values), values.dtype)])


def _compare(header: RecordHeader, storage: Storage, leads: Leads, surplus: int) -> list[str]:
    """Returns what of the samples is not as the header says.

    Checksums, or first values, that are 0 throughout were left blank.

    Raises:
        RecordError: The file holds frames that the header does not count, and nothing confirms
            that the header is right.
    """
    channels = [storage.channels[row] for row in storage.kept]
    wanted = [channel.checksum for channel in channels]
    found = _checksums(leads)
    # Written as signed or unsigned.
    wrong = [
        name
        for name, checksum, total in zip(header.leads, wanted, found, strict=True)
        if any(wanted) and checksum is not None and total is not None
        if (checksum - total) % 65536
    ]
    if surplus and (wrong or None in wanted or not any(wanted)):
        reason = f"{surplus} bytes more than the header says"
        raise RecordError(header.path, "number of samples", reason)
    firsts = [channel.first for channel in channels]
    differ = [
        name
        for name, first, values in zip(header.leads, firsts, leads, strict=True)
        if any(firsts) and first is not None and len(values) and values[0] != first
    ]
    parts = [("checksum", wrong), ("first value", differ)]
    return [
        f"samples are not as the {what} says: {', '.join(names)}" for what, names in parts if names
    ]


def _checksums(leads: Leads) -> list[int | None]:
    """Returns the sum of each lead's samples in 16 bits; None where it can't be told."""
    if isinstance(leads, np.ndarray):
        sums = np.zeros(len(leads), np.int16)  # overflows as checksums do
        for piece in mapping.pieces(leads):
            sums += leads[:, piece].sum(axis=1, dtype=np.int16)
        return [int(total) for total in sums]
    return [_sum(values) for values in leads]


def _sum(values: np.ndarray) -> int | None:
    if values.dtype.kind != "f":
        return int(values.sum(dtype=np.int64))
    total = float(values.sum())  # nan where a sample is missing
    return int(total) if abs(total) < 2**53 else None


def _read_segments(header: RecordHeader, storage: Storage) -> tuple[Leads, list[str]]:
    """Reads the segments of a record one after another, in the units of the first."""
    per_frame = [storage.channels[row].samples_per_frame for row in storage.kept]
    if (storage.num_frames or 0) * sum(per_frame) > _LARGEST:
        reason = f"{storage.num_frames} frames are too many for a record in segments"
        raise RecordError(header.path, "number of samples", reason)
    parts: list[list[np.ndarray]] = []
    mismatches: list[str] = []
    for name, num_frames in storage.segments:
        if name == "~":
            parts.append([np.full(num_frames * count, np.nan) for count in per_frame])
            continue
        path = segment_path(header.path, name)
        segment, stored = parse_header(path, is_segment=True)
        same = (segment.leads, segment.sampling_rate) == (header.leads, header.sampling_rate)
        if not same or stored.num_frames not in (None, num_frames):
            reason = f"{name} has other leads, another rate or length than its record says"
            raise RecordError(header.path, "segments", reason)
        leads, found = read_leads(segment, replace(stored, num_frames=num_frames))
        mismatches += [f"{text} (segment {name})" for text in found]
        parts.append(_in_units(list(leads), segment, header))
    return [_joined([part[lead] for part in parts]) for lead in range(len(per_frame))], mismatches


def _in_units(
    leads: list[np.ndarray], segment: RecordHeader, header: RecordHeader
) -> list[np.ndarray]:
    if (segment.gains, segment.baselines) == (header.gains, header.baselines):
        return leads
    return [
        (to_floats(values) - segment.baselines[lead]) / segment.gains[lead] * header.gains[lead]
        + header.baselines[lead]
        for lead, values in enumerate(leads)
    ]


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    if len({part.dtype for part in parts}) > 1:
        parts = [to_floats(part) for part in parts]
    return np.concatenate(parts)
