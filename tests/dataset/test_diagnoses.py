import csv

import numpy as np
import pytest

from tfds_physionet import diagnoses


def test_classes_and_rewards_are_the_challenge_s_own(challenge_labels):
    with open(challenge_labels / "weights.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert ["|".join(d.codes) for d in diagnoses.DIAGNOSES] == header[1:]
    np.testing.assert_array_equal(diagnoses.REWARDS, [[float(v) for v in row[1:]] for row in rows])


def test_abbreviations_and_annotating_databases_match_the_challenge_s_counts(challenge_labels):
    with open(challenge_labels / "dx_mapping_scored.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    databases = list(rows[0])[3:11]
    assert len(databases) == len(diagnoses.DATABASES)
    counts = np.zeros(diagnoses.ANNOTATED.shape, int)
    for row in rows:
        k = diagnoses.class_index(row["SNOMEDCTCode"])
        assert k == diagnoses.class_index(row["Abbreviation"])
        counts[k] += [int(row[database]) for database in databases]
    np.testing.assert_array_equal(diagnoses.ANNOTATED, counts > 0)


def test_there_are_26_distinct_classes_and_30_codes():
    assert diagnoses.NUM_CLASSES == len(set(diagnoses.CLASS_NAMES)) == 26
    codes = [code for d in diagnoses.DIAGNOSES for code in d.codes]
    assert len(codes) == len(set(codes)) == 30
    assert diagnoses.CLASS_NAMES[diagnoses.SINUS_RHYTHM] == "NSR"


@pytest.mark.parametrize("name", diagnoses.CLASS_NAMES)
def test_each_class_survives_encoding_and_decoding(name):
    diagnosis = diagnoses.DIAGNOSES[diagnoses.CLASS_NAMES.index(name)]
    for code in diagnosis.codes:
        assert diagnoses.decode(diagnoses.encode([code])) == (name,)


def test_merged_codes_give_one_class_and_unscored_codes_none():
    labels = diagnoses.encode(["284470004", "63593006", "164884008", "NaN", ""])
    assert labels.dtype == np.uint8
    assert diagnoses.decode(labels) == ("PAC",)


def test_words_of_early_releases_count_as_their_class():
    words = ["Normal", "I-AVB", "RBBB", "STD"]
    assert diagnoses.decode(diagnoses.encode(words)) == ("RBBB", "IAVB", "NSR")


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match=r"expected \(26,\)"):
        diagnoses.decode(np.zeros(24))


def test_rewards_are_symmetric_and_cannot_be_changed_by_accident():
    np.testing.assert_array_equal(diagnoses.REWARDS, diagnoses.REWARDS.T)
    with pytest.raises(ValueError, match="read-only"):
        diagnoses.REWARDS[0, 0] = 0
