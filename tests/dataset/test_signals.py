import json
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
from challenge_files import headers_below

from tfds_physionet.reading.records import MISSING, EcgRecord, RecordError, read_record
from tfds_physionet.reading.signals import (
    STANDARD_LEADS,
    prepare,
    signal_hash,
    standard_leads,
    z_score,
)

RNG = np.random.default_rng(0)


def _record(signal, *, rate=500.0, leads=STANDARD_LEADS, gains=None, baselines=None):
    return EcgRecord(
        record_id="X1",
        path=Path("X1.hea"),
        database="test",
        sampling_rate=rate,
        leads=tuple(leads),
        gains=tuple(gains or [1000.0] * len(leads)),
        baselines=tuple(baselines or [0.0] * len(leads)),
        signal=np.asarray(signal, np.int16),
    )


def _noise(leads=12, length=5000, std=200):
    return RNG.normal(0, std, (leads, length)).round()


CASES = "fs500_10s_crop fs500_6s_pad fs500_exact4096 fs500_4097 fs1000_10s fs1000_odd fs257_20s "
CASES += "fs257_5s_pad fs250_10s flat_lead all_zero fs257_flat_lead nan_sample_500 nan_sample_1000 "
CASES += "real_A0689 real_A1041 real_E00271 real_HR03961 real_JS01048"


def test_all_cases_of_the_reference_are_compared(oracle):
    cases = json.loads((oracle / "preprocess" / "resunet_dataset.json").read_text())
    assert sorted(cases) == sorted(CASES.split())


@pytest.mark.parametrize("name", CASES.split())
def test_z_scores_equal_the_reference(oracle, name):
    case = json.loads((oracle / "preprocess" / "resunet_dataset.json").read_text())[name]
    with np.load(oracle / "preprocess" / "resunet_dataset.npz") as arrays:
        raw, expected = arrays[f"{name}/raw"], arrays[f"{name}/out"]
    invalid = np.isnan(raw).any(axis=1)
    z = z_score(prepare(_record(np.where(np.isnan(raw), MISSING, raw), rate=case["fs"])))
    assert z.shape == (12, case["n_at_500"])
    start = case["crop_start"] or 0
    crop = z[:, start : start + 4096]
    crop = np.pad(crop, ((0, 0), (0, 4096 - crop.shape[1])))
    # The reference blanks a whole lead for one invalid sample; here the others go on.
    assert np.all(expected[invalid] == 0) and np.all(np.abs(z[invalid]).max(axis=1, initial=0) > 1)
    # float32 at its own rate; half an ADC unit of 200 where it is resampled.
    tolerance = 1e-5 if case["fs"] == 500 else 0.01
    np.testing.assert_allclose(crop[~invalid], expected[~invalid], rtol=0, atol=tolerance)


def test_samples_at_their_own_rate_are_kept_bit_for_bit(physionet2021):
    for path in headers_below(physionet2021)[::20]:
        record = read_record(path)
        if record.sampling_rate == 500:
            np.testing.assert_array_equal(prepare(record).signal, record.signal)


def test_z_scores_do_not_depend_on_gain_and_have_mean_0_and_std_1():
    signal = _noise()
    z = z_score(prepare(_record(signal)))
    np.testing.assert_allclose(z_score(prepare(_record(3 * signal))), z, atol=1e-5)
    np.testing.assert_allclose(z.mean(axis=1, dtype=float), 0, atol=1e-6)
    np.testing.assert_allclose(z.std(axis=1, dtype=float), 1, atol=1e-6)


@pytest.mark.parametrize("offset", [30000, -32000, 4])
def test_a_large_offset_costs_no_accuracy(offset):
    signal = _noise(std=3) + offset
    deviation = signal - signal.mean(axis=1, keepdims=True)
    exact = deviation / (signal.std(axis=1, keepdims=True) + 1e-8)
    np.testing.assert_allclose(z_score(prepare(_record(signal))), exact, rtol=0, atol=1e-5)


@pytest.mark.parametrize("rate", [500.0, 257.0, 1000.0])
def test_a_flat_lead_is_exactly_zero(rate):
    signal = _noise()
    signal[3], signal[7] = 0, -12345
    prepared = prepare(_record(signal, rate=rate))
    assert not z_score(prepared)[[3, 7]].any()
    assert prepared.lead_present.all()


def test_leads_go_by_name_in_any_case_and_unknown_ones_are_left_out():
    order = RNG.permutation(12)
    signal = _noise(14)
    leads = [STANDARD_LEADS[k].swapcase() for k in order]
    record = _record(signal, leads=[*leads[:5], "Vx", *leads[5:], "resp"])
    expected = np.delete(signal, [5, 13], axis=0)[np.argsort(order)]
    np.testing.assert_array_equal(standard_leads(record), expected)


def test_limb_leads_are_derived_from_I_and_II_with_their_gains_and_baselines():
    one, two = RNG.normal(0, 1, (2, 500))
    signal = np.round([500 * one + 70, 2000 * two - 90])
    record = _record(signal, leads=("II", "I"), gains=(500.0, 2000.0), baselines=(70.0, -90.0))
    prepared = prepare(record)
    assert prepared.lead_present.tolist() == [True] * 6 + [False] * 6
    ii, i = (signal[0] - 70) / 500, (signal[1] + 90) / 2000
    derived = np.array([ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2])
    np.testing.assert_allclose(prepared.signal[2:6] / 500, derived, atol=0.501 / 500)


@pytest.mark.parametrize("given", ["I III", "II III", "I aVF", "aVR aVL", "III aVR V1"])
def test_limb_leads_are_derived_from_any_two(given):
    one, two = np.round(RNG.normal(0, 200, (2, 500))) * 6  # so that all six are whole numbers
    limb = {"I": one, "II": two, "III": two - one, "aVR": -(one + two) / 2}
    limb |= {"aVL": one - two / 2, "aVF": two - one / 2, "V1": one}
    names = given.split()
    record = _record([limb[name] for name in names], leads=names)
    prepared = prepare(record)
    np.testing.assert_array_equal(prepared.signal[:6], [limb[name] for name in STANDARD_LEADS[:6]])
    assert set(prepared.leads_derived) == set(STANDARD_LEADS[:6]) - set(names)
    assert set(prepared.leads_missing) == set(STANDARD_LEADS[6:]) - set(names)


def test_a_derived_lead_that_16_bits_do_not_hold_is_scaled_and_not_clipped():
    one, two = np.round(RNG.uniform(-32000, 32000, (2, 500)))
    prepared = prepare(_record([one, two], leads=("I", "II")))
    three = two - one
    assert np.abs(three).max() > 40000
    expected = (three - three.mean()) / three.std()
    np.testing.assert_allclose(z_score(prepared)[2], expected, atol=1e-4)


def test_a_lead_with_a_negative_gain_is_the_same_ecg():
    signal = _noise()
    signal[7, 5] = MISSING
    gains = [1000.0, -1000.0, 500.0, -500.0] * 3
    baselines = [0.0, 10.0, -20.0, 30.0] * 3
    turned = np.where(signal == MISSING, signal, signal * np.sign(gains)[:, None])
    twin = _record(
        turned, gains=np.abs(gains).tolist(), baselines=(np.sign(gains) * baselines).tolist()
    )
    record = _record(signal, gains=gains, baselines=baselines)
    np.testing.assert_array_equal(z_score(prepare(record)), z_score(prepare(twin)))
    assert signal_hash(standard_leads(record)) == signal_hash(standard_leads(twin))
    # Derived leads too, whichever of the two is turned.
    limb = [
        _record(r.signal[:2], leads=("I", "II"), gains=r.gains[:2], baselines=r.baselines[:2])
        for r in (record, twin)
    ]
    np.testing.assert_array_equal(*(z_score(prepare(r)) for r in limb))


def test_a_prepared_signal_says_which_leads_were_derived_and_which_are_missing():
    signal = _noise(4)
    signal[3] = MISSING
    prepared = prepare(_record(signal, leads=("Lead I", "DII", "C2", "V4")))
    assert prepared.leads_derived == ("III", "aVR", "aVL", "aVF")
    assert prepared.leads_missing == ("V1", "V3", "V4", "V5", "V6")
    assert prepare(_record(_noise())).leads_missing == ()


def test_statistics_of_long_records_do_not_depend_on_the_pieces_they_are_taken_in():
    signal = np.resize(_noise(2, 9973), (2, 700_001)) + 3000
    signal[0, ::7] = MISSING
    prepared = prepare(_record(signal, leads=("V1", "V2")))
    kept = np.ma.masked_equal(signal, MISSING)
    np.testing.assert_array_equal(prepared.lead_mean[6:8], kept.mean(axis=1).astype(np.float32))
    np.testing.assert_allclose(prepared.lead_std[6:8], kept.std(axis=1), rtol=1e-7)


def test_an_absent_lead_is_missing_throughout_with_mean_0_and_std_1():
    prepared = prepare(_record(_noise(2), leads=("V1", "V2")))
    absent = ~prepared.lead_present
    assert absent.sum() == 10
    assert np.all(prepared.signal[absent] == MISSING)
    assert not prepared.lead_mean[absent].any() and np.all(prepared.lead_std[absent] == 1)
    assert not z_score(prepared)[absent].any()


@pytest.mark.parametrize("rate", [500.0, 1000.0, 250.0, 257.0])
def test_missing_samples_stay_missing_and_change_nothing_else(rate):
    length = int(rate * 4)
    signal = _noise(length=length) + 500
    gone = signal.copy()
    gone[2, length // 2 : length // 2 + 3] = MISSING
    z = z_score(prepare(_record(gone, rate=rate)))
    prepared = prepare(_record(gone, rate=rate))
    rows, times = np.nonzero(prepared.signal == MISSING)
    assert set(rows) == {2}
    places = np.arange(prepared.signal.shape[1]) * rate / 500  # of the new samples among the old
    expected = np.flatnonzero(gone[2, np.rint(places).astype(int).clip(max=length - 1)] == MISSING)
    assert set(expected) <= set(times)
    assert np.abs(places[times] - (length // 2 + 1)).max() <= 2
    assert not z[2, times].any()
    expected = z_score(prepare(_record(signal, rate=rate)))
    np.testing.assert_array_equal(np.delete(z, 2, axis=0), np.delete(expected, 2, axis=0))
    kept = gone[2][gone[2] != MISSING]
    assert prepared.lead_mean[2] == pytest.approx(kept.mean())
    assert prepared.lead_std[2] == pytest.approx(kept.std())


@pytest.mark.parametrize("options", [{}, {"sampling_rate": 400.0}, {"band_hz": (1.0, 47.0)}])
def test_missing_samples_do_not_spread_when_a_record_is_resampled_or_filtered(options):
    signal = np.tile(300 * np.sin(2 * np.pi * 5 * np.arange(2000) / 250), (12, 1)).round()
    gone = signal.copy()
    gone[:, 1000] = MISSING  # at a zero crossing, so that its lead's mean is what it was
    z, expected = (z_score(prepare(_record(x, rate=250.0), **options)) for x in (gone, signal))
    assert np.abs(z - expected)[z != 0].max() < 0.02


@pytest.mark.parametrize("rate", [400.0, 100.0])
def test_another_rate_keeps_the_waves_and_has_statistics_of_its_own_samples(rate):
    time = np.arange(5000) / 500
    signal = np.tile(1000 * np.sin(2 * np.pi * 5 * time) + 300, (12, 1)).round()
    prepared = prepare(_record(signal), sampling_rate=rate)
    assert prepared.signal.shape == (12, 10 * rate)
    expected = 1000 * np.sin(2 * np.pi * 5 * np.arange(10 * rate) / rate) + 300
    np.testing.assert_allclose(prepared.signal[0], expected, atol=2)
    np.testing.assert_allclose(prepared.lead_mean, prepared.signal.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(prepared.lead_std, prepared.signal.std(axis=1), rtol=1e-6)


def test_the_band_pass_equals_scipy_s_zero_phase_filter():
    time = np.arange(5000) / 500
    signal = (_noise() + 800 * np.sin(2 * np.pi * 0.1 * time) + 5000).round()
    prepared = prepare(_record(signal), band_hz=(1.0, 47.0))
    b, a = scipy.signal.butter(3, (1, 47), "bandpass", fs=500)
    expected = scipy.signal.filtfilt(b, a, signal - signal.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(prepared.signal, expected, atol=0.51)
    np.testing.assert_allclose(prepared.lead_std, prepared.signal.std(axis=1), rtol=1e-6)


def test_short_records_are_prepared_in_every_form():
    for length in (1, 5, 20):
        for options in ({}, {"sampling_rate": 400.0}, {"band_hz": (1.0, 47.0)}):
            prepared = prepare(_record(_noise(length=length)), **options)
            assert np.isfinite(z_score(prepared)).all()


def test_a_record_without_leads_or_samples_to_use_is_refused():
    with pytest.raises(RecordError, match="X1.hea: leads: none of RESP, PLETH"):
        prepare(_record(_noise(2), leads=("RESP", "PLETH")))
    with pytest.raises(RecordError, match="every sample"):
        prepare(_record(np.full((12, 50), MISSING)))


def test_the_hash_tells_signals_apart_and_not_the_order_of_leads():
    signal = _noise()
    shuffled = _record(signal[::-1], leads=STANDARD_LEADS[::-1])
    assert signal_hash(standard_leads(shuffled)) == signal_hash(standard_leads(_record(signal)))
    signal[5, 77] += 1
    assert signal_hash(standard_leads(shuffled)) != signal_hash(standard_leads(_record(signal)))
