import math
import pickle

import numpy as np
import pytest
import scipy.io
import wfdb
from challenge_files import headers_below, write_record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfds_physionet.reading.records import MISSING, RecordError, read_header, read_record

SIGNAL = np.random.default_rng(0).integers(-30000, 30000, (12, 700)).astype(np.int16)


def test_every_real_record_loads_and_agrees_with_wfdb(physionet2021):
    headers = headers_below(physionet2021)
    assert len(headers) >= 200
    by_wfdb = 0
    for header in headers:
        record = read_record(header)
        assert record.signal.shape[0] == len(record.leads) == len(record.gains) == 12
        assert record.codes and record.sex in ("male", "female")
        try:
            other = wfdb.rdrecord(str(header.with_suffix("")), physical=False, return_res=16)
        except wfdb.io.header.HeaderSyntaxError:
            continue  # 26 of Georgia's headers name the record with its suffix
        by_wfdb += 1
        np.testing.assert_array_equal(record.signal, other.d_signal.T)
        assert list(record.gains) == other.adc_gain and list(record.leads) == other.sig_name
        assert record.sampling_rate == other.fs
    assert len(headers) - 30 < by_wfdb < len(headers)


def test_databases_of_real_records_are_their_folders(physionet2021):
    for header in headers_below(physionet2021 / "training"):
        assert read_header(header).database == header.parents[1].name


def test_odd_headers_are_read(odd_headers):
    headers = [read_header(path) for path in headers_below(odd_headers)]
    codes = {(h.path.parent.name, h.record_id): h.codes for h in headers}
    assert codes["empty_dx", "A0001"] == codes["nan_dx_header", "HR00001"] == ()
    assert codes["string_dx_headers", "A0002"] == ("Normal",)


def test_header_oddities_of_the_releases_are_taken(tmp_path):
    path = write_record(
        tmp_path,
        "E00015",
        SIGNAL,
        gain="4880.0(-3)/mv",
        form="16x1+24",
        name_in_header="E00015.mat",
        comments="# Age: NaN\n# Sex: Unknown\n# Dx: 59118001,RBBB,59118001, 164884008",
    )
    record = read_record(path.with_suffix(""))
    np.testing.assert_array_equal(record.signal, SIGNAL)
    assert record.record_id == "E00015" and record.database == "georgia"
    assert record.gains == (4880.0,) * 12 and record.baselines == (-3.0,) * 12
    assert record.codes == ("59118001", "RBBB", "164884008")
    assert math.isnan(record.age) and record.sex == "unknown"


@pytest.mark.parametrize("gain, expected", [("200/uV", 2e5), ("5/V", 5e-3), ("0", 200.0)])
def test_gains_are_in_adc_units_per_millivolt(tmp_path, gain, expected):
    path = write_record(tmp_path, "X1", SIGNAL, gain=gain)
    assert read_header(path).gains[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    "folder, name, database",
    [
        ("training/georgia/g3", "HR00001", "georgia"),
        ("training/clinic/g1", "X1", "clinic"),
        ("any", "JS10646", "chapman_shaoxing"),
        ("any", "JS10647", "ningbo"),
        ("any", "I0001", "st_petersburg_incart"),
        ("any/g1", "X1", "any"),
    ],
)
def test_database_is_told_by_folder_then_by_prefix(tmp_path, folder, name, database):
    assert read_header(write_record(tmp_path / folder, name, SIGNAL)).database == database


def test_matlab_files_of_other_versions_types_and_orientations_are_read(tmp_path):
    path = write_record(tmp_path, "X1", SIGNAL)
    for values in (SIGNAL, SIGNAL.T, SIGNAL.astype(float)):
        for version in ("4", "5"):
            scipy.io.savemat(tmp_path / "X1.mat", {"val": values}, format=version)
            np.testing.assert_array_equal(read_record(path).signal, SIGNAL)


@pytest.mark.parametrize("form, invalid", [("16", -32768), ("212", -2048), ("24", -(2**23))])
def test_wfdb_storage_formats_are_read_and_invalid_samples_are_missing(tmp_path, form, invalid):
    signal = (SIGNAL[:2] // 16).astype(np.int32).T.copy()
    signal[5, 0] = invalid
    wfdb.wrsamp(
        "X1",
        500,
        ["mV"] * 2,
        ["I", "II"],
        d_signal=signal,
        fmt=[form] * 2,
        adc_gain=[1000.0] * 2,
        baseline=[0] * 2,
        write_dir=str(tmp_path),
    )
    record = read_record(tmp_path / "X1")
    signal[5, 0] = MISSING
    np.testing.assert_array_equal(record.signal, signal.T)


def _break(path, what):
    mat, text = path.with_suffix(".mat"), path.read_text()
    if what == "missing":
        mat.unlink()
    elif what == "truncated":
        mat.write_bytes(mat.read_bytes()[:-2])
    elif what == "truncated head":
        mat.write_bytes(mat.read_bytes()[:10])
    elif what == "samples":
        path.write_text(text.replace(" 700\n", " 800\n"))
    elif what == "leads":
        path.write_text(text.replace("X1 12", "X1 11"))
    elif what == "matrix":
        scipy.io.savemat(mat, {"val": SIGNAL[:8]}, format="4")
    elif what == "fractions":
        scipy.io.savemat(mat, {"val": SIGNAL / 1000.0})
    elif what == "rate":
        path.write_text(text.replace(" 500 ", " 0 "))
    elif what == "gain":
        path.write_text(text.replace("1000/mV", "1000/mmHg"))
    elif what == "nothing":
        path.write_text("")
    elif what == "no matlab":
        mat.write_bytes(b"x" * 500)
    elif what == "no samples":
        scipy.io.savemat(mat, {"val": SIGNAL[:, :0]}, format="4")
        path.write_text(text.replace(" 700\n", "\n"))


@pytest.mark.parametrize(
    "what, file, field",
    [
        ("missing", "X1.mat", "signal file"),
        ("truncated", "X1.mat", "signal file"),
        ("truncated head", "X1.mat", "signal file"),
        ("samples", "X1.mat", "signal file"),
        ("leads", "X1.mat", "signal"),
        ("matrix", "X1.mat", "signal"),
        ("fractions", "X1.mat", "signal"),
        ("rate", "X1.hea", "sampling rate"),
        ("gain", "X1.hea", "gain"),
        ("nothing", "X1.hea", "header"),
        ("no matlab", "X1.mat", "signal file"),
        ("no samples", "X1.hea", "signal"),
    ],
)
def test_a_broken_record_is_refused_with_file_field_and_reason(tmp_path, what, file, field):
    path = write_record(tmp_path, "X1", SIGNAL)
    _break(path, what)
    with pytest.raises(RecordError) as caught:
        read_record(path)
    error = pickle.loads(pickle.dumps(caught.value))  # as it comes back from a worker
    assert (error.path.name, error.field) == (file, field)
    assert str(error) == f"{tmp_path / file}: {field}: {error.reason}"
    assert error.reason and "\n" not in str(error)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_header_gives_a_record_or_a_record_error(tmp_path, data):
    path = write_record(tmp_path, "X1", SIGNAL[:, :5])
    text = path.read_bytes()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 20)))
    path.write_bytes(text[:start] + data.draw(st.binary(max_size=8)) + text[end:])
    try:
        record = read_record(path)
    except RecordError as error:
        assert "\n" not in str(error)
    else:
        assert record.signal.dtype == np.int16 and record.signal.shape[0] == len(record.leads)
