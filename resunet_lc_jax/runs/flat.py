"""Nested values by dotted names, as `config.train.epochs` is written."""

from collections.abc import Iterator, Mapping
from typing import Any


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values by their dotted names.

    Args:
      values: Of a ConfigDict's `to_dict()`, or of its JSON; lists become the tuples that they were.
    """
    return dict(_items(values, ""))


def _items(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _items(value, f"{prefix}{name}.")
        else:
            yield prefix + name, tuple(value) if isinstance(value, list) else value
