"""How messages list and shorten names."""

from collections.abc import Iterable, Sequence
from pathlib import Path


def shortlist(names: Iterable[str], *, most: int = 3) -> str:
    """Returns 'a, b, c and 4 more'.

    Args:
        names: Given in their order; a set in the order of its names.
        most: How many are named.
    """
    listed = sorted(names) if isinstance(names, set | frozenset) else list(names)
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def path_ends(paths: Sequence[Path]) -> dict[Path, str]:
    """The end of each path, as long as tells them apart: tables are shown to others."""
    count = 1
    while len({path.parts[-count:] for path in paths}) < len(set(paths)):
        count += 1
    return {path: "/".join(path.parts[-count:]) for path in paths}
