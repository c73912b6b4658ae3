"""Whatever lies in a record's files, a RecordError says it, soon and within bounds."""

import os
import subprocess
import sys

import numpy as np
import pytest
from wfdb_files import SIGNAL, write_wfdb

from tfds_physionet.reading.records import RecordError, read_header, read_record
from tfds_physionet.reading.signals import STANDARD_LEADS, prepare

CHECKED = [
    f"X1.dat 16 1000(0)/mV 16 0 {row[0]} {row.sum(dtype=np.int16)} 0 {lead}"
    for row, lead in zip(SIGNAL, STANDARD_LEADS, strict=True)
]


@pytest.mark.parametrize("name", ["X1.hea", "X1.dat"])
@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "dangling link", "link to itself"])
def test_what_is_no_regular_file_is_refused_without_waiting_for_it(tmp_path, name, kind):
    path = write_wfdb(tmp_path)
    (tmp_path / name).unlink()
    if kind == "fifo":
        os.mkfifo(tmp_path / name)
    elif kind == "device":
        (tmp_path / name).symlink_to("/dev/zero")
    elif kind == "folder":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).symlink_to("gone" if kind == "dangling link" else name)
    with pytest.raises(RecordError, match="can't be read") as caught:
        read_record(path)
    assert caught.value.path == tmp_path / name


@pytest.mark.parametrize(
    "file",
    ["/mnt/elsewhere/X1.dat", "../X1.dat", "a/../../X1.dat", "..", "/", ".", "no/X9.dat"]
    + ["X\0.dat", "y" * 300, "X1.dat\0", "~", "\\\\server\\X1.dat", "http://host/X1.dat"],
)
def test_a_signal_file_that_is_not_below_the_header_is_refused(tmp_path, file):
    (tmp_path / "X1.dat").write_bytes(b"another record's")
    lines = [line.replace("X1.dat", file) for line in CHECKED]
    path = write_wfdb(tmp_path / "records", lines=lines, file="X2.dat")
    with pytest.raises(RecordError, match="can't be read"):
        read_record(path)


@pytest.mark.parametrize(
    "stored, written",
    [
        ("X1.DAT", b"X1.dat"),
        ("Müller.dat", "Müller.dat".encode()),
        ("Müller.dat", "Müller.dat".encode("latin-1")),
        (os.fsdecode(b"M\xfcller.dat"), "Müller.dat".encode("latin-1")),
        (os.fsdecode(b"M\xfcller.dat"), "Müller.dat".encode()),
        ("Mu\u0308ller.dat", "Müller.dat".encode()),
        ("sub/X1.dat", b"sub/X1.dat"),
        ("X1.dat", b"g1/X1.dat"),
    ],
)
def test_a_signal_file_is_found_by_its_name_in_another_form(tmp_path, stored, written):
    (tmp_path / "sub").mkdir()
    lines = [line.encode().replace(b"X1.dat", written) for line in CHECKED]
    path = write_wfdb(tmp_path, lines=lines, file=stored)
    np.testing.assert_array_equal(read_record(path, strict=True).signal, SIGNAL)


def test_a_header_that_is_not_there_is_told_by_its_path(tmp_path):
    with pytest.raises(RecordError, match="X1.hea: header: can't be read"):
        read_header(tmp_path / "X1")
    with pytest.raises(RecordError, match="NUL"):
        read_header(tmp_path / "X\0")


@pytest.mark.parametrize("form", ["16", "32", "212", "8", "516"])
def test_an_absurd_length_is_refused_before_anything_is_allocated(tmp_path, form):
    path = write_wfdb(tmp_path, record_line="X1 12 500 99999999999", form=form)
    with pytest.raises(RecordError, match="X1.dat"):
        read_record(path)


@pytest.mark.parametrize(
    "unknown", ["9", "0", "16x", "x16", "1" * 5000, "16+" + "9" * 5000, "16x0x1"]
)
def test_an_unknown_storage_format_is_refused(tmp_path, unknown):
    with pytest.raises(RecordError) as caught:
        read_record(write_wfdb(tmp_path, form=unknown))
    assert caught.value.field == "signal line"


def test_samples_that_checksum_and_first_value_contradict_are_remarked_on_or_refused(tmp_path):
    path = write_wfdb(tmp_path, lines=CHECKED)
    assert read_record(path, strict=True).remarks == ()
    damaged = SIGNAL.copy()
    damaged[1, 0] += 1
    damaged[4, 100] -= 3
    (tmp_path / "X1.dat").write_bytes(damaged.astype("<i2").T.tobytes())
    assert read_record(path).remarks == (
        "samples are not as the checksum says: II, aVL",
        "samples are not as the first value says: II",
    )
    with pytest.raises(RecordError, match="X1.hea: samples: .*checksum says: II, aVL"):
        read_record(path, strict=True)


def test_checksums_may_be_written_without_a_sign_or_left_blank(tmp_path):
    unsigned = [line.split() for line in CHECKED]
    for fields in unsigned:
        fields[6] = str(int(fields[6]) % 65536)
    read_record(write_wfdb(tmp_path, lines=[" ".join(f) for f in unsigned]), strict=True)
    assert read_record(write_wfdb(tmp_path), strict=True).remarks == ()


def test_a_file_longer_than_its_header_says_is_read_only_where_checksums_confirm_it(tmp_path):
    data = SIGNAL.astype("<i2").T.tobytes() + bytes(48)
    with pytest.raises(RecordError, match="48 bytes more than the header says"):
        read_record(write_wfdb(tmp_path, data))
    record = read_record(write_wfdb(tmp_path, data, lines=CHECKED), strict=True)
    np.testing.assert_array_equal(record.signal, SIGNAL)


def test_a_lead_that_is_there_twice_is_remarked_on_and_the_first_is_used(tmp_path):
    record = read_record(write_wfdb(tmp_path, leads=("I", "II", "I", *STANDARD_LEADS[3:])))
    assert record.remarks == ("leads that are there more than once, of which the first is used: I",)
    np.testing.assert_array_equal(prepare(record).signal[0], SIGNAL[0])


_DAY = """
import resource, sys
from pathlib import Path
import numpy as np
from tfds_physionet.reading.records import RecordError, read_record
from tfds_physionet.reading.signals import prepare
used = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
before = used()
try:
    prepared = prepare(read_record(sys.argv[1]))
    print(prepared.signal.shape[1], used() - before)
except RecordError as error:
    print(error.reason)
"""


@pytest.mark.parametrize("hours", [6, pytest.param(24, marks=pytest.mark.slow)])
def test_a_long_record_takes_little_more_memory_than_its_own_samples(tmp_path, hours):
    length = hours * 3600 * 500
    path = write_wfdb(tmp_path, record_line=f"X1 12 500 {length}", leads=STANDARD_LEADS[::-1])
    os.truncate(tmp_path / "X1.dat", 24 * length)  # a hole after the first samples
    done = subprocess.run(
        [sys.executable, "-c", _DAY, path], capture_output=True, text=True, check=True
    )
    samples, used_gb = done.stdout.split()
    assert int(samples) == length and float(used_gb) < 24e-9 * length + 0.15


@pytest.mark.parametrize(
    "rate, hours, options, reason",
    [
        (257, 24, {}, "24.0 h; at most 4.7 h to be resampled or filtered"),
        (1000, 24, {}, "24.0 h; at most 2.3 h to be resampled or filtered"),
        (500, 24, {"band_hz": (1.0, 47.0)}, "24.0 h; at most 4.7 h to be resampled or filtered"),
        (500, 40, {}, "40.0 h; at most 37.3 h"),
    ],
)
def test_a_record_that_is_too_long_is_refused_with_its_length(
    tmp_path, rate, hours, options, reason
):
    length = hours * 3600 * rate
    path = write_wfdb(tmp_path, record_line=f"X1 1 {rate} {length}", leads=["II"])
    os.truncate(tmp_path / "X1.dat", 2 * length)
    with pytest.raises(RecordError) as caught:
        prepare(read_record(path), **options)
    assert caught.value.field == "length" and reason in caught.value.reason
