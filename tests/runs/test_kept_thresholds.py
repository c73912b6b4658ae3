"""thresholds.json: for which checkpoint it was chosen, and what is said where that is another."""

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from resunet_lc_jax.measures.thresholds import Thresholds
from resunet_lc_jax.runs import kept_thresholds
from resunet_lc_jax.runs.kept_thresholds import Checkpoint, identify
from tfds_physionet.reading.signals import STANDARD_LEADS

_HERE, _THERE = Checkpoint(12, "a1"), Checkpoint(18, "b2")
_CHOSEN = Thresholds(np.linspace(0.1, 0.9, 26), "f1", ("AF",))


def test_weights_have_one_hash_wherever_they_lie_and_another_once_a_bit_changes() -> None:
    weights = {"params": {"a": jnp.arange(3.0), "b": jnp.ones(2)}}
    moved = {"params": {"b": np.ones(2, np.float32), "a": np.arange(3, dtype=np.float32)}}
    assert identify(4, weights) == identify(4, moved)
    moved["params"]["b"][1] = np.nextafter(np.float32(1), np.float32(2))
    assert identify(4, weights).hash != identify(4, moved).hash


def test_thresholds_say_nothing_for_their_own_checkpoint(tmp_path: Path) -> None:
    kept_thresholds.keep(tmp_path, _CHOSEN, _HERE)
    stored = json.loads((tmp_path / "thresholds.json").read_text())
    assert stored["checkpoint"] == {"step": 12, "hash": "a1"}
    kept = kept_thresholds.load(tmp_path, _HERE)
    assert kept.remark == ""
    np.testing.assert_array_equal(kept.thresholds.values, _CHOSEN.values)


@pytest.mark.parametrize(
    ("chosen_for", "message"),
    [
        (_THERE, "was chosen for step 18, and this is step 12"),
        (Checkpoint(12, "c3"), "was chosen for another step 12, and this is step 12"),
        (None, "is of an earlier version and does not say which checkpoint"),
    ],
)
def test_thresholds_of_another_checkpoint_decide_and_say_so(
    chosen_for: Checkpoint | None, message: str, tmp_path: Path
) -> None:
    if chosen_for:
        kept_thresholds.keep(tmp_path, _CHOSEN, chosen_for)
    else:
        _CHOSEN.to_json(tmp_path / "thresholds.json")
    kept = kept_thresholds.load(tmp_path, _HERE)
    assert message in kept.remark
    np.testing.assert_array_equal(kept.thresholds.values, _CHOSEN.values)


def test_without_thresholds_one_half_decides_and_that_is_said(tmp_path: Path) -> None:
    kept = kept_thresholds.load(tmp_path, _HERE)
    assert "0.5 decides" in kept.remark and (kept.thresholds.values == 0.5).all()
    other = kept_thresholds.load(tmp_path, _HERE, _THERE, otherwise=_CHOSEN)
    assert other.thresholds is _CHOSEN and not other.remark


def test_an_ensembles_thresholds_are_of_all_its_runs(tmp_path: Path) -> None:
    kept_thresholds.keep(tmp_path, _CHOSEN, _HERE, _THERE)
    assert kept_thresholds.load(tmp_path, _HERE, _THERE).remark == ""
    other = kept_thresholds.load(tmp_path, _HERE, Checkpoint(24, "d4"))
    assert "chosen for steps 12 and 18, and this is steps 12 and 24" in other.remark


def test_each_lead_set_has_thresholds_of_its_own_for_its_own_checkpoint(tmp_path: Path) -> None:
    kept_thresholds.keep(tmp_path, _CHOSEN, _HERE)
    sets = {2: Thresholds(np.full(26, 0.2), "f1"), 3: Thresholds(np.full(26, 0.3), "f1")}
    kept_thresholds.keep_by_leads(tmp_path, sets, _HERE)
    kept_thresholds.keep_by_leads(tmp_path, {3: Thresholds(np.full(26, 0.4), "f1")}, _THERE)
    kept = kept_thresholds.load(tmp_path, _HERE)
    assert kept.of_leads(STANDARD_LEADS, STANDARD_LEADS[6:]).values[0] == 0.2  # four are derived
    for missing in ((), ("V1",), [lead for lead in STANDARD_LEADS[6:] if lead != "V2"]):
        assert kept.of_leads(STANDARD_LEADS, missing) is kept.thresholds
    np.testing.assert_array_equal(kept.thresholds.values, _CHOSEN.values)


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "\ufffe", '{"thresholds": {}}', '{"thresholds": 3}', '{"leads": {"2": {}}}'],
)
def test_a_damaged_file_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "thresholds.json").write_text(content)
    with pytest.raises(ValueError, match=r"thresholds\.json is damaged"):
        kept_thresholds.load(tmp_path, _HERE)
