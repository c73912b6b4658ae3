"""Refuses clinical files that would take much memory or time to read, before anything reads them.

Entities that expand, compressed data that unpacks to gigabytes, counts that no device writes.
"""

import base64
import binascii
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np

from tfds_physionet.errors import RecordError, file_size, read_file

_LARGEST = {"scp": 1 << 22, "dicom": 1 << 26, "edf": 1 << 27, "ishne": 1 << 27}
_LARGEST_XML = 1 << 24
_MOST_TAGS, _MOST_ATTRIBUTES, _DEEPEST = 200_000, 2000, 100
_PIECE = 1 << 16
_MOST_CHANNELS = 1024
_MOST_BLOCKS = 200_000  # of an EDF file, each with its own annotations
_LARGEST_UNPACKED = 1 << 22
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_COUNTS = re.compile("numberchannels(?:allocated|valid)|numberofleads", re.IGNORECASE)


def check_file(path: Path, kind: str) -> None:
    """Checks what can be known before a file is parsed.

    Raises:
        RecordError: It is not to be parsed.
    """
    if kind not in _LARGEST:
        _check_xml(path, read_file(path, "file", _LARGEST_XML))
        return
    size = file_size(path, "file")
    if size > _LARGEST[kind]:
        reason = f"{size} bytes are too many; the most is {_LARGEST[kind]}; cut it into parts"
        raise RecordError(path, "file", reason)
    with open(path, "rb") as stream:
        head = stream.read(1 << 12)
    if kind == "dicom" and _DEFLATED in head:
        raise RecordError(path, "transfer syntax", "it is deflated; save it uncompressed")
    if kind == "edf" and (blocks := head[236:244].strip()).isdigit() and int(blocks) > _MOST_BLOCKS:
        reason = f"{int(blocks)} are too many; the most is {_MOST_BLOCKS}"
        raise RecordError(path, "data records", reason)


class _Bounded(ET.TreeBuilder):
    """Builds a tree of a bounded depth."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0

    def start(self, tag: Any, attrs: Any) -> Any:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise OverflowError(f"more than {_DEEPEST} elements in one another")
        return super().start(tag, attrs)

    def end(self, tag: Any) -> Any:
        self._depth -= 1
        return super().end(tag)


def _check_xml(path: Path, data: bytes) -> None:
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import DefusedXMLParser

    def parse(text: bytes | str) -> ET.Element:
        parser = DefusedXMLParser(target=_Bounded())
        for start in range(0, len(text), _PIECE):  # it goes on to the end of a piece
            parser.feed(text[start : start + _PIECE])
        return parser.close()

    tags = data.split(b"<", _MOST_TAGS + 1)
    if len(tags) > _MOST_TAGS or max(tag.count(b"=") for tag in tags) > _MOST_ATTRIBUTES:
        reason = f"more than {_MOST_TAGS} tags, or {_MOST_ATTRIBUTES} attributes in one; no ECG's"
        raise RecordError(path, "XML", reason)
    try:
        try:
            root = parse(data)
        except ET.ParseError:
            # Written in another encoding than it says: one byte a sign, as ecgdatakit takes it.
            root = parse(re.sub(r"^\s*<\?xml[^>]*\?>", "", data.decode("latin-1"), count=1))
    except DefusedXmlException as error:
        reason = f"it declares entities or refers to other files, which no ECG needs ({error})"
        raise RecordError(path, "XML", reason) from error
    except (ET.ParseError, OverflowError, ValueError, LookupError) as error:
        raise RecordError(path, "XML", f"it is damaged: {error}") from error
    for element in root.iter():
        name = element.tag.rpartition("}")[2]
        told = [element.text or ""] if _COUNTS.fullmatch(name) else []
        told += [value for key, value in element.attrib.items() if _COUNTS.fullmatch(key)]
        for text in told:
            if len(text.strip()) > 5 or (text.strip().isdigit() and int(text) > _MOST_CHANNELS):
                raise RecordError(path, name, f"{text[:20]!r} channels are too many")
        if name == "parsedwaveforms" and "XLI" in (v.upper() for v in element.attrib.values()):
            _check_xli(path, element.text or "")


def _check_xli(path: Path, text: str) -> None:
    """Counts what Philips's compressed waveforms unpack to: LZW, chunk by chunk, 10 bits a code."""
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RecordError(path, "parsedwaveforms", f"they are no Base64 ({error})") from error
    start = total = 0
    while start + 8 <= len(data):
        size = int.from_bytes(data[start : start + 4], "little")
        total += _unpacked(np.frombuffer(data[start + 8 : start + 8 + size], np.uint8))
        if total > _LARGEST_UNPACKED:
            reason = f"they unpack to more than {_LARGEST_UNPACKED} bytes"
            raise RecordError(path, "parsedwaveforms", reason)
        start += 8 + size


def _unpacked(packed: np.ndarray) -> int:
    """Returns the bytes that LZW codes of 10 bits stand for, at most."""
    bits = np.unpackbits(packed)
    codes = np.packbits(
        np.pad(bits[: len(bits) // 10 * 10].reshape(-1, 10), ((0, 0), (6, 0))), axis=1
    )
    values = (codes[:, 0].astype(np.int64) << 8 | codes[:, 1]) if len(codes) else np.zeros(0, int)
    # A new string is one longer than the one before it, until the table of 1023 is full.
    lengths = np.ones(1024, np.int64)
    before, total, place = 0, 0, 256
    for number, code in enumerate(values.tolist()):
        if place > 1022:
            return total + int(lengths[values[number:]].sum())
        length = before + 1 if code >= place else int(lengths[code])
        if before:
            lengths[place] = before + 1
            place += 1
        before, total = length, total + length
    return total
