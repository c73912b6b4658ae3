"""Where each record of a build lies in its TFRecord files, so that any can be read alone."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

# A TFRecord is an 8-byte length, 4 bytes of checksum, the data, and 4 bytes of checksum.
_HEADER, _FOOTER = 12, 4


def locate_records(folder: Path, num_folds: int) -> Iterator[tuple[str, int, int]]:
    """Yields (file, offset, bytes) of each record's data, fold by fold, in the stored order.

    Args:
        folder: Of the build; the files are named ...-fold_<k>.tfrecord-<i>-of-<n>.
        num_folds: The folds are 1 to this.
    """
    for fold in range(1, num_folds + 1):
        for path in sorted(folder.glob(f"*-fold_{fold}.tfrecord-*")):
            with path.open("rb") as file:
                end = os.fstat(file.fileno()).st_size
                offset = 0
                while offset < end:
                    (length,) = struct.unpack("<Q", file.read(8))
                    yield path.name, offset + _HEADER, length
                    offset += _HEADER + length + _FOOTER
                    file.seek(offset)


class RecordReader:
    """Reads records by their place; keeps its files open. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        """Opens nothing yet."""
        self._folder = folder
        self._files: dict[str, int] = {}

    def read(self, file: str, offset: int, length: int) -> bytes:
        """Returns the serialised example at a place.

        Raises:
            OSError: The file is missing or ends before the record does.
        """
        descriptor = self._files.get(file)
        if descriptor is None:
            # Of two threads that open the same file at once, the first one's stays.
            opened = os.open(self._folder / file, os.O_RDONLY)
            descriptor = self._files.setdefault(file, opened)
            if descriptor != opened:
                os.close(opened)
        data = os.pread(descriptor, length, offset)
        if len(data) != length:
            raise OSError(f"{self._folder / file} ends within a record; prepare the data again")
        return data

    def close(self) -> None:
        """Closes the files."""
        while self._files:
            os.close(self._files.popitem()[1])
