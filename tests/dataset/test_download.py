"""What is fetched is what the server's list says, whatever the server, the disk or the user do."""

import functools
import http.server
import json
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import pytest
from challenge_files import write_challenge

from tfds_physionet.download import DownloadError, download
from tfds_physionet.prepare import main


@dataclass
class _Mirror:
    """A server of a small Challenge: its files, and how it answers.

    Attributes:
        root: The files.
        address: Of the server.
        asked: Paths that were asked for, in turn.
        busy: Paths whose first request fails.
        gone: Paths that are always answered with 404.
        silent: Paths of which half is given, then nothing more.
        slow: Paths of which a byte is given from time to time.
    """

    root: Path
    address: str = ""
    asked: list[str] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)

    def path(self, file: Path) -> str:
        return "/" + file.relative_to(self.root).as_posix()


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments, mirror: _Mirror) -> None:
        self._mirror = mirror
        super().__init__(*arguments, directory=str(mirror.root))

    def do_GET(self) -> None:
        mirror = self._mirror
        mirror.asked.append(self.path)
        if self.path in mirror.busy:
            mirror.busy.discard(self.path)
            self.send_error(503)
        elif self.path in mirror.gone:
            self.send_error(404)
        elif self.path in mirror.silent | mirror.slow:
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            if self.path in mirror.slow:
                for byte in content[len(content) // 2 :][:50]:
                    self.wfile.write(bytes([byte]))
                    self.wfile.flush()
                    time.sleep(0.05)
            else:
                mirror.silent.discard(self.path)
                self.wfile.flush()
                time.sleep(1.5)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[_Mirror]:
    """A local copy of a small Challenge, with its list of checksums, over HTTP."""
    root = write_challenge(tmp_path / "server", 10)
    files = sorted(path for path in root.rglob("*") if path.is_file())
    lines = [f"{sha256(p.read_bytes()).hexdigest()}  {p.relative_to(root)}" for p in files]
    (root / "SHA256SUMS.txt").write_text("\n".join([*lines, f"{'0' * 64} LICENSE.txt"]) + "\n")
    made = _Mirror(root)
    handler = functools.partial(_Handler, mirror=made)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        made.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever).start()
        yield made
        server.shutdown()


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS.txt"
    }


def _download(mirror: _Mirror, records: Path, **options) -> None:
    download(records, address=mirror.address, pause_s=0, progress=False, **options)


def _one(root: Path, suffix: str) -> Path:
    return min(root.rglob(f"*.{suffix}"))


def test_download_fetches_checks_and_resumes(tmp_path: Path, mirror: _Mirror) -> None:
    records, header = tmp_path / "records", _one(mirror.root, "hea")
    mirror.busy.add(mirror.path(header))
    _download(mirror, records)
    assert _files(records) == _files(mirror.root)
    (records / header.relative_to(mirror.root)).unlink()
    mirror.asked.clear()
    _download(mirror, records)
    assert mirror.asked == ["/SHA256SUMS.txt", mirror.path(header)]
    assert _files(records) == _files(mirror.root)


def test_a_file_that_is_not_what_the_list_says_is_refused(tmp_path: Path, mirror: _Mirror) -> None:
    signal_file = _one(mirror.root, "mat")
    signal_file.write_bytes(b"\0" * 100)
    with pytest.raises(DownloadError, match=f"{signal_file.name}: its SHA-256 is not"):
        _download(mirror, tmp_path / "records")
    assert signal_file.name not in {Path(name).name for name in _files(tmp_path / "records")}


def test_a_file_that_is_not_there_does_not_end_the_others_and_all_that_are_missing_are_named(
    tmp_path: Path, mirror: _Mirror
) -> None:
    missing = sorted(mirror.root.rglob("*.mat"))[:2]
    mirror.gone |= {mirror.path(path) for path in missing}
    with pytest.raises(DownloadError) as caught:
        _download(mirror, tmp_path / "records")
    assert "2 of 20 files are missing" in str(caught.value)
    assert all(f"{path.name}: 404" in str(caught.value) for path in missing)
    assert len(_files(tmp_path / "records")) == 18
    assert mirror.asked.count(mirror.path(missing[0])) == 1  # to ask again would be no use


def test_what_was_cut_short_is_fetched_again_and_what_was_altered_is_if_asked_for(
    tmp_path: Path, mirror: _Mirror
) -> None:
    records = tmp_path / "records"
    _download(mirror, records)
    signals = sorted(records.rglob("*.mat"))
    header = _one(records, "hea")
    signals[3].write_bytes(signals[3].read_bytes()[:-100])
    header.write_text("#")
    altered = bytearray(signals[5].read_bytes())
    altered[-1] ^= 1
    signals[5].write_bytes(altered)
    _download(mirror, records)
    wrong = {name for name, data in _files(records).items() if data != _files(mirror.root)[name]}
    assert {Path(name).name for name in wrong} == {signals[5].name}
    _download(mirror, records, verify=True)
    assert _files(records) == _files(mirror.root)


def test_a_stalled_and_a_trickling_connection_are_given_up(tmp_path: Path, mirror: _Mirror) -> None:
    signal_file, other = sorted(mirror.root.rglob("*.mat"))[:2]
    mirror.silent.add(mirror.path(signal_file))
    mirror.slow.add(mirror.path(other))
    start = time.monotonic()
    with pytest.raises(DownloadError, match=f"1 of 20 files.*\n.*{other.name}: .*bytes came in"):
        _download(mirror, tmp_path / "records", silence_s=0.3, slowest=1e6)
    assert time.monotonic() - start < 10
    assert signal_file.name in {Path(name).name for name in _files(tmp_path / "records")}


def test_a_server_that_is_away_is_not_asked_for_every_file(tmp_path: Path, mirror: _Mirror) -> None:
    for path in mirror.root.rglob("*.mat"):
        path.unlink()
    lines = (mirror.root / "SHA256SUMS.txt").read_text().splitlines()
    more = [f"{'0' * 64} training/ptb/g1/S{n:05d}.mat" for n in range(500)]
    (mirror.root / "SHA256SUMS.txt").write_text("\n".join([*lines, *more]))
    for n in range(500):
        (mirror.root / f"training/ptb/g1/S{n:05d}.mat").write_bytes(b"not this")
    with pytest.raises(DownloadError, match="510 of 520 files are missing"):
        _download(mirror, tmp_path / "records")
    assert len(mirror.asked) < 300
    missing = (tmp_path / "records" / "missing.txt").read_text().splitlines()
    assert len(missing) == 510 and missing[-1].endswith("not tried, the server does not answer")


def test_nothing_is_written_through_a_link(tmp_path: Path, mirror: _Mirror) -> None:
    records, elsewhere = tmp_path / "records", tmp_path / "elsewhere"
    _download(mirror, records)
    shutil.rmtree(records / "training" / "ptb")
    elsewhere.mkdir()
    (records / "training" / "ptb").symlink_to(elsewhere)
    signal_file = _one(records / "training" / "georgia", "mat")
    (tmp_path / "other").write_bytes(b"kept")
    signal_file.unlink()
    signal_file.symlink_to(tmp_path / "other")
    with pytest.raises(DownloadError, match="ptb is a link"):
        _download(mirror, records)
    assert not list(elsewhere.iterdir()) and (tmp_path / "other").read_bytes() == b"kept"
    assert not signal_file.is_symlink()


def test_two_downloads_at_once_do_not_disturb_each_other(tmp_path: Path, mirror: _Mirror) -> None:
    errors = []

    def run() -> None:
        try:
            _download(mirror, tmp_path / "records")
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert _files(tmp_path / "records") == _files(mirror.root)


def test_the_command_downloads_and_builds(tmp_path: Path, mirror: _Mirror) -> None:
    data = tmp_path / "data"
    arguments = ["--download", f"--data_dir={data}", f"--address={mirror.address}", "--workers=1"]
    assert main(arguments) == 0
    info = json.loads((data / "physionet2021" / "500hz" / "1.0.0" / "source.json").read_text())
    assert info["records"] == 10
    assert main([*arguments, "--verify"]) == 0
    with pytest.raises(SystemExit):
        main([f"--records={mirror.root}", f"--data_dir={data}", "--verify"])
