"""Parses WFDB headers as the Challenge, its early releases and other sources write them.

Header quirks are dealt with here and nowhere else; `records` reads the samples that they describe.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tfds_physionet.databases import database_of
from tfds_physionet.errors import RecordError, beside, read_file
from tfds_physionet.formats.recording import RATES
from tfds_physionet.reading.annotations import read_annotations
from tfds_physionet.reading.channels import Channel, choose_channels, parse_channel
from tfds_physionet.reading.header_text import (
    LARGEST_HEADER,
    sort_lines,
    split_fields,
    split_lines,
    to_count,
    to_number,
)

_MOST_CHANNELS, _MOST_SEGMENTS = 1024, 1024
_DEFAULT_RATE = 250.0  # header(5)


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordHeader:
    """What a header says of its record.

    Attributes:
        record_id: The header's file name without suffix.
        path: The header file.
        database: The Challenge's source, or the folder's name elsewhere.
        sampling_rate: In Hz.
        leads: Names as written.
        gains: ADC units per mV, one a lead.
        baselines: ADC value of 0 mV, one a lead.
        codes: Diagnoses (SNOMED CT codes, words in early releases), each once.
        unread_diagnoses: Those of them that are neither SNOMED CT codes nor known words.
        age: In years; nan where unknown.
        sex: 'male', 'female' or 'unknown'.
        patient: Whose record it is; '' where unknown.
        remarks: What a user should know though the record is used, one sentence each.
        segments: Names of the records beside it of which it is made up, if it is.
    """

    record_id: str
    path: Path
    database: str
    sampling_rate: float
    leads: tuple[str, ...]
    gains: tuple[float, ...]
    baselines: tuple[float, ...]
    codes: tuple[str, ...] = ()
    unread_diagnoses: tuple[str, ...] = ()
    age: float = math.nan
    sex: str = "unknown"
    patient: str = ""
    remarks: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Storage:
    """Where the samples lie.

    Attributes:
        channels: All signal lines.
        kept: Rows of those that are the record's leads.
        samples_per_frame: Of the record: its sampling rate by the frame rate.
        num_frames: None where the header does not say.
        segments: (record name, or '~' for a gap; frames) in turn, of a record in segments, whose
            other fields are those of the first segment.
    """

    channels: tuple[Channel, ...]
    kept: tuple[int, ...]
    samples_per_frame: int
    num_frames: int | None
    segments: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class _RecordLine:
    num_segments: int | None
    num_channels: int
    frame_rate: float
    num_frames: int | None
    remarks: tuple[str, ...]


def parse_header(
    path: Path, root: Path | None = None, *, is_segment: bool = False
) -> tuple[RecordHeader, Storage]:
    """Parses a header (format: WFDB Applications Guide, header(5)), taking what releases hold.

    Raises:
        RecordError: It can't be read, or is not a header of a record with an ECG.
    """
    lines, comments = sort_lines(split_lines(read_file(path, "header", LARGEST_HEADER)))
    if not lines:
        raise RecordError(path, "header", "it has no record line")
    first = _record_line(path, lines[0], lines[1:])
    if first.num_segments is not None:
        if is_segment:
            raise RecordError(path, "segments", "a segment has segments of its own")
        return _parse_segments(path, root, first, lines[1:], comments)
    if len(lines) - 1 < first.num_channels:
        reason = f"the record line says {first.num_channels}, {len(lines) - 1} follow"
        raise RecordError(path, "number of leads", reason)
    remarks = list(first.remarks)
    if len(lines) - 1 > first.num_channels:
        remarks.append(f"{len(lines) - 1} signal lines; the record line says {first.num_channels}")
    channels = tuple(
        parse_channel(path, line, row) for row, line in enumerate(lines[1 : first.num_channels + 1])
    )
    kept, per_frame, notes = choose_channels(path, channels, first.frame_rate)
    remarks += notes
    rate = first.frame_rate * per_frame
    if abs(rate - round(rate)) < 1e-5 * rate:
        rate = float(round(rate))  # frames may take a third of a second
    if not RATES[0] <= rate <= RATES[1]:
        reason = f"{rate:g} Hz; an ECG has {RATES[0]:g} to {RATES[1]:g} Hz"
        raise RecordError(path, "sampling rate", reason)
    header = RecordHeader(
        record_id=path.stem,
        path=path,
        database=database_of(path, root),
        sampling_rate=rate,
        leads=tuple(channels[row].name for row in kept),
        gains=tuple(channels[row].gain for row in kept),
        baselines=tuple(channels[row].baseline for row in kept),
        remarks=tuple(remarks),
        **vars(read_annotations(comments)),
    )
    return header, Storage(channels, kept, per_frame, first.num_frames)


def _record_line(path: Path, line: str, others: Sequence[str]) -> _RecordLine:
    """Parses 'name leads Hz samples ...'; `others` are the lines that follow."""
    name, *fields = split_fields(line, 5)
    num_channels = to_count(fields[0]) if fields else None
    if num_channels is None:
        raise RecordError(path, "record line", f"{line[:80]!r} is not 'name leads Hz samples'")
    # A name may hold a folder: only where what follows lists segments is '/2' their number.
    segments = to_count(name.rpartition("/")[2]) if "/" in name else None
    if segments and any(len(split_fields(other)) != 2 for other in others[:segments]):
        segments = None
    if not 0 < num_channels <= _MOST_CHANNELS:
        reason = f"{num_channels}; 1 to {_MOST_CHANNELS} are taken"
        raise RecordError(path, "number of leads", reason)
    remarks = []
    rate = _DEFAULT_RATE
    if len(fields) > 1:
        # The rate may carry a counter frequency: 500/1000(0).
        rate = to_number(fields[1].partition("/")[0])
    else:
        remarks.append(f"no sampling rate is given; {_DEFAULT_RATE:g} Hz is WFDB's default")
    if not rate > 0:
        raise RecordError(path, "sampling rate", f"{fields[1][:40]!r} Hz")
    num_frames = to_count(fields[2]) if len(fields) > 2 else 0
    if num_frames is None or num_frames < 0:
        raise RecordError(path, "number of samples", f"{fields[2][:40]!r}")
    # WFDB takes a length of 0 for 'unknown'.
    return _RecordLine(segments or None, num_channels, rate, num_frames or None, tuple(remarks))


def _parse_segments(
    path: Path, root: Path | None, first: _RecordLine, lines: Sequence[str], comments: list[str]
) -> tuple[RecordHeader, Storage]:
    """Parses the header of a record in segments of a fixed layout."""
    segments = []
    for line in lines[: first.num_segments]:
        name, _, length = line.partition(" ")
        num_frames = to_count(length.strip())
        if num_frames is None or num_frames < 0:
            raise RecordError(path, "segment line", f"{line[:80]!r} is not 'name samples'")
        segments.append((name, num_frames))
    if len(segments) != first.num_segments or segments[0][1] == 0:
        reason = "its layout varies or is not complete; segments of one fixed layout are read"
        raise RecordError(path, "segments", reason)
    if len(segments) > _MOST_SEGMENTS:
        reason = f"{len(segments)}; at most {_MOST_SEGMENTS} are taken"
        raise RecordError(path, "segments", reason)
    total = sum(num_frames for _, num_frames in segments)
    if first.num_frames not in (None, total):
        reason = f"the record line says {first.num_frames}, its segments have {total}"
        raise RecordError(path, "number of samples", reason)
    name = next((name for name, _ in segments if name != "~"), "")
    if not name:
        raise RecordError(path, "segments", "each is a gap")
    header, storage = parse_header(segment_path(path, name), is_segment=True)
    if header.sampling_rate != first.frame_rate * storage.samples_per_frame:
        raise RecordError(path, "sampling rate", f"{first.frame_rate:g} Hz, another than {name}'s")
    known = read_annotations(comments)
    header = replace(
        header,
        record_id=path.stem,
        path=path,
        database=database_of(path, root),
        codes=known.codes or header.codes,
        unread_diagnoses=known.unread_diagnoses if known.codes else header.unread_diagnoses,
        age=header.age if math.isnan(known.age) else known.age,
        sex=header.sex if known.sex == "unknown" else known.sex,
        patient=known.patient or header.patient,
        remarks=(*first.remarks, *header.remarks),
        segments=tuple(dict.fromkeys(name for name, _ in segments if name != "~")),
    )
    return header, replace(storage, num_frames=total, segments=tuple(segments))


def segment_path(path: Path, name: str) -> Path:
    """Returns the header of a segment, which lies beside that of its record."""
    return beside(path, f"{name}.hea", "segments")
