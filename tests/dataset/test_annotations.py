import math

import pytest

from tfds_physionet.diagnoses import decode, encode
from tfds_physionet.reading.annotations import read_annotations

BOTH = ("426783006", "164889003")


@pytest.mark.parametrize(
    "remark",
    [
        "Dx: 426783006,164889003",
        "Dx: 426783006, 164889003,",
        "Dx: 426783006;164889003",
        "Dx: 426783006|164889003",
        "Dx: 426783006 164889003",
        "Dx: 426783006\t164889003",
        "Dx: 426783006，164889003",
        "Dx：426783006、164889003",
        "Dx: [426783006, 164889003]",
        "Dx: ['426783006', '164889003']",
        'Dx: "426783006","164889003"',
        "Dx: {426783006} (164889003)",
        "Dx : 426783006,164889003",
        "DX=426783006,164889003",
        "Dx 426783006,164889003",
        "Dx: 426783006.0,164889003.0",
        "Dx: ４２６７８３００６,164889003",
        "Dx: 426783006/164889003",
        "Dx: 426783006+164889003",
        "Dx: 426783006 & 164889003",
        "Diagnosis: 426783006,164889003",
        "Diagnoses: 426783006,164889003",
        "Dx: NaN, 426783006, none, 164889003, 426783006",
    ],
)
def test_codes_are_found_in_every_form(remark):
    known = read_annotations(["Age: 60", remark])
    assert (known.codes, known.unread_diagnoses) == (BOTH, ())


@pytest.mark.parametrize(
    "text, names",
    [
        ("AF NSR", ("AF", "NSR")),
        ("Atrial Fibrillation; sinus rhythm", ("AF", "NSR")),
        ("426783006 Sinus rhythm", ("NSR",)),
        ("164947007 prolonged PR interval", ("LPR",)),
        ("first PR then QRS", ()),
        ("SA block", ()),
        ("SNOMED:426783006", ("NSR",)),
    ],
)
def test_words_are_taken_as_names_and_never_out_of_a_sentence(text, names):
    assert sorted(decode(encode(read_annotations([f"Dx: {text}"]).codes))) == sorted(names)


def test_what_is_neither_a_code_nor_a_known_word_is_told():
    known = read_annotations(["Dx: NORM, SR, 426783006, STD, old infarct, 42, 4.26783e8"])
    assert known.codes == ("NORM", "SR", "426783006", "STD", "old infarct", "42", "4.26783e8")
    assert known.unread_diagnoses == ("NORM", "SR", "old infarct", "42", "4.26783e8")


@pytest.mark.parametrize(
    "remark", ["Dx:", "Dx: NaN", "Dx: []", "Dx: Unknown", "Rx: 1", "Dxx: 426783006"]
)
def test_no_diagnosis_is_none(remark):
    assert read_annotations([remark]).codes == ()


@pytest.mark.parametrize(
    "text, years",
    [
        ("61", 61.0),
        ("61.5", 61.5),
        ("61,5", 61.5),
        ("0", 0.0),
        (">89", 89.0),
        ("> 89", 89.0),
        ("≥90", 90.0),
        ("90+", 90.0),
        ("089Y", 89.0),
        ("018M", 1.5),
        ("61 years", 61.0),
        ("61 years old", 61.0),
        ("61y", 61.0),
        ("'61'", 61.0),
        ("18 months", 1.5),
        ("300", math.nan),
        ("-1", math.nan),
        ("999", math.nan),
        ("61 m", math.nan),
        ("NaN", math.nan),
        ("61-65", math.nan),
        ("", math.nan),
    ],
)
def test_ages_are_years_of_a_person_or_unknown(text, years):
    assert read_annotations([f"Age: {text}"]).age == pytest.approx(years, nan_ok=True)


@pytest.mark.parametrize(
    "remark, word",
    [
        ("Sex: F", "female"),
        ("sex : 'Male'", "male"),
        ("Gender: Woman", "female"),
        ("Sex: 1", "unknown"),
    ],
)
def test_sexes_are_read_in_words(remark, word):
    assert read_annotations([remark]).sex == word


@pytest.mark.parametrize(
    "remark, name",
    [
        ("Patient ID: 7", "7"),
        ("patient_id=7.0", "7"),
        ("PatientID: p 12", "p 12"),
        ("Subject ID: 10001725", "10001725"),
        ("Patient ID: NaN", ""),
        ("Patient:", ""),
        ("Impatient ID: 7", ""),
    ],
)
def test_the_patient_is_told_by_the_header(remark, name):
    assert read_annotations(["Age: 60", remark]).patient == name
