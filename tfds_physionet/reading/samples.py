"""Reads a signal file: WFDB's storage formats (signal(5)), FLAC, MATLAB matrices.

Samples come as stored, in frames; what they mean belongs to `records`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfds_physionet.errors import RecordError, beside, file_size, unreadable
from tfds_physionet.formats import matlab
from tfds_physionet.formats.mapping import read_numbers
from tfds_physionet.reading.channels import Channel

_FIELD = "signal file"
# Samples and bytes of a block of each format.
_BLOCKS = {"16": (1, 2), "61": (1, 2), "160": (1, 2), "8": (1, 1), "80": (1, 1), "24": (1, 3)}
_BLOCKS |= {"32": (1, 4), "212": (2, 3), "310": (3, 4), "311": (3, 4)}
_FLAC = {"508": ("PCM_S8",), "516": ("PCM_S8", "PCM_16"), "524": ("PCM_S8", "PCM_16", "PCM_24")}
# The value of an invalid sample.
_INVALID = {"80": -128, "508": -128, "212": -2048, "310": -512, "311": -512}
_INVALID |= {"24": -(2**23), "524": -(2**23), "32": -(2**31)}
_PIECE = 6 << 18  # samples decoded at a time, in whole blocks of every format
_LARGEST = 1 << 27  # samples of a file that is decoded
_LARGEST_FLAC = 1 << 26  # which may be much more than its bytes


@dataclass(frozen=True, eq=False)
class Frames:
    """What a signal file holds.

    Attributes:
        samples: [frame, sample of a frame] as stored: int16, int32, or float64 with nan.
        invalid: The number that stands for a missing sample, where it is not the type's mark.
        surplus: Bytes left over, where they make a frame or more; else 0.
    """

    samples: np.ndarray
    invalid: int | None = None
    surplus: int = 0


def read_frames(header: Path, channels: Sequence[Channel], num_frames: int | None) -> Frames:
    """Reads the samples of one file.

    Args:
        header: The record's header.
        channels: All that the file holds, in turn.
        num_frames: None where the header does not say; then all there are.

    Raises:
        RecordError: The file is missing, damaged, shorter than needed, or of an unknown format.
    """
    path = beside(header, channels[0].file, _FIELD)
    size = file_size(path, _FIELD)
    form, offset = channels[0].form, channels[0].offset
    if any((channel.form, channel.offset) != (form, offset) for channel in channels):
        raise RecordError(path, "signal line", "its channels differ in their storage format")
    try:
        if path.suffix.lower() == ".mat":
            return _read_matlab(path, size, channels, num_frames)
        if form in _FLAC:
            return Frames(_read_flac(path, channels, num_frames), _INVALID.get(form))
        return _read_blocks(path, size, channels, num_frames)
    except OSError as error:
        raise unreadable(path, _FIELD, error) from error


def _read_blocks(
    path: Path, size: int, channels: Sequence[Channel], num_frames: int | None
) -> Frames:
    form, offset = channels[0].form, channels[0].offset
    if form not in _BLOCKS:
        known = ", ".join([*_BLOCKS, *_FLAC])
        raise RecordError(path, "signal line", f"storage format {form!r} is none of {known}")
    per_block, block = _BLOCKS[form]
    per_frame = sum(channel.samples_per_frame for channel in channels)
    held = max(size - offset, 0)
    if num_frames is None:
        num_frames = held // block * per_block // per_frame
    count = num_frames * per_frame
    needed = -(-count * block // per_block)
    if form == "310" and count % 3 == 2:
        needed += 1  # its second sample ends in the fourth byte
    if held < needed:
        reason = (
            f"{held} bytes of samples; {num_frames} frames of {per_frame} samples need {needed}"
        )
        raise RecordError(path, _FIELD, reason)
    if form == "16":
        samples = read_numbers(path, "<i2", count, offset)
    elif count > _LARGEST:
        raise RecordError(path, _FIELD, f"{count} samples of format {form} are too many")
    else:
        samples = _decode_file(path, form, count, offset)
    frames = samples.reshape(num_frames, per_frame)
    if form == "8":
        frames = _summed(frames, channels)
    surplus = held - -(-count // per_block) * block  # the last block may be filled up
    surplus = surplus if surplus * per_block >= per_frame * block else 0
    return Frames(frames, _INVALID.get(form), surplus)


def _decode_file(path: Path, form: str, count: int, offset: int) -> np.ndarray:
    """Returns `count` samples, int16 or int32, decoded piece by piece."""
    per_block, block = _BLOCKS[form]
    samples = np.empty(count, np.int32 if form in ("24", "32") else np.int16)
    for start in range(0, count, _PIECE):
        stop = min(start + _PIECE, count)
        blocks = -(-(stop - start) // per_block)
        place = offset + start // per_block * block
        data = np.zeros((blocks, block), np.uint8)
        stored = np.fromfile(path, np.uint8, data.size, offset=place)
        data.reshape(-1)[: len(stored)] = stored
        samples[start:stop] = _decode(data, form)[: stop - start]
    return samples


def _decode(data: np.ndarray, form: str) -> np.ndarray:
    """Returns the samples of blocks uint8 [block, byte] in turn."""
    if form in ("8", "80"):
        return data.reshape(-1).view(np.int8) if form == "8" else data.reshape(-1) - np.int16(128)
    if form == "61":
        return data.view(">i2").reshape(-1)
    if form == "160":
        return (data.view("<u2").reshape(-1) - np.int32(32768)).astype(np.int16)
    if form == "32":
        return data.view("<i4").reshape(-1)
    a = data.astype(np.int32).T
    if form == "24":
        return _signed(a[0] | a[1] << 8 | a[2] << 16, 24)
    if form == "212":
        parts, bits = [a[0] | (a[1] & 15) << 8, a[2] | (a[1] & 240) << 4], 12
    elif form == "310":
        parts = [
            a[0] >> 1 | (a[1] & 7) << 7,
            a[2] >> 1 | (a[3] & 7) << 7,
            a[1] >> 3 | a[3] >> 3 << 5,
        ]
        bits = 10
    else:
        parts = [a[0] | (a[1] & 3) << 8, a[1] >> 2 | (a[2] & 15) << 6, a[2] >> 4 | (a[3] & 63) << 4]
        bits = 10
    return _signed(np.stack(parts, axis=1).reshape(-1), bits)


def _signed(numbers: np.ndarray, bits: int) -> np.ndarray:
    return np.where(numbers >> (bits - 1), numbers - (1 << bits), numbers)


def _summed(frames: np.ndarray, channels: Sequence[Channel]) -> np.ndarray:
    """Returns int32 frames of format 8, which stores differences from one sample to the next."""
    summed = np.empty(frames.shape, np.int32)
    start = 0
    for channel in channels:
        columns = slice(start, start := start + channel.samples_per_frame)
        values = frames[:, columns].reshape(-1).cumsum(dtype=np.int64) + (channel.first or 0)
        limit = np.iinfo(np.int32)
        summed[:, columns] = values.clip(limit.min, limit.max).reshape(frames.shape[0], -1)
    return summed


def _read_flac(path: Path, channels: Sequence[Channel], num_frames: int | None) -> np.ndarray:
    import soundfile

    form, offset, per_frame = channels[0].form, channels[0].offset, channels[0].samples_per_frame
    if any(channel.samples_per_frame != per_frame for channel in channels):
        raise RecordError(path, _FIELD, "its channels differ in their samples per frame")
    try:
        with soundfile.SoundFile(path) as stream:
            if stream.format != "FLAC" or stream.subtype not in _FLAC[form]:
                reason = f"{stream.format} {stream.subtype} is not storage format {form}"
                raise RecordError(path, _FIELD, reason)
            held = max(stream.frames - offset, 0)
            count = held // per_frame * per_frame if num_frames is None else num_frames * per_frame
            if stream.channels != len(channels) or held < count:
                reason = f"{stream.channels} channels of {held} samples; the header says "
                raise RecordError(path, _FIELD, f"{reason}{len(channels)} of {count}")
            if count * len(channels) > _LARGEST_FLAC:
                raise RecordError(path, _FIELD, f"{count} samples a channel are too many")
            bits = {"PCM_S8": 8, "PCM_16": 0, "PCM_24": 8}[stream.subtype]
            dtype = "int32" if stream.subtype == "PCM_24" else "int16"
            stream.seek(offset)
            samples, read = np.empty((count, len(channels)), dtype), 0
            # In pieces: libsndfile fails on blocks of more than 2**24 samples (its issue 431).
            for start in range(0, count, 1 << 16):
                read += len(stream.read(out=samples[start : start + (1 << 16)]))
    except soundfile.SoundFileError as error:
        raise RecordError(path, _FIELD, f"damaged FLAC: {error}") from error
    if read != count:
        raise RecordError(path, _FIELD, f"damaged FLAC: {read} samples of {count}")
    samples >>= bits
    # As the other formats have it: all samples of a channel in a frame, then the next channel's.
    frames = samples.reshape(-1, per_frame, len(channels)).transpose(0, 2, 1)
    return frames.reshape(count // per_frame, -1)


def _read_matlab(
    path: Path, size: int, channels: Sequence[Channel], num_frames: int | None
) -> Frames:
    """Reads the matrix `val`, as plain format 16 where the header says rightly how it lies."""
    per_frame = sum(channel.samples_per_frame for channel in channels)
    if channels[0].form == "16":
        rows, columns, offset = matlab.plain_int16(path)
        if (rows, offset, 2 * rows * columns) == (per_frame, channels[0].offset, size - offset):
            return _read_blocks(path, size, channels, num_frames)
    matrix = matlab.find_matrix(path, size, "val")
    rows, columns = shape = matrix.shape
    length = columns if rows == per_frame else rows
    fitting = per_frame == len(channels) and per_frame in shape
    if not fitting or num_frames not in (None, length):
        reason = f"its shape is {shape}; the header says ({len(channels)}, {num_frames})"
        raise RecordError(path, "signal", reason)
    values = matlab.read_matrix(path, matrix)
    frames = values if rows == per_frame else values.T
    return Frames(_as_samples(path, frames))


def _as_samples(path: Path, frames: np.ndarray) -> np.ndarray:
    """Returns numbers of any type as int16 where they are, else as float64; nan where missing."""
    if frames.dtype.itemsize == 2 and frames.dtype.kind == "i" or frames.dtype.itemsize == 1:
        return frames.astype(np.int16, copy=False)
    values = frames.astype(np.float64)
    values[~np.isfinite(values) | (values == -32768)] = np.nan
    fractions = np.nanmax(np.abs(values - np.rint(values)), initial=0)
    if fractions > 0:
        reason = "val holds fractions, such as floating-point mV; whole ADC units are wanted"
        raise RecordError(path, "signal", reason)
    return values
