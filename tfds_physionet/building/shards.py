"""The TFRecord files of a build: where each record lies in them, and whether they are whole."""

import contextlib
import json
import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tfds_physionet.building.examples import split_signal
from tfds_physionet.files import write_json

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_CHECKED = "checked.json"
# A TFRecord is an 8-byte length, 4 bytes of checksum, the data, and 4 bytes of checksum.
_HEADER, _FOOTER = 12, 4
# What comes before a record's signal: some 500 bytes, more with many codes.
_HEAD = 1024
_BYTES_PER_SAMPLE = 12 * 2


def locate_records(folder: Path, num_folds: int) -> Iterator[tuple[str, int, int]]:
    """Yields (file, offset, bytes) of each record's data, fold by fold, in the stored order.

    Args:
        folder: Of the build; the files are named ...-fold_<k>.tfrecord-<i>-of-<n>.
        num_folds: The folds are 1 to this.
    """
    for fold in range(1, num_folds + 1):
        for path in sorted(folder.glob(f"*-fold_{fold}.tfrecord-*")):
            yield from ((path.name, offset, length) for offset, length in records_in(path))


def records_in(path: Path) -> Iterator[tuple[int, int]]:
    """Yields (offset, bytes) of the data of each record of a TFRecord file."""
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        offset = 0
        while offset < end:
            (length,) = struct.unpack("<Q", file.read(8))
            yield offset + _HEADER, length
            offset += _HEADER + length + _FOOTER
            file.seek(offset)


def check_files(folder: Path) -> None:
    """Compares the TFRecord files of a build with their checksums, once for each state of a file.

    What was found to be right is remembered beside the files by size and time of change, where the
    folder can be written to. TensorFlow's own reader of records compares both checksums of each, at
    2 GB a second.

    Raises:
        ValueError: A file is missing or damaged, or holds another number of records than was
            written.
    """
    info = json.loads((folder / "dataset_info.json").read_text())
    expected = {}
    for split in info["splits"]:
        lengths = split["shardLengths"]
        for shard, length in enumerate(lengths):
            name = f"{info['name']}-{split['name']}.tfrecord-{shard:05d}-of-{len(lengths):05d}"
            expected[name] = int(length)
    try:
        states = {
            name: [status.st_size, status.st_ctime_ns]
            for name in expected
            if (status := (folder / name).stat())
        }
    except OSError as error:
        raise _damaged(Path(error.filename), error.strerror or "it can't be read") from error
    known = {}
    with contextlib.suppress(OSError, ValueError):
        known = json.loads((folder / _CHECKED).read_text())
    unknown = [name for name, state in states.items() if known.get(name) != state]
    if not unknown:
        return
    for name in unknown:
        count = _count_records(folder / name)
        if count != expected[name]:
            reason = f"it holds {count} records; {expected[name]} were written"
            raise _damaged(folder / name, reason)
    with contextlib.suppress(OSError):
        write_json(folder / _CHECKED, states)


def _count_records(path: Path) -> int:
    """Returns how many records a file holds, all of them read."""
    import tensorflow as tf

    notices = tf.get_logger()
    level = notices.level
    notices.setLevel(logging.ERROR)  # it is told to be old; tf.data's way takes six times as long
    try:
        return sum(1 for _ in tf.compat.v1.io.tf_record_iterator(str(path)))
    except tf.errors.OpError as error:
        raise _damaged(path, error.message) from error
    finally:
        notices.setLevel(level)


def _damaged(path: Path, reason: str) -> ValueError:
    remedy = f"remove the folder {path.parent} and prepare the records again"
    return ValueError(f"{path} is damaged ({reason}); {remedy}")


class RecordReader:
    """Reads records by their place; keeps its files open until it is closed.

    A context manager. Safe to use from several threads, all of which have ended when it is closed.
    """

    def __init__(self, folder: Path) -> None:
        """Opens nothing yet."""
        self._folder = folder
        self._files: dict[str, int] = {}

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the files."""
        while self._files:
            os.close(self._files.popitem()[1])

    def read(self, file: str, offset: int, length: int) -> bytes:
        """Returns the bytes at a place.

        Raises:
            OSError: The file can't be read, or ends before they do; the message names it.
        """
        data = bytearray(length)
        self.read_into(file, offset, data)
        return bytes(data)

    def find_signal(self, file: str, offset: int, length: int) -> tuple[bytes, int, int]:
        """Looks at the first bytes of a serialised example: the signal comes last.

        A build of an earlier version may have it elsewhere: then all is read.

        Returns:
            An example of all other features, where in the file the signal [12, n] int16 starts, and
            its number of samples n.

        Raises:
            OSError: As `read`.
            ValueError: It is no example, or has no such signal.
        """
        head = self.read(file, offset, min(length, _HEAD))
        parted = split_signal(head, length)
        if parted is None and length > _HEAD:
            parted = split_signal(self.read(file, offset, length), length)
        if parted is None or parted[2] % _BYTES_PER_SAMPLE:
            raise ValueError(f"{self._folder / file} holds no signal at {offset}")
        others, start, size = parted
        return others, offset + start, size // _BYTES_PER_SAMPLE

    def read_into(self, file: str, offset: int, buffer: "WriteableBuffer") -> None:
        """Fills a buffer from a place in a file.

        Raises:
            OSError: As `read`.
        """
        path = self._folder / file
        try:
            descriptor = self._files.get(file)
            if descriptor is None:
                # Of two threads that open the same file at once, the first one's stays.
                opened = os.open(path, os.O_RDONLY)
                descriptor = self._files.setdefault(file, opened)
                if descriptor != opened:
                    os.close(opened)
            count = os.preadv(descriptor, [buffer], offset)
        except OSError as error:
            raise OSError(
                f"{path} can't be read ({error.strerror}); give the file back, or remove "
                f"{path.parent} and prepare the records again"
            ) from error
        if count != memoryview(buffer).nbytes:
            raise OSError(f"{path} ends within a record; prepare the records again")
