"""The quality gate finds what was put into clean signals, and nothing in them before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import recall
from tfds_physionet.leads import STANDARD_LEADS
from tfds_physionet.quality.findings import find, quality
from tfds_physionet.reading.finding import find_records
from tfds_physionet.reading.records import MISSING, EcgRecord, read_record
from tfds_physionet.simulate import write_records

TIMES = np.arange(5000) / 500


def _record(change=lambda mv: mv, gain=1000.0) -> EcgRecord:
    beats = np.exp(-(((TIMES % 0.8) - 0.4) ** 2) / 0.0002)
    noise = np.random.default_rng(0).normal(0, 0.01, (12, 5000))
    mv = np.linspace(0.5, 1.6, 12)[:, None] * beats + noise
    mv[2] = mv[1] - mv[0]
    signal = np.rint(change(mv) * 1000).astype(np.int16)
    same = dict(record_id="a", path=Path("a.hea"), database="d", sampling_rate=500.0)
    gains, zeros = (gain,) * 12, (0.0,) * 12
    return EcgRecord(**same, leads=STANDARD_LEADS, gains=gains, baselines=zeros, signal=signal)


def _put(values, at=slice(None)):
    def change(mv):
        mv = mv.copy()
        mv[6, at] = values(mv[6, at])
        return mv

    return change


def test_a_clean_record_is_good():
    assert find(_record()) == [] and quality([]) == "good"


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("flat", _put(lambda x: 0 * x, slice(1000, 1501))),
        ("clipped", _put(lambda x: np.maximum(x, np.median(x)))),
        ("missing", _put(lambda x: 0 * x + MISSING / 1000, slice(0, 50))),
        ("repeated", _put(lambda x: np.concatenate([x[:-750], x[:750]]))),
        ("repeated", _put(lambda x: np.interp(np.arange(5000), np.arange(0, 5000, 2), x[::2]))),
        ("hum", _put(lambda x: x + 0.2 * np.sin(2 * np.pi * 50 * TIMES))),
        ("wander", _put(lambda x: x + np.sin(2 * np.pi * 0.3 * TIMES))),
        ("noise", _put(lambda x: x + np.random.default_rng(1).normal(0, 0.2, x.shape))),
    ],
)
def test_a_defect_is_found_in_its_lead_alone(word, change):
    found = find(_record(change))
    assert word in {f.finding for f in found} and {f.lead for f in found} == {"V1"}


def test_a_unit_wrong_by_1000_makes_a_record_unusable():
    found = find(_record(gain=1.0))
    assert "unit" in {f.finding for f in found} and quality(found) == "unusable"


def test_exchanged_limb_leads_are_named_with_their_repair():
    found = find(_record(lambda mv: mv[[1, 0, 2, *range(3, 12)]]))
    assert [(f.finding, f.value) for f in found] == [("einthoven", "II I III")]


def test_what_is_missing_between_equal_samples_makes_no_flat_stretch():
    def gap(x):
        x = 0 * x
        x[300:360] = MISSING / 1000
        return x

    found = find(_record(_put(gap, slice(1000, 1660))))  # 0.6 s, missing for 0.12 s, and 0.6 s
    assert {f.finding for f in found} == {"missing"}


def test_eight_leads_are_whole():
    record = _record()
    kept = [0, 1, *range(6, 12)]
    values = {
        name: tuple(getattr(record, name)[row] for row in kept)
        for name in ("leads", "gains", "baselines")
    }
    assert find(replace(record, signal=record.signal[kept], **values)) == []


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> list[EcgRecord]:
    """Twenty simulated records."""
    folder = tmp_path_factory.mktemp("hearts")
    write_records(folder, count=20, seed=5, workers=1, progress=False)
    return [read_record(found) for found in find_records(folder).records]


def test_simulated_records_are_good_and_their_defects_are_found(hearts: list[EcgRecord]) -> None:
    assert not any(find(record) for record in hearts)
    for word, size, count in recall(hearts):
        least = {"arm_swap": 0.7, "chest_order": 0.7}.get(word, 1.0)
        if (word, size) in _TOO_SMALL:
            assert count == 0, (word, size)
        else:
            assert count >= least * len(hearts), (word, size, count)


_TOO_SMALL = {
    ("flat", "0.5 s"),
    ("hum", "0.03 mV"),
    ("wander", "0.3 mV"),
    ("repeated", "0.8 s come again"),
    ("noise", "0.05 mV standard deviation, white"),
    ("noise", "0.1 mV standard deviation, white"),
}
