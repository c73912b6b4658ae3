"""Reads damaged records of all formats: a record or a RecordError must come out, in 10 s and 1 GB.

python -m benchmarks.fuzz --cases=10000 [--seed=0] [--first=0]

Every case is drawn from (seed, its number) alone, and read and prepared in a process of its own.
"""

import argparse
import collections
import gc
import io
import os
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

# Threads of BLAS would not survive the fork, and take address space.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import scipy.io
import soundfile

from benchmarks import ecg_files
from tfds_physionet.reading.finding import find_records
from tfds_physionet.reading.records import RecordError, read_record
from tfds_physionet.reading.signals import STANDARD_LEADS, prepare

_SECONDS, _BYTES = 10, 1 << 30
_LENGTH = 240
_SIGNAL = np.random.default_rng(0).integers(-400, 400, (12, _LENGTH)).astype("<i2")
_REMARKS = "#Age: 60\n#Sex: Female\n# Patient ID: 7\n#Dx: 426783006,164889003\n"
_TEXT = (".hea", ".xml", ".csv", ".json")
Files = dict[str, bytes]
"""By name; the first is what is read."""


def _header(file: str, form: str, *, rate: str = "500", length: int = _LENGTH) -> bytes:
    sums = _SIGNAL.sum(axis=1, dtype=np.int16)
    lines = [f"X1 12 {rate} {length}"]
    lines += [
        f"{file} {form} 1000(0)/mV 16 0 {_SIGNAL[lead, 0]} {sums[lead]} 0 {name}"
        for lead, name in enumerate(STANDARD_LEADS)
    ]
    return ("\n".join(lines) + "\n" + _REMARKS).encode()


def _matlab(version: str, **options: bool) -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, {"val": _SIGNAL}, format=version, **options)
    return stream.getvalue()


def _flac() -> Files:
    files = {"X1.hea": _header("X1.dat", "516").replace(b"X1.dat 516", b"X2.dat 516", 6)}
    for name, leads in (("X2.dat", _SIGNAL[:6]), ("X1.dat", _SIGNAL[6:])):
        stream = io.BytesIO()
        soundfile.write(stream, leads.T, 500, format="FLAC", subtype="PCM_16")
        files[name] = stream.getvalue()
    return files


def _whole_records() -> list[Files]:
    """Returns good records in the forms that are read, each its files by name."""
    plain = _SIGNAL.T.tobytes()
    frames = {"X1.hea": _header("X1.dat", "16x4", rate="125", length=_LENGTH // 4), "X1.dat": plain}
    parts = {"X1.hea": f"X1/2 12 500 {2 * _LENGTH}\na {_LENGTH}\nb {_LENGTH}\n".encode()}
    for name in "ab":
        parts |= {f"{name}.hea": _header(f"{name}.dat", "16"), f"{name}.dat": plain}
    records = [frames, parts, _flac(), {"X1.hea": _header("X1.dat", "16"), "X1.dat": plain}]
    for data in (_matlab("4"), _matlab("5"), _matlab("5", do_compression=True)):
        records.append({"X1.hea": _header("X1.mat", "16+24"), "X1.mat": data})
    for form, size in (("8", 1), ("80", 1), ("212", 1.5), ("310", 4 / 3), ("24", 3), ("32", 4)):
        data = (plain * 2)[: int(size * _SIGNAL.size)]
        records.append({"X1.hea": _header("X1.dat", form), "X1.dat": data})
    for name, write in ecg_files.CLINICAL.items():
        records.append({name: write(_SIGNAL, STANDARD_LEADS, 500)})
    arrays = ecg_files.array_files(_SIGNAL, STANDARD_LEADS, 500)
    told = arrays.pop("a.json")
    return records + [{name: data, "a.json": told} for name, data in arrays.items()]


_WORDS = (
    b"0 -1 1 12 nan inf -inf 1e999 1e-9 1e12 500. -32768 1024 # V1 I . .. ~ X1 X1.hea X1/2 a b "
    b"/dev/zero ../X1.dat 16 8 61 212 516 16x500 16x1000000 16+24 16:9 \xb5V \xc2\xb5V 1000/mV "
    b"-1000(5)/uV 1/mmHg (1e300)/mV \xff\xfe \x85"
).split(b" ")
_WORDS += [b"", b"\0", b"9" * 30, b"9" * 5000, b"1" * 60_000, b"." * 60_000, b"(" * 2000]
_PAGES = [
    b"",
    b"<!DOCTYPE html><p>404</p>",
    b'{"val": [1]}',
    b"\x89HDF\r\n\x1a\n" + bytes(600),
    bytes(999),
]
_NUMBERS = (0, 1, -1, 255, 32767, 1 << 24, (1 << 31) - 1, -(1 << 31), 14, 15, 0x40000, 0x5000)


def _damage(data: bytes, rng: np.random.Generator, *, text: bool) -> bytes:
    """Returns bytes that were damaged once."""
    start = int(rng.integers(0, len(data) + 1))
    # Most of what matters in a signal file is at its beginning.
    start = start if text or rng.random() < 0.5 else min(start, int(rng.integers(0, 300)))
    stop = min(len(data), start + int(rng.integers(0, 20)))
    kind = rng.choice(("bits", "cut", "insert", "replace", "end", "again", "word", "other"))
    if kind == "bits" and start < len(data):
        return data[:start] + bytes([int(rng.integers(256))]) + data[start + 1 :]
    if kind == "cut":
        return data[:start] + data[stop:]
    if kind in ("insert", "replace"):
        put = rng.bytes(int(rng.integers(1, 12)))
        return data[:start] + put + data[start if kind == "insert" else stop :]
    if kind == "end":
        return data[:start]
    if kind == "again":
        return data[:stop] + data[start:]
    if kind == "word" and text:
        words = data.split(b" ")
        words[int(rng.integers(len(words)))] = _WORDS[int(rng.integers(len(_WORDS)))]
        return b" ".join(words)
    if kind == "word":
        number = struct.pack(str(rng.choice(("<i", ">i"))), int(rng.choice(_NUMBERS)))
        return data[: start // 4 * 4] + number + data[start // 4 * 4 + 4 :]
    return _PAGES[int(rng.integers(len(_PAGES)))] if rng.random() < 0.2 else data * 2


def make_case(records: list[Files], seed: int, number: int) -> Files:
    """Returns the files of one case: a good record, damaged in one to four places."""
    rng = np.random.default_rng([seed, number])
    files = dict(records[int(rng.integers(len(records)))])
    for _ in range(int(rng.integers(1, 5))):
        name = str(rng.choice(list(files)))
        files[name] = _damage(files[name], rng, text=name.endswith(_TEXT))
    return files


def _read(path: Path, number: int) -> None:
    for found in find_records(path).records[:2]:  # a damaged array may be a thousand ECGs
        record = read_record(found, strict=number % 4 == 0)
        options: dict = [{}, {"sampling_rate": 100.0}, {"band_hz": (1.0, 47.0)}][number % 3]
        prepared = prepare(record, **options)
        assert record.signal.shape[0] == len(record.leads) == len(record.gains)
        assert prepared.signal.dtype == np.int16 and np.isfinite(prepared.lead_mean).all()
        assert np.all(prepared.lead_std > 0) and np.isfinite(prepared.lead_std).all()


def _import_readers(records: list[Files]) -> None:
    """Reads each record whole, so that no child has to import what reads it."""
    with tempfile.TemporaryDirectory() as folder:
        for files in records:
            for name, data in files.items():
                (Path(folder) / name).write_bytes(data)
            _read(Path(folder) / next(iter(files)), number=1)


def run_apart(call: Callable[[], None], report: Path) -> str:
    """Runs a call in a forked process with limits; returns how it ended."""
    child = os.fork()
    if child == 0:
        status = 2
        try:
            resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
            signal.alarm(_SECONDS)
            call()
            status = 0
        except RecordError as error:
            status = 1 if "\n" not in str(error) else 2
        except BaseException:
            report.write_text(traceback.format_exc())
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status in (0, 1):
        return ("record", "RecordError")[status]
    if status == -signal.SIGALRM:
        return f"more than {_SECONDS} s"
    return f"signal {-status}" if status < 0 else report.read_text()


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit status: 1 if anything but a RecordError came out."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    options = parser.parse_args(arguments)
    records, ends = _whole_records(), collections.Counter[str]()
    warnings.simplefilter("error")
    _import_readers(records)
    gc.freeze()  # so that children need not copy what they only count
    start, slowest = time.monotonic(), 0.0
    folder = Path(tempfile.mkdtemp())
    try:
        for number in range(options.first, options.first + options.cases):
            case = folder / "case"
            case.mkdir()
            files = make_case(records, options.seed, number)
            for name, data in files.items():
                (case / name).write_bytes(data)
            began, entry = time.monotonic(), case / next(iter(files))
            end = run_apart(lambda at=entry, n=number: _read(at, n), folder / "report")
            slowest = max(slowest, time.monotonic() - began)
            if end not in ("record", "RecordError"):
                print(f"case {number} of seed {options.seed}: {end}", file=sys.stderr)
                end = "failed"
            ends[end] += 1
            shutil.rmtree(case)
    finally:
        shutil.rmtree(folder)
    counted = ", ".join(f"{count} {end}" for end, count in sorted(ends.items()))
    took = f"{time.monotonic() - start:.0f} s, the slowest {slowest:.2f} s"
    print(f"{options.cases} cases: {counted}; {took}")
    return 1 if ends["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
