"""What a command shows: lines and progress bars, in the first of several processes alone."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

from resunet_lc_jax.devices import hosts


def say(*lines: str) -> None:
    """Prints lines, above the progress bars where there are some."""
    if lines and hosts.is_main():
        tqdm.write("\n".join(lines))


def progress(items: Iterable | None, title: str, total: int, **options: Any) -> tqdm:
    """A progress bar over items, or of what is counted by its `update`; options as tqdm's."""
    return tqdm(items, title, total, disable=not hosts.is_main(), **options)
