"""Arrays become records by what their sidecar, the command or their form tells."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from tfds_physionet.errors import RecordError
from tfds_physionet.formats.facts import Facts
from tfds_physionet.leads import STANDARD_LEADS
from tfds_physionet.reading.finding import find_records
from tfds_physionet.reading.records import read_record

SIGNAL = np.cumsum(np.random.default_rng(0).integers(-30, 31, (12, 600)), axis=1)
MV = SIGNAL / 1000


def _save(path: Path, array: np.ndarray, **told: object) -> Path:
    np.save(path, array)
    path.with_suffix(".json").write_text(json.dumps(told))
    return path


@pytest.mark.parametrize("array", [MV, MV.T, MV[None], MV.T[None], np.asfortranarray(MV)])
def test_the_axis_of_the_leads_is_the_one_of_their_number(
    tmp_path: Path, array: np.ndarray
) -> None:
    path = _save(tmp_path / "a.npy", array, leads=STANDARD_LEADS, rate=500, unit="mV")
    (found,) = find_records(path).records
    record = read_record(found)
    assert found.name == "a" and record.leads == STANDARD_LEADS and record.remarks == ()
    low = SIGNAL.min(axis=1, keepdims=True)
    np.testing.assert_array_equal(
        record.signal - record.signal.min(axis=1, keepdims=True).astype(int), SIGNAL - low
    )


@pytest.mark.parametrize("unit, factor", [("mV", 1), ("uV", 1000), ("µV", 1000), ("V", 1e-3)])
def test_a_unit_is_brought_to_millivolts(tmp_path: Path, unit: str, factor: float) -> None:
    path = _save(tmp_path / "a.npy", MV * factor, rate=500, unit=unit)
    record = read_record(path)
    step = np.array(record.gains)[:, None]
    np.testing.assert_allclose(np.diff(record.signal) / step, np.diff(MV), rtol=0, atol=1e-9)


def test_adc_units_have_a_gain_and_a_baseline(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.npy", (SIGNAL + 7).astype(np.int32), rate=500, gain=1000, baseline=7)
    record = read_record(path)
    assert set(record.gains) == {1000.0} and set(record.baselines) == {7.0}


def test_several_ecgs_in_an_array_are_several_records(tmp_path: Path) -> None:
    many = np.stack([MV, -MV, 2 * MV])
    told = {"age": [50, None, 70], "sex": ["F", "M", ""], "codes": [["426783006"], [], ["AF"]]}
    _save(tmp_path / "a.npy", many, rate=500, unit="mV", ids=["p/1", "q", "r"], **told)
    np.save(tmp_path / "b.npy", many.transpose(0, 2, 1))
    scipy.io.savemat(tmp_path / "c.mat", {"val": many})
    found = find_records(tmp_path, facts=Facts(rate=250.0)).records
    names = [record.name for record in found]
    assert names == [*("a/p_1", "a/q", "a/r"), *(f"{n}/{k}" for n in "bc" for k in range(3))]
    read = [read_record(record) for record in found]
    assert [record.sampling_rate for record in read] == [500.0] * 3 + [250.0] * 6
    assert [record.age for record in read[::2]][:2] == [50.0, 70.0] and np.isnan(read[1].age)
    assert [r.codes for r in read[:3]] == [("426783006",), (), ("AF",)]
    for k in range(3):
        for record in (read[k], read[3 + k], read[6 + k]):
            scaled = np.diff(record.signal.astype(int)) / np.array(record.gains)[:, None]
            np.testing.assert_allclose(scaled, np.diff(many[k]), rtol=0, atol=1e-9)


def test_code_15_needs_no_word_and_its_padding_goes(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    tracings = np.zeros((3, 900, 12), np.float32)
    tracings[:, 100:700] = MV.T
    with h5py.File(tmp_path / "exams_part0.hdf5", "w") as file:
        file["tracings"], file["exam_id"] = tracings, np.array([1169160, 7, 8])
    found = find_records(tmp_path).records
    assert [record.name for record in found][0] == "exams_part0/1169160"
    record = read_record(found[2])
    assert (record.sampling_rate, record.leads) == (400.0, STANDARD_LEADS)
    first = np.flatnonzero(MV.any(axis=0))[0]
    assert record.signal.shape == (12, 600 - first) and record.remarks == ()


def test_matlab_7_3_is_read_with_its_axes_turned(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["ecg"] = MV.T  # as MATLAB writes a matrix [lead, time]
        file["ecg"].attrs["MATLAB_class"] = np.bytes_("double")
    (tmp_path / "a.json").write_text('{"rate": 500, "unit": "mV"}')
    assert read_record(tmp_path / "a.mat").signal.shape == (12, 600)


@pytest.mark.parametrize(
    "told, reason",
    [
        ({}, "array_rate"),
        ({"rate": 500, "unit": "mmHg"}, "none of mV"),
        ({"rate": 500, "leads": ["I", "II"]}, "2 leads are told"),
        ({"rate": "fast"}, "wanted"),
        ({"rate": True}, "wanted"),
        ({"rate": 5e9}, "5e\\+09 Hz of I"),
    ],
)
def test_what_is_not_told_or_wrong_is_said(tmp_path: Path, told: dict, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        read_record(_save(tmp_path / "a.npy", MV, **told))


def test_what_is_guessed_is_remarked_on(tmp_path: Path) -> None:
    remarks = read_record(_save(tmp_path / "a.npy", MV, rate=500)).remarks
    assert len(remarks) == 2 and "leads" in remarks[0] and "mV is taken" in remarks[1]


def test_nothing_pickled_is_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", x=np.array([{"a": 1}], object))
    for record in find_records(tmp_path).records:
        with pytest.raises(RecordError):
            read_record(record)


_HEADER = ",".join(STANDARD_LEADS)


def _table(head: str, rows: list[list[object]], sign: str = ",", point: str = ".") -> str:
    lines = [sign.join(map(str, row)).replace(".", point) for row in rows]
    return "\n".join([head.replace(",", sign)] * bool(head) + lines)


_TABLES = {
    "rows": _table("", [[name, *row] for name, row in zip(STANDARD_LEADS, MV, strict=True)]),
    "time": _table("time," + _HEADER, [[n / 500, *row] for n, row in enumerate(MV.T)]),
    "commas": _table("t (ms)," + _HEADER, [[2 * n, *v] for n, v in enumerate(MV.T)], ";", ","),
    "tabs": "\ufeff# made by hand\n\n"
    + _table(",".join(f"Lead {name} [mV]" for name in STANDARD_LEADS), MV.T.tolist(), "\t"),
}


@pytest.mark.parametrize("text", _TABLES.values(), ids=_TABLES)
def test_a_table_is_read_however_it_is_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    (found,) = find_records(tmp_path, facts=Facts(rate=500.0, unit="mV")).records
    record = read_record(found)
    assert record.sampling_rate == 500.0 and record.signal.shape == (12, 600)
    scaled = np.diff(record.signal.astype(int)) / np.array(record.gains)[:, None]
    np.testing.assert_allclose(scaled, np.diff(MV), rtol=0, atol=1e-9)


def test_a_column_of_times_tells_the_rate(tmp_path: Path) -> None:
    for step, rate in ((0.004, 250.0), (2, 500.0)):
        rows = [f"{n * step:g}," + ",".join(map(str, row)) for n, row in enumerate(MV.T)]
        (tmp_path / "a.csv").write_text("\n".join(["time," + _HEADER, *rows]))
        assert read_record(tmp_path / "a.csv").sampling_rate == rate


def test_an_empty_cell_is_a_missing_sample(tmp_path: Path) -> None:
    rows = [",".join(map(str, row)) for row in MV.T]
    rows[5] = "," + rows[5].partition(",")[2]
    (tmp_path / "a.csv").write_text("\n".join([_HEADER, *rows]))
    (tmp_path / "a.json").write_text('{"rate": 500}')
    assert read_record(tmp_path / "a.csv").signal[:2, 5].tolist()[0] == -32768
