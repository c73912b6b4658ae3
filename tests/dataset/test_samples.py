import numpy as np
import pytest
import scipy.io
import soundfile
import wfdb
from wfdb_files import SIGNAL, write_wfdb

from tfds_physionet.reading.records import MISSING, RecordError, read_record
from tfds_physionet.reading.signals import STANDARD_LEADS, prepare, z_score

BITS = {"80": 8, "212": 12, "16": 16, "24": 24, "32": 32}
RNG = np.random.default_rng(1)


def _by_wfdb(folder, signal, form, *, gain=1000.0, frames=None):
    """Writes int [lead, time] through wfdb in a storage format."""
    leads = list(STANDARD_LEADS[: len(signal)])
    samples = {"d_signal": signal.T} if frames is None else {"e_d_signal": list(signal)}
    record = wfdb.Record(
        record_name="X1",
        n_sig=len(leads),
        fs=500 if frames is None else 500 / frames,
        sig_len=signal.shape[1] // (frames or 1),
        samps_per_frame=[frames or 1] * len(leads),
        fmt=[form] * len(leads),
        adc_gain=[gain] * len(leads),
        baseline=[0] * len(leads),
        units=["mV"] * len(leads),
        sig_name=leads,
        file_name=["X1.dat"] * len(leads),
        **samples,
    )
    record.set_d_features() if frames is None else record.set_d_features(expanded=True)
    record.set_defaults()
    record.wrsamp(expanded=frames is not None, write_dir=str(folder))
    return folder / "X1.hea"


@pytest.mark.parametrize("form", BITS)
@pytest.mark.parametrize("length", [1, 2, 3, 7, 241])
@pytest.mark.parametrize("num_leads", [1, 3, 12])
def test_every_storage_format_is_read_as_wfdb_reads_it(tmp_path, form, length, num_leads):
    limit = min(2 ** (BITS[form] - 1) - 1, 32000)
    signal = RNG.integers(-limit, limit, (num_leads, length), endpoint=True)
    path = _by_wfdb(tmp_path, signal, form)
    record = read_record(path, strict=True)
    np.testing.assert_array_equal(record.signal, signal)
    assert record.remarks == () and set(record.scales) == {1.0} and set(record.offsets) == {0.0}


@pytest.mark.parametrize("form", BITS)
def test_the_invalid_sample_of_every_format_is_missing(tmp_path, form):
    signal = RNG.integers(-100, 100, (2, 30))
    signal[1, 7] = -(2 ** (BITS[form] - 1))
    record = read_record(_by_wfdb(tmp_path, signal, form), strict=True)
    signal[1, 7] = MISSING
    np.testing.assert_array_equal(record.signal, signal)


@pytest.mark.parametrize("form", ["61", "160", "310", "311"])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 241])
@pytest.mark.parametrize("num_leads", [1, 3, 12])
def test_any_bytes_of_a_format_that_wfdb_does_not_write_are_read_as_it_reads_them(
    tmp_path, form, length, num_leads
):
    count = num_leads * length
    data = RNG.integers(0, 256, 2 * count if form in ("61", "160") else -(-count // 3) * 4)
    if form == "311":
        data[3::4] &= 63  # the last two bits of a block are not used
    path = write_wfdb(
        tmp_path,
        data.astype(np.uint8).tobytes(),
        record_line=f"X1 {num_leads} 500 {length}",
        form=form,
        leads=STANDARD_LEADS[:num_leads],
    )
    expected = wfdb.rdrecord(str(path.with_suffix("")), physical=False).d_signal.T
    if form in ("310", "311"):
        expected = np.where(expected == -512, MISSING, expected)
    np.testing.assert_array_equal(read_record(path).signal, expected)


def test_format_8_is_read_as_wfdb_reads_it(tmp_path):
    differences = RNG.integers(-128, 127, (100, 2)).astype(np.int8)
    lines = [f"X1.dat 8 1000/mV 16 0 {first} 0 0 {lead}" for first, lead in ((50, "I"), (-7, "II"))]
    path = write_wfdb(tmp_path, differences.tobytes(), record_line="X1 2 500 100", lines=lines)
    expected = wfdb.rdrecord(str(path.with_suffix("")), physical=False).d_signal.T
    np.testing.assert_array_equal(read_record(path).signal, expected)


@pytest.mark.parametrize("form, subtype", [("508", "PCM_S8"), ("516", "PCM_16"), ("524", "PCM_24")])
@pytest.mark.parametrize("per_frame", [1, 4])
def test_flac_is_read_as_wfdb_reads_it(tmp_path, form, subtype, per_frame):
    bits = int(subtype.strip("PCM_S"))
    signal = RNG.integers(-120, 120, (6, 240)).astype(np.int32)
    soundfile.write(tmp_path / "X1.dat", signal.T << (32 - bits), 500, subtype, format="FLAC")
    form = f"{form}x{per_frame}" if per_frame > 1 else form
    lines = [
        f"X1.dat {form} 1000/mV 16 0 {row[0]} {row.sum()} 0 {lead}"
        for row, lead in zip(signal, STANDARD_LEADS, strict=False)
    ]
    path = write_wfdb(
        tmp_path,
        (tmp_path / "X1.dat").read_bytes(),
        record_line=f"X1 6 {500 / per_frame:g} {240 // per_frame}",
        lines=lines,
    )
    record = read_record(path, strict=True)
    np.testing.assert_array_equal(record.signal, signal)
    assert record.sampling_rate == 500
    other = wfdb.rdrecord(str(path.with_suffix("")), physical=False, smooth_frames=False)
    np.testing.assert_array_equal(record.signal, np.array(other.e_d_signal))


@pytest.mark.parametrize("form, bits", [("24", 24), ("32", 32)])
def test_numbers_of_more_bits_fit_16_with_a_scale_and_an_offset(tmp_path, form, bits):
    mv = RNG.normal(0, 0.2, (12, 3000)) + np.linspace(-3, 3, 12)[:, None]
    wfdb.wrsamp(
        "X1", 500, ["mV"] * 12, list(STANDARD_LEADS), mv.T, fmt=[form] * 12, write_dir=str(tmp_path)
    )
    record = read_record(tmp_path / "X1", strict=True)
    stored = wfdb.rdrecord(str(tmp_path / "X1"), physical=False, return_res=64).d_signal.T
    assert np.abs(stored).max() > 2 ** (bits - 3)
    kept = record.signal * np.array(record.scales)[:, None] + np.array(record.offsets)[:, None]
    error = np.abs(kept - stored).max(axis=1)
    assert np.all(error <= 1e-4 * stored.std(axis=1))
    gains, baselines = (np.array(x)[:, None] for x in (record.gains, record.baselines))
    np.testing.assert_allclose((record.signal - baselines) / gains, mv, atol=1e-4 * 0.2)
    expected = (mv - mv.mean(axis=1, keepdims=True)) / mv.std(axis=1, keepdims=True)
    np.testing.assert_allclose(z_score(prepare(record)), expected, atol=2e-4)


def test_whole_numbers_that_16_bits_hold_after_a_shift_are_kept_exactly(tmp_path):
    signal = SIGNAL.astype(np.int64) + 1_000_000
    record = read_record(_by_wfdb(tmp_path, signal, "24"))
    assert set(record.scales) == {1.0}
    np.testing.assert_array_equal(record.signal + np.array(record.offsets)[:, None], signal)


def test_a_lead_that_16_bits_hold_badly_is_remarked_on(tmp_path):
    signal = RNG.integers(-20, 20, (2, 1000))
    signal[0, 500] = 8_000_000
    assert "I" in read_record(_by_wfdb(tmp_path, signal, "24")).remarks[0]


@pytest.mark.parametrize("per_frame, rate", [(4, "125"), (240, "2.0833333"), (500, "1")])
def test_several_samples_a_frame_are_samples_at_their_own_rate(tmp_path, per_frame, rate):
    frames = 6000 // per_frame
    signal = RNG.integers(-900, 900, (12, frames * per_frame)).astype("<i2")
    signal[1, 3] = MISSING
    data = signal.reshape(12, frames, per_frame).transpose(1, 0, 2).tobytes()
    path = write_wfdb(tmp_path, data, record_line=f"X1 12 {rate} {frames}", form=f"16x{per_frame}")
    record = read_record(path)
    assert record.sampling_rate == 500
    np.testing.assert_array_equal(record.signal, signal)
    other = wfdb.rdrecord(str(path.with_suffix("")), physical=False, smooth_frames=False)
    np.testing.assert_array_equal(record.signal, np.array(other.e_d_signal))


def test_leads_of_two_rates_come_at_that_of_most_and_nothing_is_averaged(tmp_path):
    slow = 300 * np.sin(2 * np.pi * 5 * np.arange(1000) / 250)
    fast = 300 * np.sin(2 * np.pi * 5 * np.arange(2000) / 500)
    names = ["V1", "I", "II", "III", "Resp"]
    frames = (
        np.column_stack([slow, *[fast.reshape(1000, 2)] * 3, np.arange(1000)]).round().astype("<i2")
    )
    frames[100, 0] = MISSING
    lines = [
        f"X1.dat {form} 1000/{unit} 16 0 0 0 0 {name}"
        for name, form, unit in zip(
            names, ["16", "16x2", "16x2", "16x2", "16"], ["mV"] * 5, strict=True
        )
    ]
    record = read_record(
        write_wfdb(tmp_path, frames.tobytes(), record_line="X1 5 250 1000", lines=lines)
    )
    assert (record.sampling_rate, record.leads) == (500, ("V1", "I", "II", "III"))
    np.testing.assert_array_equal(record.signal[1], fast.round())
    gone = record.signal[0] == MISSING
    assert (
        gone.any() and np.flatnonzero(gone).tolist() == [199, 200, 201][: gone.sum()] or gone[200]
    )
    np.testing.assert_allclose(record.signal[0, 300:1800], fast[300:1800], atol=3)
    assert record.remarks == (
        "channels that were passed over: Resp (250 Hz)",
        "leads that were resampled to 500 Hz: V1 (250 Hz)",
    )


def test_a_channel_that_comes_late_is_put_in_time_as_wfdb_does(tmp_path):
    lines = [
        f"X1.dat 16:{late} 1000/mV 16 0 0 0 0 {lead}"
        for late, lead in zip((0, 3) * 6, STANDARD_LEADS, strict=True)
    ]
    path = write_wfdb(tmp_path, lines=lines)
    expected = wfdb.rdrecord(str(path.with_suffix("")), physical=False).d_signal.T
    np.testing.assert_array_equal(read_record(path).signal, expected)


def test_leads_in_several_files_of_several_formats_are_read(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"val": SIGNAL[:5]}, format="4")
    scipy.io.savemat(tmp_path / "b.mat", {"val": SIGNAL[5:9].astype(float)})
    files = [("a.mat", "16+24")] * 5 + [("b.mat", "16+24")] * 4 + [("X1.dat", "16")] * 3
    lines = [
        f"{file} {form} 1000/mV 16 0 0 0 0 {lead}"
        for (file, form), lead in zip(files, STANDARD_LEADS, strict=True)
    ]
    path = write_wfdb(tmp_path, SIGNAL[9:].T.astype("<i2").tobytes(), lines=lines)
    np.testing.assert_array_equal(read_record(path).signal, SIGNAL)


def _write_segment(folder, name, signal, gain="1000(0)/mV"):
    write_wfdb(
        folder,
        signal.T.astype("<i2").tobytes(),
        name=name,
        file=f"{name}.dat",
        record_line=f"{name} 12 500 {signal.shape[1]}",
        gain=gain,
    )


def test_segments_of_a_fixed_layout_are_one_record(tmp_path):
    _write_segment(tmp_path, "a", SIGNAL[:, :100])
    _write_segment(tmp_path, "b", 2 * SIGNAL[:, 100:] + 10, gain="2000(10)/mV")
    text = "X1/3 12 500 250\na 100\n~ 10\nb 140\n# Patient ID: 9\n"
    (tmp_path / "X1.hea").write_text(text)
    record = read_record(tmp_path / "X1")
    assert (record.record_id, record.patient, record.age) == ("X1", "9", 60.0)
    expected = np.insert(SIGNAL, [100] * 10, MISSING, axis=1)
    np.testing.assert_array_equal(record.signal, expected)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("X1/2 12 500 0\nlayout 0\na 240\n", "layout varies"),
        ("X1/2 12 500 999\na 240\na 240\n", "has 480|have 480"),
        ("X1/2 12 250 480\na 240\na 240\n", "another than a's"),
        ("X1/2 12 500 480\na 240\nX1 240\n", "segments of its own"),
        ("X1/1 12 500 240\nX1 240\n", "segments of its own"),
        ("X1/2 12 500 340\na 240\na 100\n", "another rate or length"),
        ("X1/2 12 500 480\na 240\n../a 240\n", "not in the header's folder"),
        ("X1/2 12 500\n~ 99999999999999\na 240\n", "too many"),
        ("X1/2000 12 500\n" + "a 240\n" * 2000, "at most 1024"),
    ],
)
def test_segments_that_do_not_fit_are_refused(tmp_path, text, reason):
    _write_segment(tmp_path, "a", SIGNAL)
    (tmp_path / "X1.hea").write_text(text)
    with pytest.raises(RecordError, match=reason):
        read_record(tmp_path / "X1")
