"""Parses WFDB headers as the Challenge and its early releases write them.

Header quirks are dealt with here and nowhere else; `records` reads the samples that they describe.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path

from tfds_physionet.diagnoses import DATABASES


class RecordError(ValueError):
    """A record that can't be used.

    Attributes:
        path: The file at fault.
        field: What of it is at fault.
        reason: Why, with the value.
    """

    def __init__(self, path: Path, field: str, reason: str) -> None:
        """Composes the one-line message."""
        super().__init__(f"{path}: {field}: {reason}")
        self.path, self.field, self.reason = path, field, reason

    def __reduce__(self) -> tuple[type, tuple[Path, str, str]]:
        """Keeps the three parts when it travels between processes."""
        return RecordError, (self.path, self.field, self.reason)


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
        codes: Diagnoses as written (SNOMED CT codes, words in early releases), each once.
        age: In years; nan where unknown.
        sex: 'male', 'female' or 'unknown'.
    """

    record_id: str
    path: Path
    database: str
    sampling_rate: float
    leads: tuple[str, ...]
    gains: tuple[float, ...]
    baselines: tuple[float, ...]
    codes: tuple[str, ...] = ()
    age: float = math.nan
    sex: str = "unknown"


@dataclass(frozen=True)
class Storage:
    """Where the samples lie: one entry a lead, and the length where the header gives it."""

    files: tuple[str, ...]
    formats: tuple[str, ...]
    num_samples: int | None


def parse_header(path: Path) -> tuple[RecordHeader, Storage]:
    """Parses a header (format: WFDB Applications Guide, header(5)), taking what releases hold."""
    try:
        # Latin-1 takes any byte; what matters is ASCII.
        lines = [line.strip() for line in path.read_text("latin-1").splitlines()]
    except OSError as error:
        raise RecordError(path, "header", f"can't be read ({error.strerror})") from error
    comments = [line.lstrip("# ") for line in lines if line.startswith("#")]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise RecordError(path, "header", "it has no record line")
    num_leads, sampling_rate, num_samples = _record_line(path, lines[0])
    if len(lines) - 1 != num_leads:
        reason = f"the record line says {num_leads}, {len(lines) - 1} follow"
        raise RecordError(path, "number of leads", reason)
    leads = [_signal_line(path, line) for line in lines[1:]]
    columns = tuple(zip(*leads, strict=True))
    files, formats, gains, baselines, names = columns
    header = RecordHeader(
        record_id=path.stem,
        path=path,
        database=_database(path),
        sampling_rate=sampling_rate,
        leads=names,
        gains=gains,
        baselines=baselines,
        codes=_codes(comments),
        age=_age(comments),
        sex=_sex(comments),
    )
    return header, Storage(files, formats, num_samples)


def _record_line(path: Path, line: str) -> tuple[int, float, int | None]:
    """Returns (number of leads, Hz, samples a lead or None) of 'name leads Hz samples ...'."""
    fields = line.split()
    if "/" in fields[0]:
        raise RecordError(path, "record line", "records of several segments are not supported")
    # The rate may carry a counter frequency: 500/1000(0).
    match = re.fullmatch(
        r"\S+ (\d+) (\d*\.?\d+(?:e\+?\d+)?)(?:/\S*)?(?: (\d+))?(?: .*)?", " ".join(fields)
    )
    if match is None:
        raise RecordError(path, "record line", f"{line!r} is not 'name leads Hz samples'")
    num_leads, rate, length = int(match[1]), float(match[2]), match[3]
    if num_leads == 0:
        raise RecordError(path, "number of leads", "0")
    if not 0 < rate < math.inf:
        raise RecordError(path, "sampling rate", f"{match[2]} Hz")
    # WFDB takes a length of 0 for 'unknown'.
    return num_leads, rate, int(length) or None if length else None


# 1000/mV, 1000.0(0)/mv, 200; the unit defaults to mV and the baseline to the ADC zero.
_GAIN = re.compile(r"(-?\d*\.?\d+(?:e[+-]?\d+)?)(?:\((-?\d+)\))?(?:/(\S+))?", re.IGNORECASE)
_ADC_PER_MV = {"mv": 1.0, "uv": 1e3, "µv": 1e3, "v": 1e-3, "nv": 1e6}


def _signal_line(path: Path, line: str) -> tuple[str, str, float, float, str]:
    """Returns (file, format, ADC units per mV, baseline, lead name) of a signal line."""
    fields = line.split(maxsplit=8)
    if len(fields) < 9:
        raise RecordError(path, "signal line", f"{line!r} has no lead name in its ninth field")
    file, form, gain, _, zero, *_, name = fields
    match = _GAIN.fullmatch(gain)
    if match is None:
        raise RecordError(path, "gain", f"{gain!r} is not 'ADC units/mV'")
    factor = _ADC_PER_MV.get((match[3] or "mV").lower())
    if factor is None:
        raise RecordError(path, "gain", f"{gain!r} is not in a unit of voltage")
    try:
        baseline = float(zero if match[2] is None else match[2])
    except ValueError as error:
        raise RecordError(path, "ADC zero", f"{zero!r} is not a number") from error
    # WFDB: a gain of 0 means that none was measured; 200 is its default.
    return file, form, (float(match[1]) or 200.0) * factor, baseline, name.strip()


def _values(comments: list[str], key: str) -> list[str]:
    return [line[len(key) + 1 :] for line in comments if line.lower().startswith(f"{key}:")]


def _codes(comments: list[str]) -> tuple[str, ...]:
    words = (word.strip() for text in _values(comments, "dx") for word in text.split(","))
    return tuple(dict.fromkeys(word for word in words if word.lower() not in ("", "nan")))


def _age(comments: list[str]) -> float:
    try:
        age = float("".join(_values(comments, "age")[:1]))
    except ValueError:
        return math.nan
    return age if math.isfinite(age) else math.nan


def _sex(comments: list[str]) -> str:
    word = "".join(_values(comments, "sex")[:1]).strip().lower()
    return {"m": "male", "male": "male", "f": "female", "female": "female"}.get(word, "unknown")


_PREFIXES = {"A": "cpsc_2018", "Q": "cpsc_2018_extra", "I": "st_petersburg_incart", "S": "ptb"}
_PREFIXES |= {"HR": "ptb-xl", "E": "georgia"}


def _database(path: Path) -> str:
    """Names the source: by folder where that tells, else by the Challenge's naming of records."""
    folders = [name for name in path.absolute().parent.parts if not re.fullmatch(r"g\d+", name)]
    for known in reversed(folders):
        if known in DATABASES:
            return known
    if "training" in folders[:-1]:
        return folders[len(folders) - folders[::-1].index("training")]
    if match := re.fullmatch(r"(A|Q|I|S|E)\d{4,5}|(HR|JS)(\d{5})", path.stem):
        if match[2] == "JS":
            return "chapman_shaoxing" if int(match[3]) <= 10646 else "ningbo"
        return _PREFIXES[match[1] or match[2]]
    return folders[-1] if len(folders) > 1 else "unknown"
