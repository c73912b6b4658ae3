"""Writes WFDB records for tests, line by line, with whatever oddity a test is about."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tfds_physionet.reading.signals import STANDARD_LEADS

SIGNAL = np.random.default_rng(0).integers(-900, 900, (12, 240)).astype(np.int16)


def write_wfdb(
    folder: Path,
    data: bytes | None = None,
    *,
    name: str = "X1",
    record_line: str | bytes = "X1 12 500 240",
    file: str = "X1.dat",
    form: str = "16",
    gain: str | bytes = "1000(0)/mV",
    leads: Sequence[str] = STANDARD_LEADS,
    lines: Sequence[str | bytes] = (),
    remarks: Sequence[str | bytes] = ("#Age: 60", "#Sex: Female", "#Dx: 426783006"),
) -> Path:
    """Writes a header, and a signal file of SIGNAL in format 16 or of `data`; returns the header.

    The header has one signal line a lead, or `lines` as they are.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(SIGNAL.astype("<i2").T.tobytes() if data is None else data)
    made = [b" ".join([_b(file), _b(form), _b(gain), b"16 0 0 0 0", _b(lead)]) for lead in leads]
    header = folder / f"{name}.hea"
    all_lines = [record_line, *(lines or made), *remarks]
    header.write_bytes(b"\n".join(map(_b, all_lines)) + b"\n")
    return header


def _b(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
