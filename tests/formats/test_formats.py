"""One recording in every format comes out the same, as independent readers have it, too."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from wfdb_files import write_wfdb

from benchmarks import ecg_files
from tfds_physionet.errors import RecordError
from tfds_physionet.leads import STANDARD_LEADS
from tfds_physionet.reading.records import EcgRecord, read_record
from tfds_physionet.reading.signals import prepare, z_score

SIGNAL = np.cumsum(np.random.default_rng(0).integers(-30, 31, (12, 1000)), axis=1).astype(np.int16)
EIGHT = ("I", "II", *STANDARD_LEADS[6:])
_ARRAYS = ("a.npy", "a.npz", "a.mat", "a.h5", "a.csv")
_TOLERANCE_MV = 1e-6  # float32 of some mV; a thousandth of what is asked


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("formats")
    for name, write in ecg_files.CLINICAL.items():
        (folder / name).write_bytes(write(SIGNAL, STANDARD_LEADS, 500))
    for name, data in ecg_files.array_files(SIGNAL, STANDARD_LEADS, 500).items():
        (folder / name).write_bytes(data)
    write_wfdb(
        folder,
        SIGNAL.T.astype("<i2").tobytes(),
        name="w",
        file="w.dat",
        record_line="w 12 500 1000",
    )
    return folder


def _millivolts(record: EcgRecord) -> np.ndarray:
    gains, baselines = (np.array(v)[:, None] for v in (record.gains, record.baselines))
    return (record.signal - baselines) / gains


@pytest.mark.parametrize("name", [*ecg_files.CLINICAL, *_ARRAYS])
def test_a_recording_is_the_same_in_every_format(files: Path, name: str) -> None:
    record, wfdb = read_record(files / name), read_record(files / "w.hea")
    assert (record.leads, record.sampling_rate) == (STANDARD_LEADS, 500.0)
    np.testing.assert_allclose(_millivolts(record), SIGNAL / 1000, rtol=0, atol=_TOLERANCE_MV)
    # 2e-6: a float32 of the z-score, which the network takes.
    expected = z_score(prepare(wfdb))
    np.testing.assert_allclose(z_score(prepare(record)), expected, rtol=0, atol=2e-6)
    assert record.remarks == ()


@pytest.mark.parametrize("name", ["d.dcm", "m.xml", "s.scp"])
def test_age_and_sex_come_with_a_clinical_file(files: Path, name: str) -> None:
    record = read_record(files / name)
    assert (record.age, record.sex) == (61.0, "female")


def test_a_philips_file_that_is_not_compressed_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "p.xml").write_bytes(ecg_files.philips(SIGNAL, STANDARD_LEADS, 500, packed=False))
    np.testing.assert_array_equal(read_record(tmp_path / "p.xml").signal, SIGNAL)


@pytest.mark.parametrize("name", ["a.xml", "m.xml", "e.xml", "d.dcm", "h.edf", "i.ecg", "s.scp"])
def test_eight_leads_are_whole(tmp_path: Path, name: str) -> None:
    einthoven = SIGNAL.astype(int)
    rows = [STANDARD_LEADS.index(lead) for lead in EIGHT]
    (tmp_path / name).write_bytes(ecg_files.CLINICAL[name](SIGNAL[rows], EIGHT, 500))
    prepared = prepare(read_record(tmp_path / name))
    assert prepared.leads_missing == ()
    assert prepared.leads_derived == ("III", "aVR", "aVL", "aVF")
    np.testing.assert_array_equal(prepared.signal[2], einthoven[1] - einthoven[0])


def test_dicom_is_what_pydicom_reads(files: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    data = pydicom.data.get_testdata_file("waveform_ecg.dcm")
    for path in (Path(data), files / "d.dcm"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path)
            wanted = dataset.waveform_array(0).T / 1000  # both in uV
        record = read_record(path)
        assert record.sampling_rate == float(dataset.WaveformSequence[0].SamplingFrequency)
        np.testing.assert_allclose(_millivolts(record), wanted, rtol=0, atol=1e-6)


def test_edf_is_what_pyedflib_reads(files: Path) -> None:
    pyedflib = pytest.importorskip("pyedflib")
    with pyedflib.EdfReader(str(files / "h.edf")) as reader:
        wanted = np.stack([reader.readSignal(lead) for lead in range(12)]) / 1000
    np.testing.assert_allclose(_millivolts(read_record(files / "h.edf")), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", list(ecg_files.CLINICAL))
def test_the_content_tells_the_format_and_not_the_suffix(
    files: Path, tmp_path: Path, name: str
) -> None:
    wanted = read_record(files / name)
    for other in ("plain", "x.dat", "x.npy"):
        (tmp_path / other).write_bytes((files / name).read_bytes())
        np.testing.assert_array_equal(read_record(tmp_path / other).signal, wanted.signal)


def test_a_rate_that_is_no_whole_number_is_kept(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_bytes(ecg_files.aecg(SIGNAL, STANDARD_LEADS, 256.41))
    (tmp_path / "d.dcm").write_bytes(ecg_files.dicom(SIGNAL, STANDARD_LEADS, 256.41))
    for name in ("a.xml", "d.dcm"):
        assert read_record(tmp_path / name).sampling_rate == pytest.approx(256.41, abs=1e-3)


def test_a_lead_that_is_off_is_missing_in_ishne(tmp_path: Path) -> None:
    signal = SIGNAL.copy()
    signal[3, 10:20] = -32768
    (tmp_path / "i.ecg").write_bytes(ecg_files.ishne(signal, STANDARD_LEADS, 500))
    prepared = prepare(read_record(tmp_path / "i.ecg"))
    assert np.flatnonzero(prepared.signal[3] == -32768).tolist() == list(range(10, 20))


def test_a_wrong_checksum_is_a_remark_and_refused_if_asked(files: Path, tmp_path: Path) -> None:
    data = bytearray((files / "s.scp").read_bytes())
    data[-1] ^= 1
    (tmp_path / "s.scp").write_bytes(data)
    assert any("CRC" in remark for remark in read_record(tmp_path / "s.scp").remarks)
    with pytest.raises(RecordError, match="CRC"):
        read_record(tmp_path / "s.scp", strict=True)


def test_the_shared_clinical_files_have_their_leads_rates_and_lengths() -> None:
    folder = Path(__file__).parents[3] / "shared" / "clinical"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}")
    wanted = {
        "aecg_fda_subject1.xml": (12, 500, 5000),
        "aecg_liryc_100hz.xml": (12, 100, 1000),
        "philips_1_03.xml": (12, 500, 5500),
        "philips_1_04_01.xml": (12, 500, 5500),
        "scp_8_leads.scp": (8, 600, 6000),
    }
    for name, (leads, rate, length) in wanted.items():
        record = read_record(folder / name)
        assert (len(record.leads), record.sampling_rate, record.signal.shape[1]) == (
            leads,
            rate,
            length,
        )
    assert prepare(record).leads_missing == ("V3", "V5")  # it has V3R and V7
