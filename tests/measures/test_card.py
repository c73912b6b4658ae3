"""The model card tells what is known, and what an author must add."""

import json
import re

import numpy as np
import pytest

from resunet_lc_jax.measures.calibration import Temperatures
from resunet_lc_jax.measures.card import build_card, format_card
from resunet_lc_jax.measures.predictions import Predictions
from resunet_lc_jax.measures.report import build_report
from tfds_physionet.diagnoses import CLASS_NAMES
from tfds_physionet.files import write_json


def _split(labels, database, sexes):
    return {
        "records": len(labels),
        "patients": len(labels),
        "databases": {database: len(labels)},
        "sexes": sexes,
        "age": {"quartiles": [40.0, 55.0, np.nan], "unknown": 3},
        "classes": {
            name: {"positives": int(labels[:, k].sum()), "prevalence": float(labels[:, k].mean())}
            for k, name in enumerate(CLASS_NAMES)
        },
    }


@pytest.fixture(scope="module")
def card():
    rng = np.random.default_rng(0)
    labels = rng.random((120, 26)) < 0.2
    labels[:, 4] = False
    scores = 0.5 * rng.random(labels.shape) + 0.4 * labels
    names = np.arange(120).astype(str)
    predictions = Predictions(
        names,
        names,
        np.full(120, "ptb-xl"),
        labels,
        scores,
        scores >= 0.4,
        np.full(26, 0.4),
        np.where(np.arange(120) < 60, 30.0, 70.0),
        np.where(np.arange(120) % 2, "male", "female"),
    )
    about = {"network": "resunet_lc", "step": 1200, "split": "test", "thresholds": "f1"}
    about["patients_unknown"] = "patients unknown of 400 records"
    fitted = Temperatures.fit(labels, scores)
    report = build_report(predictions, replicates=20, about=about, temperatures=fitted)
    records = {
        "fingerprint": "f00",
        "found": 407,
        "excluded": {"signal: is missing": 4, "gain: is ..": 3},
        "used": 400,
        "remarks": {"leads swapped": 2},
        "without_split": 10,
        "splits": {
            "train": _split(labels, "georgia", {"unknown": 120}),
            "validation": _split(labels, "georgia", {"unknown": 120}),
            "test": _split(labels, "ptb-xl", {"female": 60, "male": 60}),
        },
        "notes": ["patients unknown of 400 records"],
    }
    training = {
        "parameters": 123_456,
        "config": {key: {"name": key} for key in ("model", "data", "train", "loss", "augment")}
        | {"seed": 7},
        "starts": [{"devices": ["cpu", "cpu"]}],
        "hours": None,
    }
    notes = {"notes": ["patients unknown of 400 records", "the test was seen before"]}
    return build_card(report | notes, records=records, training=training)


def test_a_card_holds_the_numbers_of_its_report(card, tmp_path):
    write_json(tmp_path / "card.json", card)
    again = json.loads((tmp_path / "card.json").read_text())
    assert (
        again["performance"]["classes"]["AF"]["auroc"]
        == card["performance"]["classes"]["AF"]["auroc"]
    )
    assert "precision_recall" not in again["performance"]["classes"]["AF"]
    assert set(again["performance"]["sexes"]) == {"female", "male"}
    text = format_card(card)
    assert text.startswith("# Model card: resunet_lc, step 1,200")
    for said in (
        "found: 407",
        "excluded: 7",
        "4 signal: is missing",
        "used: 400, of them 10 in no",
    ):
        assert said in text
    assert re.search(r"^\| train \| [\d,]+ \| unknown \|", text, re.MULTILINE)
    low, high = card["performance"]["intervals"]["auprc"]
    assert f"| auprc | {card['performance']['auprc']:.3f} ({low:.3f}-{high:.3f}) |" in text
    assert (
        "| parameters" not in text and "- parameters: 123,456" in text and "hours: unknown" in text
    )
    for heading in ("By database", "By sex", "By age", "Calibration", "Thresholds", "Limits"):
        assert re.search(f"^#+ {heading}", text, re.MULTILINE)
    # Every table has as many cells in each row as in its head.
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({row.count("|") for row in table.splitlines()}) == 1


def test_a_card_names_the_limits_that_its_numbers_have(card):
    limits = " ".join(card["limits"])
    assert "Tested on databases that did not train it." in limits
    assert f"fewer than 5 positive patients in the test: {CLASS_NAMES[4]}" in limits
    assert f"Without a record to learn from: {CLASS_NAMES[4]}" in limits
    assert "3 have no age and 0 no sex" in limits
    assert limits.count("patients unknown of 400") == 1 and "the test was seen before" in limits
    assert "simulated" not in limits


def test_a_card_says_what_its_authors_must_add(card):
    text = format_card(card)
    for item in ("ethical approval (17)", "funding", "protocol", "who gave the diagnoses"):
        assert item in text.partition("## To be added by the authors")[2]
