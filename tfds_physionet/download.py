"""Fetches the Challenge's files, checked against its SHA256SUMS.txt; goes on where it stopped."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import requests
from tqdm import tqdm

ADDRESS = "https://physionet.org/files/challenge-2021/1.0.3/"
_SUMS = "SHA256SUMS.txt"
_CONNECTIONS = 8
_ATTEMPTS = 5


class DownloadError(RuntimeError):
    """A file could not be fetched, or is not what the server's list says."""


def download(
    folder: Path, *, address: str = ADDRESS, pause_s: float = 2.0, progress: bool = True
) -> None:
    """Fetches all records (training/**.hea and .mat) into a folder.

    Each file is written beside its place, checked and then renamed, so that what bears its name is
    whole and right: run again, it goes on with what is missing.

    Args:
        folder: Where to; made if need be.
        address: The root of the Challenge's files, with SHA256SUMS.txt, or of a mirror.
        pause_s: How long to wait before the second attempt at a file; doubled for each more.
        progress: Whether to show progress on standard error.

    Raises:
        DownloadError: A file failed five times.
    """
    root = address.rstrip("/") + "/"
    sessions = threading.local()
    folder.mkdir(parents=True, exist_ok=True)

    def get(file: str, digest: str | None) -> bytes:
        if not hasattr(sessions, "session"):
            sessions.session = requests.Session()
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(pause_s * 2 ** (attempt - 1))
            try:
                answer = sessions.session.get(root + quote(file), timeout=60)
                answer.raise_for_status()
            except requests.RequestException as error:
                failure = f"{root}{file}: {error}"
                continue
            if digest is None or hashlib.sha256(answer.content).hexdigest() == digest:
                return answer.content
            failure = f"{root}{file}: its SHA-256 is not {digest}, as {_SUMS} says"
        raise DownloadError(f"{failure}; run the command again to go on from here")

    def fetch(item: tuple[str, str]) -> None:
        file, digest = item
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + ".part")
        partial.write_bytes(get(file, digest))
        os.replace(partial, target)

    wanted = list(_wanted(get(_SUMS, None).decode(), root))
    todo = [item for item in wanted if not (folder / item[0]).exists()]
    threads = ThreadPoolExecutor(_CONNECTIONS)
    try:
        for _ in tqdm(
            threads.map(fetch, todo),
            "downloading",
            len(wanted),
            initial=len(wanted) - len(todo),
            unit="file",
            disable=not progress,
        ):
            pass
    finally:
        threads.shutdown(cancel_futures=True)


def _wanted(sums: str, root: str) -> Iterator[tuple[str, str]]:
    """Yields (file, SHA-256) of the records in a list of checksums."""
    found = False
    for line in sums.splitlines():
        digest, _, file = line.strip().partition(" ")
        path = PurePosixPath(file.strip().removeprefix("*").removeprefix("./"))
        if path.parts[:1] != ("training",) or path.suffix not in (".hea", ".mat"):
            continue
        if ".." in path.parts:
            raise DownloadError(f"{root}{_SUMS} lists {path}, outside its folder")
        found = True
        yield str(path), digest.lower()
    if not found:
        raise DownloadError(f"{root}{_SUMS} lists no records below training/; is it the Challenge?")
