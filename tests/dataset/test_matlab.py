import io
import struct

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from challenge_files import write_record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wfdb_files import SIGNAL

from tfds_physionet.formats.matlab import find_matrix, read_matrix
from tfds_physionet.reading.records import MISSING, RecordError, read_record

TYPES = "int8 uint8 int16 uint16 int32 uint32 int64 uint64 float32 float64".split()
# Version 4 knows fewer; scipy writes the others as doubles.
TYPES_4 = "uint8 int16 uint16 int32 float32 float64".split()
WAYS = [("4", False, t) for t in TYPES_4] + [("5", c, t) for c in (False, True) for t in TYPES]


def _saved(variables, version="5", compressed=False):
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables, format=version, do_compression=compressed)
    return stream.getvalue()


@pytest.mark.parametrize("version, compressed, dtype", WAYS)
def test_matrices_of_every_type_come_back_as_scipy_wrote_them(tmp_path, version, compressed, dtype):
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo("f4")
    val = np.array([[limits.min, 0, 1], [limits.max, 2, 3]], dtype)
    path = tmp_path / "a.mat"
    path.write_bytes(_saved({"x": np.ones((3, 2)), "val": val}, version, compressed))
    matrix = find_matrix(path, path.stat().st_size, "val")
    read = read_matrix(path, matrix).T
    assert (matrix.shape, read.dtype) == ((2, 3), np.dtype(dtype).newbyteorder("<"))
    np.testing.assert_array_equal(read, val)


def _element(kind, data, order):
    return struct.pack(f"{order}2I", kind, len(data)) + data + bytes(-len(data) % 8)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind, dtype", [(2, "u1"), (3, "i2"), (9, "f8")])
def test_both_byte_orders_of_version_5_are_read_and_doubles_stored_in_fewer_bytes(
    tmp_path, order, kind, dtype
):
    val = np.arange(6).reshape(2, 3)
    parts = _element(6, struct.pack(f"{order}2I", 6, 0), order)  # of class double
    parts += _element(5, struct.pack(f"{order}2i", 2, 3), order) + _element(1, b"val", order)
    parts += _element(kind, val.T.astype(order + dtype).tobytes(), order)
    mark = b"IM" if order == "<" else b"MI"
    head = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(f"{order}H", 0x0100) + mark
    path = tmp_path / "a.mat"
    path.write_bytes(head + _element(14, parts, order))
    matrix = find_matrix(path, path.stat().st_size, "val")
    np.testing.assert_array_equal(read_matrix(path, matrix).T, val)


def test_version_4_of_a_big_endian_machine_is_read(tmp_path):
    path = write_record(tmp_path, "X1", SIGNAL)
    head = struct.pack(">5i4s", 1030, *SIGNAL.shape, 0, 4, b"val\0")
    (tmp_path / "X1.mat").write_bytes(head + SIGNAL.T.astype(">i2").tobytes())
    np.testing.assert_array_equal(read_record(path).signal, SIGNAL)


@pytest.mark.parametrize(
    "content, reason",
    [
        (_saved({"ECG": SIGNAL}), "its matrices are ECG; val is wanted"),
        (_saved({"ECG": SIGNAL, "x": 1}, "4"), "its matrices are ECG, x; val is wanted"),
        (_saved({"val": SIGNAL / 1000}), "floating-point mV"),
        (_saved({"val": SIGNAL / 1000}, "4"), "floating-point mV"),
        (_saved({"val": "text"}), "its val is text"),
        (_saved({"val": "text"}, "4"), "its val is text"),
        (_saved({"val": np.array([1, "a"], object)}), "its val is a cell array"),
        (_saved({"val": {"a": 1}}), "its val is a struct"),
        (_saved({"val": scipy.sparse.eye(12).tocsc()}), "its val is a sparse matrix"),
        (_saved({"val": scipy.sparse.eye(12).tocsc()}, "4"), "its val is a sparse matrix"),
        (_saved({"val": SIGNAL * 1j}), "its val is complex numbers"),
        (_saved({"val": SIGNAL * 1j}, "4"), "its val is complex numbers"),
        (_saved({"val": SIGNAL.reshape(12, 2, -1)}), "its val is an array of 3 dimensions"),
        (_saved({}), "it holds no matrix"),
        (b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n", r"MATLAB 7.3 .*-v7"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), r"MATLAB 7.3 \(HDF5\) file; save it with -v7"),
        (b"\n<!DOCTYPE html><title>404</title>" * 9, "an HTML or XML page"),
        (b'{"val": [[1, 2]]}' * 9, "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git LFS"),
        (b"", "truncated after 0 bytes"),
        (b"x" * 500, "it is no MATLAB file"),
    ],
)
def test_the_reason_says_what_is_in_the_file_instead(tmp_path, content, reason):
    path = write_record(tmp_path, "X1", SIGNAL)
    (tmp_path / "X1.mat").write_bytes(content)
    with pytest.raises(RecordError, match=reason) as caught:
        read_record(path)
    assert caught.value.path.name == "X1.mat"


@pytest.mark.parametrize("compressed", [False, True])
def test_one_changed_byte_anywhere_gives_the_record_or_a_record_error(tmp_path, compressed):
    path = write_record(tmp_path, "X1", SIGNAL[:, :3])
    good = _saved({"val": SIGNAL[:, :3]}, compressed=compressed)
    # The byte at 0xb0, 3 -> 255, ends the process in scipy 1.17.1.
    for place in range(116, len(good)):
        for value in (0, 255, good[place] ^ 1):
            (tmp_path / "X1.mat").write_bytes(good[:place] + bytes([value]) + good[place + 1 :])
            try:
                record = read_record(path)
            except RecordError as error:
                assert error.reason
            else:
                assert record.signal.shape == (12, 3)
                if compressed:  # whose sum is checked
                    np.testing.assert_array_equal(record.signal, SIGNAL[:, :3])


@pytest.mark.parametrize("version, compressed", [("4", False), ("5", False), ("5", True)])
def test_a_file_that_ends_early_anywhere_is_refused(tmp_path, version, compressed):
    path = write_record(tmp_path, "X1", SIGNAL[:, :3])
    good = _saved({"val": SIGNAL[:, :3]}, version, compressed)
    for size in range(len(good) - 8):
        (tmp_path / "X1.mat").write_bytes(good[:size])
        with pytest.raises(RecordError):
            read_record(path)


def test_a_small_file_that_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path):
    path = write_record(tmp_path, "X1", SIGNAL)
    (tmp_path / "X1.mat").write_bytes(_saved({"val": np.zeros((12, 500_000))}, compressed=True))
    with pytest.raises(
        RecordError, match=r"its shape is \(12, 500000\); the header says \(12, 240\)"
    ):
        read_record(path)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from([b"", b"MATLAB 5.0".ljust(124) + b"\0\1IM"]))
def test_any_bytes_give_a_record_error(tmp_path, data, head):
    path = write_record(tmp_path, "X1", SIGNAL)
    (tmp_path / "X1.mat").write_bytes(head + data)
    with pytest.raises(RecordError):
        read_record(path)


def test_nan_and_the_invalid_sample_of_a_matrix_of_doubles_are_missing(tmp_path):
    val = SIGNAL.astype(float)
    val[3, 5], val[4, 6], val[5, 7] = np.nan, np.inf, -32768
    path = write_record(tmp_path, "X1", SIGNAL)
    (tmp_path / "X1.mat").write_bytes(_saved({"val": val}))
    signal = read_record(path).signal
    assert np.argwhere(signal == MISSING).tolist() == [[3, 5], [4, 6], [5, 7]]
    assert (signal == SIGNAL).sum() == SIGNAL.size - 3
