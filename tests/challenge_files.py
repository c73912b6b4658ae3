"""Writes small files in the Challenge's format for tests: noise with labels, no physiology."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.io

from tfds_physionet.diagnoses import DIAGNOSES
from tfds_physionet.reading.finding import find_records
from tfds_physionet.reading.signals import STANDARD_LEADS


def write_record(
    folder: Path,
    name: str,
    signal: np.ndarray,
    *,
    rate: float = 500,
    leads: Sequence[str] = STANDARD_LEADS,
    codes: Sequence[str] = ("426783006",),
    gain: str = "1000/mV",
    form: str = "16+24",
    name_in_header: str | None = None,
    comments: str | None = None,
) -> Path:
    """Writes signal int16 [lead, time] as a header and a MATLAB v4 matrix; returns the header."""
    folder.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(folder / f"{name}.mat", {"val": signal}, format="4")
    lines = [f"{name_in_header or name} {len(leads)} {rate:g} {signal.shape[1]}"]
    lines += [f"{name}.mat {form} {gain} 16 0 0 0 0 {lead}" for lead in leads]
    lines += [comments or f"#Age: 60\n#Sex: Female\n#Dx: {','.join(codes)}"]
    header = folder / f"{name}.hea"
    header.write_text("\n".join(lines) + "\n")
    return header


def write_challenge(folder: Path, count: int, *, seed: int = 0, num_samples: int = 600) -> Path:
    """Writes `count` records of two sources below folder/training; returns the folder."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        database, prefix, rate = [("georgia", "E", 500), ("ptb", "S", 1000)][number % 5 == 4]
        codes = [rng.choice(DIAGNOSES[k].codes) for k in rng.choice(26, 2, replace=False)]
        signal = rng.normal(0, 200, (12, num_samples * rate // 500)).astype(np.int16)
        where = folder / "training" / database / "g1"
        write_record(where, f"{prefix}{number:05d}", signal, rate=rate, codes=codes)
    return folder


def headers_below(folder: Path) -> list[Path]:
    """The header files below a folder, in the order in which they are found."""
    return [record.path for record in find_records(folder).records]


# Linux's CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, which let root read and write anything.
_OBEY = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


def obeying_permissions(command: list[str]) -> list[str]:
    """Returns a command that no file lets in more than its permissions say, root's too."""
    return [sys.executable, "-c", _OBEY, *command]
