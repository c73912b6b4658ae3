"""Parses the signal lines of a header, and chooses which channels are a record's leads."""

import functools
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tfds_physionet.errors import RecordError
from tfds_physionet.leads import lead_rows
from tfds_physionet.reading.header_text import split_fields, to_count, to_number


@dataclass(frozen=True)
class Channel:
    """A signal line.

    Attributes:
        file: Name of the signal file, as written.
        form: Storage format of signal(5), e.g. '16'.
        samples_per_frame: Samples of this channel in a frame.
        skew: Frames by which its samples come late.
        offset: Bytes before the first sample (samples in FLAC).
        gain_text: The gain as written.
        gain: ADC units per mV; nan where the text is none.
        baseline: ADC value of 0 mV; nan where it is none.
        unit: As written; mV where none is.
        first: The first sample; None where the header does not say.
        checksum: The sum of all samples, in 16 bits; None where the header does not say.
        name: What is recorded.
    """

    file: str
    form: str
    samples_per_frame: int
    skew: int
    offset: int
    gain_text: str
    gain: float
    baseline: float
    unit: str
    first: int | None
    checksum: int | None
    name: str


_FORM = re.compile(r"(\d{1,4})(?:x(\d{1,6}))?(?::(\d{1,9}))?(?:\+(\d{1,18}))?", re.ASCII)
# 1000/mV, 1000.0(0)/mv, 200; the unit defaults to mV and the baseline to the ADC zero.
_GAIN = re.compile(r"([^(/]*)(?:\(([^)]*)\))?(?:/(.*))?")
_DEFAULT_GAIN = 200.0  # ADC units per unit; what a gain of 0, or none, stands for
_ADC_PER_MV = {"mv": 1.0, "uv": 1e3, "\u00b5v": 1e3, "\u03bcv": 1e3, "v": 1e-3, "nv": 1e6}
# Of a channel that measures something else; in any other unit a standard lead is still an ECG.
_NO_ECG = "mmhg cmh2o kpa hpa pa bar torr bpm rpm /min 1/min l/min ml/min hz % pct l ml degc degf "
_NO_ECG += "°c °f celsius c f g kg m/s m/s2 ohm ohms kohm s ms sec a ma rad w j mmol/l ppm spo2"
_NO_ECG_UNITS = frozenset(_NO_ECG.split())
_LARGEST_GAIN, _LARGEST_BASELINE = 1e15, 1e15


def parse_channel(path: Path, line: str, row: int) -> Channel:
    """Parses a signal line: 'file format gain resolution zero first checksum block name'.

    All after the format may be left out (header(5)); a channel without a name is called by its
    number.

    Raises:
        RecordError: It has no storage format.
    """
    fields = split_fields(line, 9)
    file, form, gain_text, _, zero, first, checksum, _, name = fields + [""] * (9 - len(fields))
    stored = _parse_form(form)
    if stored is None:
        raise RecordError(path, "signal line", f"{line[:80]!r} is not 'file format gain ...'")
    gain, baseline, unit = _parse_gain(gain_text, zero or "0")
    return Channel(
        file=file,
        form=stored[0],
        samples_per_frame=stored[1],
        skew=stored[2],
        offset=stored[3],
        gain_text=gain_text,
        gain=gain,
        baseline=baseline,
        unit=unit,
        first=to_count(first),
        checksum=to_count(checksum),
        name=name or f"signal {row + 1}",
    )


@functools.lru_cache(maxsize=1024)
def _parse_form(text: str) -> tuple[str, int, int, int] | None:
    """Returns (storage format, samples per frame, skew, offset); None where it has another form."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    return match[1], int(match[2] or 0) or 1, int(match[3] or 0), int(match[4] or 0)


@functools.lru_cache(maxsize=1024)
def _parse_gain(text: str, zero: str) -> tuple[float, float, str]:
    """Returns (ADC units per mV, baseline, unit); nan where a number is none that can be used."""
    match = _GAIN.fullmatch(text)
    written, baseline_text, unit = match.groups() if match else ("", "", "")
    gain = (to_number(written) if written or not match else _DEFAULT_GAIN) or _DEFAULT_GAIN
    baseline = to_number(zero if baseline_text is None else baseline_text)
    return gain_per_mv(gain, baseline, unit or "mV")


def gain_per_mv(gain: float, baseline: float, unit: str) -> tuple[float, float, str]:
    """Returns (ADC units per mV, baseline, unit) of a gain per unit; nan where it can't be used."""
    gain *= _ADC_PER_MV.get(unit.lower(), 1.0)
    usable = 1 / _LARGEST_GAIN < abs(gain) < _LARGEST_GAIN and abs(baseline) < _LARGEST_BASELINE
    return (gain, baseline, unit) if usable else (math.nan, math.nan, unit)


def choose_channels(
    path: Path, channels: Sequence[Channel], frame_rate: float
) -> tuple[tuple[int, ...], int, list[str]]:
    """Returns (rows of the channels that are leads, their samples per frame, remarks).

    Voltages are leads, and whatever bears a standard lead's name and is not measured in the unit
    of something else. The rate is that of most standard leads; those of another rate are resampled
    when they are read, other channels of another rate are passed over.

    Raises:
        RecordError: No channel is an ECG, or the gain of a standard lead is no number.
    """
    standard = lead_rows(tuple(channel.name for channel in channels))
    rows = {row for found in standard.values() for row in found}
    kept, passed, unknown = [], [], []
    for row, channel in enumerate(channels):
        unit = channel.unit.lower()
        if unit in _NO_ECG_UNITS or (unit not in _ADC_PER_MV and row not in rows):
            passed.append(f"{channel.name} ({channel.unit})")
        elif math.isnan(channel.gain) and row not in rows:
            passed.append(f"{channel.name} (gain {channel.gain_text})")
        elif math.isnan(channel.gain):
            reason = f"{channel.gain_text!r} of {channel.name} is not 'ADC units(baseline)/unit'"
            raise RecordError(path, "gain", reason)
        else:
            kept.append(row)
            if unit not in _ADC_PER_MV:
                unknown.append(f"{channel.name} ({channel.unit})")
    if not kept:
        raise RecordError(path, "gain", f"none is in a unit of voltage: {', '.join(passed)}")
    rates = Counter(channels[row].samples_per_frame for row in kept if row in rows or not rows)
    per_frame = max(rates, key=lambda rate: (rates[rate], rate), default=1)
    others = [row for row in kept if channels[row].samples_per_frame != per_frame]
    described = {
        row: f"{channels[row].name} ({channels[row].samples_per_frame * frame_rate:g} Hz)"
        for row in others
    }
    passed += [described[row] for row in others if row not in rows]
    resampled = [described[row] for row in others if row in rows]
    twice = [lead for lead, found in standard.items() if len(found) > 1]
    remarks = [
        f"{text}: {', '.join(names)}"
        for text, names in (
            ("channels that were passed over", passed),
            (f"leads that were resampled to {per_frame * frame_rate:g} Hz", resampled),
            ("leads in a unit that is no voltage, taken for mV", unknown),
            ("leads that are there more than once, of which the first is used", twice),
        )
        if names
    ]
    left = tuple(row for row in kept if row in rows or row not in others)
    return left, per_frame, remarks
