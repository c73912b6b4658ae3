"""Turns a header's bytes into lines, and words into numbers; knows no rules of what they mean.

`headers` reads records with it, `resunet_lc_jax.score` the official labels: two sets of rules over
one reader.
"""

import codecs
import math
import re

LARGEST_HEADER = 1 << 20  # bytes
_BLANK = " \t\r\f\v\0\x1a\ufeff"
_SPACES = re.compile(r"[ \t\r\f\v]+")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d{1,3})?", re.IGNORECASE | re.ASCII)
_COUNT = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_LONGEST_NUMBER = 60


def split_lines(data: bytes) -> list[str]:
    r"""Returns the lines of a header.

    Each is UTF-8 where it can be, else Latin-1, which takes any byte. A line ends at \n alone (or
    at \r where there is no \n): a remark may hold the bytes that Unicode takes for line ends. A
    byte order mark is left out.
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = data.decode("utf-16", "replace").encode("utf-8", "replace")
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")
    return [_decode(line).removesuffix("\r") for line in data.split(b"\n")]


def _decode(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def sort_lines(lines: list[str]) -> tuple[list[str], list[str]]:
    """Returns (lines that describe the record, remarks without their '#'), blank ones left out."""
    stripped = [line.strip(_BLANK) for line in lines]
    remarks = [line.lstrip("# \t").strip(_BLANK) for line in stripped if line.startswith("#")]
    return [line for line in stripped if line and not line.startswith("#")], remarks


def split_fields(line: str, count: int = 0) -> list[str]:
    """Returns the fields of a line, parted by blanks; with `count`, the last holds the rest."""
    return _SPACES.split(line, max(count - 1, 0))


def to_number(word: str) -> float:
    """Returns the decimal number that a word is, nan where it is none (or one without end)."""
    if len(word) > _LONGEST_NUMBER or not _NUMBER.fullmatch(word):
        return math.nan
    value = float(word)
    return value if math.isfinite(value) else math.nan


def to_count(word: str) -> int | None:
    """Returns the whole number that a word is, None where it is none of at most 18 digits."""
    return int(word) if _COUNT.fullmatch(word) else None
