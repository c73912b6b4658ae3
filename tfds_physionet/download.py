"""Fetches the Challenge's files, checked against its SHA256SUMS.txt; goes on where it stopped."""

import contextlib
import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TypeVar
from urllib.parse import quote

import requests
import urllib3
from tqdm import tqdm

from tfds_physionet.reading.header_text import split_fields, split_lines, to_count

ADDRESS = "https://physionet.org/files/challenge-2021/1.0.3/"
_SUMS = "SHA256SUMS.txt"
_CONNECTIONS = 8
_ATTEMPTS = 5
_PIECE = 1 << 16
_IN_A_ROW = 2 * _CONNECTIONS  # so many failures mean that the server is away
_BUSY = (408, 425, 429)  # what a server says that may give the file later
_NAMED = 20
_MATLAB_4_HEAD = 24  # bytes before the samples of the Challenge's signal files
_KEPT_PARTS_S = 86_400.0  # another process may be writing to younger ones


_Taken = TypeVar("_Taken")


class DownloadError(RuntimeError):
    """Files could not be fetched, or are not what the server's list says."""


class _WrongContent(Exception):
    pass


def download(
    folder: Path,
    *,
    address: str = ADDRESS,
    verify: bool = False,
    pause_s: float = 2.0,
    silence_s: float = 20.0,
    slowest: float = 1000.0,
    progress: bool = True,
) -> None:
    """Fetches all records (training/**.hea and .mat) into a folder.

    Each file is written beside its place, checked and then renamed, so that what bears its name is
    whole and right: run again, it goes on with what is missing. A file that can't be had does not
    end the others.

    Args:
        folder: Where to; made if need be.
        address: The root of the Challenge's files, with SHA256SUMS.txt, or of a mirror.
        verify: Whether all files that are there are compared with their checksums. Headers, and
            signal files of another size than their headers say, always are.
        pause_s: How long to wait before the second attempt at a file; doubled for each more.
        silence_s: After how long a connection that gives nothing is given up.
        slowest: Bytes a second; below, a connection is given up, too.
        progress: Whether to show progress on standard error.

    Raises:
        DownloadError: Some files can't be had, and are named; all the others are there.
        OSError: They can't be written.
    """
    server = _Server(address.rstrip("/") + "/", pause_s, silence_s, slowest)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.rglob(".*.part"):
        if time.time() - left.lstat().st_mtime > _KEPT_PARTS_S:
            left.unlink()

    def fetch(item: tuple[str, str]) -> str | None:
        file, digest = item
        try:
            target = _target(folder, file)
            if verify or not _seems_right(target):
                if not _is_right(target, digest):
                    server.save(file, target, digest)
        except DownloadError as error:
            return str(error)
        return None

    wanted = server.listed()
    threads = ThreadPoolExecutor(_CONNECTIONS)
    try:
        done = threads.map(fetch, wanted)
        bar = tqdm(done, "downloading", len(wanted), unit="file", disable=not progress)
        failures = [failure for failure in bar if failure]
    finally:
        threads.shutdown(cancel_futures=True)
    if failures:
        listed = failures
        if len(failures) > _NAMED:
            (folder / "missing.txt").write_text("\n".join(failures) + "\n")
            listed = [*failures[:_NAMED], f"... and so on, in {folder / 'missing.txt'}"]
        raise DownloadError(
            f"{len(failures):,} of {len(wanted):,} files are missing; run the command again to go "
            "on from here:\n  " + "\n  ".join(listed)
        )


def _target(folder: Path, file: str) -> Path:
    """Returns where a file goes: not through a link, which may lead anywhere."""
    where = folder
    for part in PurePosixPath(file).parent.parts:
        where = where / part
        if where.is_symlink():
            raise DownloadError(f"{where} is a link; files are written below {folder} alone")
        where.mkdir(exist_ok=True)
    return folder / file


def _seems_right(target: Path) -> bool:
    """Whether a signal file has the size that its header says."""
    if target.suffix != ".mat" or not target.is_file():
        return False
    with contextlib.suppress(OSError, IndexError):
        first = split_fields(split_lines(target.with_suffix(".hea").read_bytes())[0])
        leads, samples = to_count(first[1]), to_count(first[3])
        size = _MATLAB_4_HEAD + 2 * (leads or 0) * (samples or 0)
        return target.stat().st_size == size
    return False


def _is_right(target: Path, digest: str) -> bool:
    try:
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest
    except FileNotFoundError:
        return False


class _Server:
    """Where the files are; each thread keeps a connection."""

    def __init__(self, root: str, pause_s: float, silence_s: float, slowest: float) -> None:
        """Takes the address, and what `download` says of its patience."""
        self._root, self._pause_s = root, pause_s
        self._silence_s, self._slowest = silence_s, slowest
        self._threads = threading.local()
        self._failed_in_a_row = 0

    def listed(self) -> list[tuple[str, str]]:
        """Returns (file, SHA-256) of the records in the list of checksums."""
        wanted = self._attempt(_SUMS, lambda pieces: list(_wanted(_lines(pieces))))
        if not wanted:
            raise DownloadError(
                f"{self._root}{_SUMS} lists no records below training/; is it the Challenge?"
            )
        return wanted

    def save(self, file: str, target: Path, digest: str) -> None:
        """Fetches a file, checks it and puts it into its place."""

        def take(pieces: Iterator[bytes]) -> None:
            beside = target.with_name(f".{uuid.uuid4().hex}.part")
            found = hashlib.sha256()
            try:
                with beside.open("xb") as part:
                    for piece in pieces:
                        found.update(piece)
                        part.write(piece)
                if found.hexdigest() != digest:
                    raise _WrongContent(f"its SHA-256 is not {digest}, as {_SUMS} says")
                beside.replace(target)
            finally:
                beside.unlink(missing_ok=True)

        self._attempt(file, take)

    def _attempt(self, file: str, take: Callable[[Iterator[bytes]], _Taken]) -> _Taken:
        """Hands the pieces of a file to a function, up to five times."""
        for attempt in range(_ATTEMPTS):
            if self._failed_in_a_row >= _IN_A_ROW:
                raise DownloadError(f"{self._root}{file}: not tried, the server does not answer")
            time.sleep(self._pause_s * 2 ** (attempt - 1) if attempt else 0)
            try:
                taken = take(self._pieces(file))
            except (
                requests.RequestException,
                urllib3.exceptions.HTTPError,
                _WrongContent,
            ) as error:
                failure = f"{self._root}{file}: {error}"
            else:
                self._failed_in_a_row = 0
                return taken
        self._failed_in_a_row += 1
        raise DownloadError(failure)

    def _pieces(self, file: str) -> Iterator[bytes]:
        """Yields a file as it comes."""
        if not hasattr(self._threads, "session"):
            self._threads.session = requests.Session()
        with self._threads.session.get(
            self._root + quote(file),
            timeout=self._silence_s,
            stream=True,
            headers={"Accept-Encoding": "identity"},
        ) as answer:
            if 400 <= answer.status_code < 500 and answer.status_code not in _BUSY:
                self._failed_in_a_row = 0
                raise DownloadError(f"{self._root}{file}: {answer.status_code} {answer.reason}")
            answer.raise_for_status()
            start, received = time.monotonic(), 0
            while piece := answer.raw.read1(_PIECE):
                received += len(piece)
                yield piece
                spent = time.monotonic() - start
                if spent > self._silence_s and received < self._slowest * spent:
                    raise requests.Timeout(f"{received} bytes came in {spent:.0f} s")
            expected = answer.headers.get("Content-Length")
            if expected and received != int(expected):
                raise requests.ConnectionError(f"{received} bytes came of {expected}")


def _lines(pieces: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
    yield rest.decode("utf-8", "replace")


def _wanted(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yields (file, SHA-256) of the records in the lines of a list of checksums."""
    for line in lines:
        digest, _, file = line.strip().partition(" ")
        path = PurePosixPath(file.strip().removeprefix("*").removeprefix("./"))
        if path.parts[:1] == ("training",) and path.suffix in (".hea", ".mat"):
            if ".." in path.parts:
                raise DownloadError(f"{_SUMS} lists {path}, outside its folder")
            yield str(path), digest.lower()
