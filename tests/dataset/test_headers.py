import math
import time

import numpy as np
import pytest
from wfdb_files import SIGNAL, write_wfdb

from tfds_physionet.reading.records import RecordError, read_header, read_record
from tfds_physionet.reading.signals import STANDARD_LEADS, prepare


@pytest.mark.parametrize(
    "remark",
    [
        "#Hx: Ålesund",
        "#Hx: 入院",
        b"#Hx: infarct\x85 old",
        b"#Hx: a\x0cb",
        b"#Hx: a\0b\x1c\x1d\x1e",
        "#Hx: a\u2028b",
        b"\x1a",
        b"\0\0\0\0",
        b"#\xff\xfe",
    ],
)
def test_a_remark_may_hold_any_byte(tmp_path, remark):
    record = read_record(write_wfdb(tmp_path, remarks=["#Dx: 426783006", remark, "#Age: 61"]))
    assert (record.codes, record.age, record.remarks) == (("426783006",), 61.0, ())
    np.testing.assert_array_equal(record.signal, SIGNAL)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_record_line(tmp_path, encoding):
    path = write_wfdb(tmp_path)
    path.write_bytes(path.read_text().encode(encoding))
    assert read_record(path).leads == STANDARD_LEADS


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_lines_of_other_systems_are_read(tmp_path, end):
    path = write_wfdb(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"\n", end))
    record = read_record(path)
    assert (record.leads, record.codes) == (STANDARD_LEADS, ("426783006",))


@pytest.mark.parametrize(
    "record_line, rate",
    [
        ("X1 12 500. 240", 500.0),
        ("X1 12 5e2 240", 500.0),
        ("X1 12 500/1000(0) 240 12:30:00 01/02/2003", 500.0),
        ("X1 12 500", 500.0),
        ("X1 12 500 0", 500.0),
        ("X1\t12\t500\t240", 500.0),
        ("waves/X1 12 500 240", 500.0),
        ("p1/12 12 500 240", 500.0),
        ("X1.dat 12 250.5 240", 250.5),
    ],
)
def test_the_record_line_has_header_5_s_own_forms(tmp_path, record_line, rate):
    record = read_record(write_wfdb(tmp_path, record_line=record_line))
    assert (record.sampling_rate, record.remarks, record.record_id) == (rate, (), "X1")
    np.testing.assert_array_equal(record.signal, SIGNAL)


def test_a_missing_rate_is_wfdb_s_default_and_is_remarked_on(tmp_path):
    record = read_record(write_wfdb(tmp_path, record_line="X1 12"))
    assert record.sampling_rate == 250.0
    assert record.remarks == ("no sampling rate is given; 250 Hz is WFDB's default",)


def test_lines_beyond_the_number_of_leads_are_remarked_on(tmp_path):
    path = write_wfdb(tmp_path)
    path.write_text(path.read_text() + "left over\n")
    record = read_record(path)
    assert record.remarks == ("13 signal lines; the record line says 12",)
    np.testing.assert_array_equal(record.signal, SIGNAL)


def test_a_signal_line_may_end_after_its_format(tmp_path):
    lines = [f"X1.dat 16 200(7)/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS[:-1]]
    record = read_record(write_wfdb(tmp_path, lines=[*lines, "X1.dat 16"]))
    assert record.leads == (*STANDARD_LEADS[:-1], "signal 12")
    assert record.gains == (200.0,) * 12 and record.baselines == (7.0,) * 11 + (0.0,)


@pytest.mark.parametrize(
    "unit, factor",
    [("uV", 1e3), ("µV", 1e3), ("μV", 1e3), ("µV".encode("latin-1"), 1e3), ("MV", 1), ("V", 1e-3)],
)
def test_microvolts_are_read_in_every_encoding(tmp_path, unit, factor):
    unit = unit if isinstance(unit, bytes) else unit.encode()
    header = read_header(write_wfdb(tmp_path, gain=b"2(-5)/" + unit))
    assert header.gains[0] == pytest.approx(2 * factor) and header.baselines[0] == -5.0


@pytest.mark.parametrize("gain", ["12.84(-1605)/mmHg", "1/bpm", "100/%", "1000/NU", "nan", "x"])
def test_a_further_channel_that_is_no_voltage_is_passed_over(tmp_path, gain):
    lines = [f"X1.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS]
    lines.insert(3, f"X1.dat 16 {gain} 16 0 0 0 0 Pleth")
    data = np.insert(SIGNAL, 3, 5, axis=0).astype("<i2").T.tobytes()
    record = read_record(write_wfdb(tmp_path, data, record_line="X1 13 500 240", lines=lines))
    np.testing.assert_array_equal(record.signal, SIGNAL)
    assert record.leads == STANDARD_LEADS
    assert len(record.remarks) == 1 and "passed over: Pleth" in record.remarks[0]


def test_the_file_of_a_channel_that_is_passed_over_need_not_be_there(tmp_path):
    lines = [f"X1.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in STANDARD_LEADS]
    lines.append("gone.dat 16 10/mmHg 16 0 0 0 0 ABP")
    record = read_record(write_wfdb(tmp_path, record_line="X1 13 500 240", lines=lines))
    np.testing.assert_array_equal(record.signal, SIGNAL)


def test_standard_leads_without_a_unit_of_voltage_are_taken_and_remarked_on(tmp_path):
    record = read_record(write_wfdb(tmp_path, gain="1000(0)/NU"))
    assert record.gains == (1000.0,) * 12 and "no voltage" in record.remarks[0]


@pytest.mark.parametrize(
    "gain", ["1000/mmHg", "nan/mV", "inf", "1e400", "1000(inf)/mV", "9" * 5000]
)
def test_a_record_whose_leads_have_no_gain_in_millivolts_is_refused(tmp_path, gain):
    with pytest.raises(RecordError) as caught:
        read_record(write_wfdb(tmp_path, gain=gain))
    assert caught.value.field == "gain"


@pytest.mark.parametrize(
    "record_line, field",
    [
        ("X1 12 0.0000001 240", "sampling rate"),
        ("X1 12 1e12 240", "sampling rate"),
        ("X1 12 nan 240", "sampling rate"),
        ("X1 12 -500 240", "sampling rate"),
        ("X1 12 500 " + "9" * 5000, "number of samples"),
        ("X1 12 500 -240", "number of samples"),
        ("X1 0 500 240", "number of leads"),
        ("X1 " + "9" * 5000 + " 500 240", "record line"),
        ("X1 99999999 500 240", "number of leads"),
        ("X1", "record line"),
    ],
)
def test_numbers_out_of_bounds_are_refused_with_their_field(tmp_path, record_line, field):
    with pytest.raises(RecordError) as caught:
        read_record(write_wfdb(tmp_path, record_line=record_line))
    assert caught.value.field == field and len(str(caught.value)) < 900


@pytest.mark.parametrize(
    "word", ["1" * 60_000, "." * 60_000, "1." * 30_000, "a" * 60_000, "(" * 60_000]
)
@pytest.mark.parametrize("place", ["rate", "gain", "lead", "remark", "format", "age", "dx"])
def test_words_of_60000_signs_cost_no_time(tmp_path, word, place):
    changes = {
        "rate": {"record_line": f"X1 12 {word} 240"},
        "gain": {"gain": word},
        "lead": {"leads": [*STANDARD_LEADS[:-1], word]},
        "format": {"form": word},
        "remark": {"remarks": [f"#{word}", f"#{word} {word}", "#" + " " * 60_000 + word]},
        "age": {"remarks": [f"#Age: {word}"]},
        "dx": {"remarks": [f"#Dx: {word}"]},
    }
    path = write_wfdb(tmp_path, **changes[place])
    start = time.process_time()
    try:
        prepare(read_record(path))
    except RecordError as error:
        assert len(str(error)) < 900
    assert time.process_time() - start < 1


def test_a_page_of_a_megabyte_is_no_header(tmp_path):
    (tmp_path / "X1.hea").write_bytes(b"<p>" * 1_000_000)
    with pytest.raises(RecordError, match="3000000 bytes are too many"):
        read_header(tmp_path / "X1.hea")


def test_headers_in_capitals_and_names_with_dots_are_read(tmp_path):
    path = write_wfdb(tmp_path, name="1.2.840.1001")
    assert read_record(path.with_suffix("")).record_id == "1.2.840.1001"
    path.rename(tmp_path / "Y.HEA")
    assert read_record(tmp_path / "Y.HEA").record_id == "Y"


def test_the_source_is_told_by_folders_below_the_given_one(tmp_path):
    path = write_wfdb(tmp_path / "georgia" / "mine" / "g1")
    assert read_header(path).database == "georgia"
    assert read_header(path, root=tmp_path / "georgia" / "mine").database == "unknown"
    assert read_header(path, root=tmp_path / "georgia").database == "mine"
    assert read_record(path, root=tmp_path).database == "georgia"


def test_a_header_without_remarks_knows_nothing_of_the_patient(tmp_path):
    header = read_header(write_wfdb(tmp_path, remarks=[]))
    assert math.isnan(header.age) and (header.sex, header.patient) == ("unknown", "")
    assert header.codes == header.unread_diagnoses == ()
