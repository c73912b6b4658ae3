"""Which source a record is from, told by its folders and its name."""

import functools
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tfds_physionet.diagnoses import DATABASES

UNKNOWN = "unknown"
_PREFIXES = {"A": "cpsc_2018", "Q": "cpsc_2018_extra", "I": "st_petersburg_incart", "S": "ptb"}
_PREFIXES |= {"HR": "ptb-xl", "E": "georgia"}
# Folders are no sources if there are more of them, or more than a few that hold hardly a record.
_MOST_SOURCES, _FEW_SOURCES, _FEW_RECORDS = 50, 5, 10


def database_of(path: Path, root: Path | None = None) -> str:
    """Names a record's source: by folder where that tells, else by the Challenge's naming.

    Args:
        path: Its header.
        root: The folder below which records were looked for: its own name and what lies above it
            tell nothing, so that the records are the same wherever they lie.
    """
    parts = folders_below(os.path.dirname(path), root)
    folders = [name for name in parts if not re.fullmatch(r"g\d+", name)]
    for known in reversed(folders):
        if known in DATABASES:
            return known
    if "training" in folders[:-1]:
        return folders[len(folders) - folders[::-1].index("training")]
    match = re.fullmatch(r"(A|Q|I|S|E)\d{4,5}|(HR|JS)(\d{5})|\d{5}_[hl]r", path.stem)
    if match is None:
        return folders[0 if root else -1] if folders else UNKNOWN
    if match[2] == "JS":
        return "chapman_shaoxing" if int(match[3]) <= 10646 else "ningbo"
    return _PREFIXES[match[1] or match[2] or "HR"]  # 00001_hr: PTB-XL's own names


@functools.lru_cache(maxsize=1024)
def folders_below(folder: str, root: Path | None) -> tuple[str, ...]:
    """Returns the names of the folders that lead from the root (or the file system's) to one."""
    return Path(folder).relative_to(root).parts if root else Path(folder).absolute().parts[1:]


def without_patient_folders(databases: Sequence[str]) -> list[str]:
    """Returns the sources of records, 'unknown' where folders seem to be of patients.

    PTB and MIMIC-IV-ECG lay their records out in a folder a patient; as sources, those would be
    thousands. The Challenge's own databases always count.

    Args:
        databases: `database_of` each record.
    """
    counts = Counter(name for name in databases if name not in DATABASES)
    hardly_any = len(counts) > _FEW_SOURCES and counts.total() < _FEW_RECORDS * len(counts)
    if hardly_any or len(counts) > _MOST_SOURCES:
        return [UNKNOWN if name in counts else name for name in databases]
    return list(databases)
