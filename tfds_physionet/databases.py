"""Which source a record is from, told by its folders and its name."""

import re
from pathlib import Path

from tfds_physionet.diagnoses import DATABASES

_PREFIXES = {"A": "cpsc_2018", "Q": "cpsc_2018_extra", "I": "st_petersburg_incart", "S": "ptb"}
_PREFIXES |= {"HR": "ptb-xl", "E": "georgia"}


def database_of(path: Path, root: Path | None = None) -> str:
    """Names a record's source: by folder where that tells, else by the Challenge's naming.

    Args:
        path: Its header.
        root: The folder below which records were looked for; what lies above it tells nothing.
    """
    above = len(root.absolute().parent.parts) if root else 1  # 1: the file system's root
    parts = path.absolute().parent.parts[above:]
    folders = [name for name in parts if not re.fullmatch(r"g\d+", name)]
    for known in reversed(folders):
        if known in DATABASES:
            return known
    if "training" in folders[:-1]:
        return folders[len(folders) - folders[::-1].index("training")]
    if match := re.fullmatch(r"(A|Q|I|S|E)\d{4,5}|(HR|JS)(\d{5})", path.stem):
        if match[2] == "JS":
            return "chapman_shaoxing" if int(match[3]) <= 10646 else "ningbo"
        return _PREFIXES[match[1] or match[2]]
    return folders[-1] if folders else "unknown"
