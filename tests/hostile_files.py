"""Files that claim or unpack to much, read in processes with limits: hostile_files.py FOLDER.

A program of its own, since a process that holds JAX can't be forked, nor limited to so little.
"""

import base64
import io
import json
import resource
import struct
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np

from benchmarks import ecg_files
from benchmarks.fuzz import run_apart
from tfds_physionet.errors import RecordError
from tfds_physionet.leads import STANDARD_LEADS
from tfds_physionet.reading.records import read_record

SIGNAL = np.random.default_rng(0).integers(-500, 500, (12, 500)).astype(np.int16)
_SECONDS, _BYTES = 1.0, 500 << 20  # of CPU, and of memory beside what the process had


def _entities(root: str) -> str:
    lines = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">{lines}]><{root}>&a9;</{root}>'


def _npz(shape: tuple[int, ...], data: int) -> bytes:
    head, stream = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": shape}
    )
    with (
        zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("ecg.npy", "w", force_zip64=True) as member,
    ):
        member.write(head.getvalue())
        for _ in range(data >> 20):
            member.write(bytes(1 << 20))
    return stream.getvalue()


def _philips(change: dict[str, str]) -> bytes:
    text = ecg_files.philips(SIGNAL, STANDARD_LEADS, 500).decode()
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new)
    return text.encode()


def _lzw_bomb() -> bytes:
    codes = [0, *range(256, 1023), *[1022] * 50_000]  # each string is one longer than the last
    bits = "".join(f"{code:010b}" for code in codes)
    packed = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
    chunk = struct.pack("<ihh", len(packed), 0, 0) + packed
    text = ecg_files.philips(SIGNAL, STANDARD_LEADS, 500).decode()
    data = text.partition('"1000">')[2].partition("<")[0]
    return text.replace(data, base64.b64encode(chunk * 12).decode()).encode()


def _hdf5(**options: object) -> bytes:
    stream = io.BytesIO()
    with h5py.File(stream, "w") as file:
        if options:
            file.create_dataset("ecg", **options)
        else:
            file["ecg"] = h5py.ExternalLink("/etc/passwd", "/x")
    return stream.getvalue()


def _with(data: bytes, place: int, put: bytes) -> bytes:
    return data[:place] + put + data[place + len(put) :]


CASES = {
    "entities.xml": lambda: _entities("AnnotatedECG").encode(),
    "philips.xml": lambda: _entities("restingecgdata").encode("utf-16"),
    "outside.xml": lambda: (
        b'<!DOCTYPE x [<!ENTITY x SYSTEM "file:///etc/passwd">]><AnnotatedECG>&x;</AnnotatedECG>'
    ),
    "deep.xml": lambda: b"<AnnotatedECG>" + b"<a>" * 90_000 + b"</a>" * 90_000,
    "tags.xml": lambda: b"<AnnotatedECG>" + b"<a/>" * 3_000_000 + b"</AnnotatedECG>",
    "attributes.xml": lambda: (
        b"<AnnotatedECG " + b" ".join(b'a%d="1"' % n for n in range(400_000)) + b"/>"
    ),
    "large.xml": lambda: b"<AnnotatedECG>" + b" " * (20 << 20) + b"</AnnotatedECG>",
    "channels.xml": lambda: _philips({'numberofleads="12"': 'numberofleads="999999999"'}),
    "lzw.xml": _lzw_bomb,
    "bomb.npz": lambda: _npz((12, 3_000_000), 300 << 20),
    "claim.npz": lambda: _npz((12, 1 << 36), 1 << 20),
    "bomb.h5": lambda: _hdf5(shape=(12, 10**9), dtype="f8", chunks=(12, 1000), compression="gzip"),
    "outside.h5": _hdf5,
    "records.edf": lambda: _with(ecg_files.edf(SIGNAL, STANDARD_LEADS, 500), 236, b"99999999"),
    "signals.edf": lambda: _with(ecg_files.edf(SIGNAL, STANDARD_LEADS, 500), 252, b"9999"),
    "samples.scp": lambda: ecg_files.scp(SIGNAL, STANDARD_LEADS, 500).replace(
        struct.pack("<II", 1, 500), struct.pack("<II", 1, 1 << 31)
    ),
    "deflated.dcm": lambda: ecg_files.dicom(SIGNAL, STANDARD_LEADS, 500).replace(
        b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
    ),
    "lines.csv": lambda: b"I,II\n" + b"1\n" * 8_000_000,
    "cells.csv": lambda: b"1," * 8_000_000,
}


def _refuse(path: Path) -> None:
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read_record(path)
    except RecordError:
        took = time.process_time() - began
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
        assert took < _SECONDS and grown < _BYTES, (took, grown)
        raise


def main(folder: Path) -> None:
    """Prints how the reading of each file ends, by its name, as JSON."""
    good, ends = folder / "a.dcm", {}
    good.write_bytes(ecg_files.dicom(SIGNAL, STANDARD_LEADS, 500))
    read_record(good)  # imports what reads the files before processes are forked
    for name, made in CASES.items():
        path = folder / name
        path.write_bytes(made())
        path.with_suffix(".json").write_text('{"rate": 500}')
        ends[name] = run_apart(lambda path=path: _refuse(path), folder / "report")
        path.unlink()
    print(json.dumps(ends))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
