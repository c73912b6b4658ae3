"""Damaged, odd and hostile .npz and .safetensors files: one sentence each, and no harm."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest
from torch_refusals import refusal

from resunet_lc_jax.pytorch.checkpoint import read_checkpoint


def zipped(path, members, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array, **options):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


def array_header(shape, kind="<f4"):
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}"


def npy_header(header):
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def test_zip_archives_of_something_else_are_refused(tmp_path):
    path = zipped(tmp_path / "report.pt", {"word/document.xml": "<x/>", "a.npy": npy(np.ones(2))})
    assert "word/document.xml" in refusal(path)
    assert "nothing" in refusal(zipped(tmp_path / "empty.npz", {}))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (npy(np.array([{}, None]), allow_pickle=True), "Python objects"),
        (b"\x93NUMPY\x01", "damaged"),
        (b"hello", "damaged"),
        (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1 << 40,)}"), "damaged"),
        (npy_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({1 << 40},)}}"), "shape"),
        (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"), "damaged"),
        (npy_header(array_header("(1,)", "|O")), "Python objects"),
        (npy(np.array(["a"])), "fc.weight is <U1"),
        (npy(np.ones(2, [("a", "f4")])), "fc.weight is "),
        (npy(np.ones(2, np.int64)), "fc.weight is int64"),
        (npy(np.ones(2, np.complex128)), "fc.weight is complex128"),
    ],
)
def test_odd_arrays_in_an_npz_are_refused_by_name(tmp_path, content, said):
    message = refusal(zipped(tmp_path / "odd.npz", {"fc.weight.npy": content}))
    assert said in message


def test_big_endian_and_fortran_arrays_are_taken(tmp_path):
    array = np.asfortranarray(np.arange(6, dtype=">f4").reshape(2, 3))
    np.savez_compressed(tmp_path / "w.npz", **{"fc.weight": array})
    got = read_checkpoint(tmp_path / "w.npz").state_dict["fc.weight"]
    np.testing.assert_array_equal(got, array)


def test_archives_that_would_unpack_to_very_much_are_refused_unopened(tmp_path):
    path, header = tmp_path / "bomb.npz", npy_header(array_header(f"({1 << 28},)", "|i1"))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("fc.weight.npy", "w") as file:
            file.write(header)
            for _ in range(256):
                file.write(bytes(1 << 20))
    assert path.stat().st_size < 1e6
    assert "would unpack" in refusal(path)


def test_an_archive_that_lies_about_its_sizes_is_refused(tmp_path):
    path = zipped(tmp_path / "lie.npz", {"fc.weight.npy": npy(np.ones(64, np.float32))})
    content = path.read_bytes()
    size = struct.pack("<I", len(npy(np.ones(64, np.float32))))
    for claimed in (1, 0xFFFFFFF0):
        path.write_bytes(content.replace(size, struct.pack("<I", claimed)))
        refusal(path)


def entry(kind, shape, start, end):
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ({"fc.weight": entry("F32", [1 << 40], 0, 4 << 40)}, None),
        ({"fc.weight": entry("F32", [1 << 62, 1 << 62], 0, 8)}, None),
        ({"fc.weight": entry("F32", [-2], 0, 8)}, None),
        ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, None),
        ({"fc.weight": entry("F32", [2], 0, 12)}, None),
        ({"fc.weight": entry("F32", [2], 8, 0)}, None),
        ({"fc.weight": entry("X9", [2], 0, 12)}, None),
        ({"fc.weight": {}}, None),
        ({"fc.weight": 3}, None),
        ([], None),
        ({}, 1 << 45),
        ({}, 1 << 63),
        ({}, 10),
    ],
)
def test_safetensors_with_impossible_headers_are_refused(tmp_path, header, length):
    text = json.dumps(header).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", length or len(text)) + text + bytes(12))
    refusal(path)
