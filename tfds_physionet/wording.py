"""How messages list names."""

from collections.abc import Iterable


def shortlist(names: Iterable[str], *, most: int = 3) -> str:
    """Returns 'a, b, c and 4 more'.

    Args:
        names: Given in their order; a set in the order of its names.
        most: How many are named.
    """
    listed = sorted(names) if isinstance(names, set | frozenset) else list(names)
    rest = len(listed) - most
    return ", ".join(listed[:most]) + (f" and {rest:,} more" if rest > 0 else "")
