import itertools

import numpy as np
import pytest

from tfds_physionet.leads import STANDARD_LEADS, derivation, lead_rows


def _spelled(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.format(name) for name in STANDARD_LEADS)


@pytest.mark.parametrize(
    "names",
    [
        _spelled("{}"),
        tuple(name.lower() for name in STANDARD_LEADS),
        tuple(name.upper() for name in STANDARD_LEADS),
        _spelled("Lead {}"),
        _spelled("ECG {}"),
        _spelled("ecg_{}"),
        _spelled("ECG-{}"),
        _spelled("EKG Lead {}"),
        _spelled("MDC_ECG_LEAD_{}"),
        _spelled("{} (mV)"),
        _spelled("{}[uV]"),
        _spelled("{}, µV"),
        _spelled("'{}'"),
        _spelled(" {} "),
        ("DI", "DII", "DIII", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"),
        ("D1", "D2", "D3", "AVR", "AVL", "AVF", "C1", "C2", "C3", "C4", "C5", "C6"),
        (
            "Ⅰ",
            "Ⅱ",
            "Ⅲ",
            "a VR",
            "aV-L",
            "aV_F",
            "V 1",
            "V-2",
            "v_3",
            "V4",
            "Lead C5",
            "MDC_ECG_LEAD_C6",
        ),
    ],
)
def test_twelve_leads_are_found_in_the_field_s_spellings(names):
    assert lead_rows(names) == {lead: (row,) for row, lead in enumerate(STANDARD_LEADS)}


@pytest.mark.parametrize(
    "name",
    ["-aVR", "Lead -aVR", "MDC_ECG_LEAD_-AVR", "MDC_ECG_LEAD_AVRneg", "V3R", "V7", "V8", "C7", "IV"]
    + [
        "I-II",
        "I II",
        "II+III",
        "V1-V2",
        "VR",
        "MLII",
        "D4",
        "ECG",
        "Lead 1",
        "ECG1",
        "resp",
        "",
        "1",
    ],
)
def test_other_names_are_no_standard_lead(name):
    assert lead_rows((name, "V6")) == {"V6": (1,)}


def test_of_leads_of_one_name_the_plain_one_comes_first():
    names = ("Lead I", "I", "i", "II", "II")
    assert lead_rows(names) == {"I": (1, 2, 0), "II": (3, 4)}


def test_electrodes_of_an_eeg_are_no_chest_leads():
    assert lead_rows(("C3", "C4")) == {}
    assert lead_rows(("C3", "C4", "O1", "ECG II")) == {"II": (3,)}
    assert lead_rows(("II", "C3", "C4")) == {"II": (0,), "V3": (1,), "V4": (2,)}


def test_any_two_limb_leads_give_the_others_exactly():
    one, two = np.random.default_rng(0).normal(size=(2, 50))
    leads = {"I": one, "II": two, "III": two - one, "aVR": -(one + two) / 2}
    leads |= {"aVL": one - two / 2, "aVF": two - one / 2}
    for pair in itertools.combinations(leads, 2):
        for wanted in set(leads) - set(pair):
            sources, weights = derivation(wanted, pair)
            made = weights[0] * leads[sources[0]] + weights[1] * leads[sources[1]]
            np.testing.assert_allclose(made, leads[wanted], atol=1e-12)


def test_chest_leads_and_single_limb_leads_give_nothing():
    assert derivation("V1", STANDARD_LEADS) is None
    assert derivation("III", ("II", "V1", "V2")) is None
