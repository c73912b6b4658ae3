"""Which classes are not to be trusted: by figures on real records, and no others."""

from pathlib import Path
from typing import Any

import pytest

from resunet_lc_jax.runs.kept_thresholds import Checkpoint
from resunet_lc_jax.runs.trust import judge, read_untrusted
from tfds_physionet.files import write_json

_CHECKPOINT = Checkpoint(7, "abc")


def _report(database: str = "georgia", checkpoint: str = "abc") -> dict[str, Any]:
    classes = {
        "AF": {"auroc": 0.7, "positives": 12, "few_positives": False},
        "SB": {"auroc": 0.699, "positives": 30, "few_positives": False},
        "LQT": {"auroc": 0.95, "positives": 4, "few_positives": True},
        "BBB": {"auroc": None, "positives": 0, "few_positives": True},
    }
    about = {"checkpoint": checkpoint}
    return {"about": about, "databases": {database: {}}, "classes": classes}


def test_a_class_below_seven_tenths_or_hardly_measured_is_not_to_be_trusted() -> None:
    assert judge(_report()) == {
        "SB": "AUROC 0.699 on real records, of which 30 have it",
        "LQT": "not known, with 4 positives among the real records",
        "BBB": "not known, with 0 positives among the real records",
    }


@pytest.mark.parametrize(
    ("report", "expected"),
    [
        (_report(), {"SB", "LQT", "BBB"}),
        (_report(database="simulated_a"), set()),
        (_report(checkpoint="of before"), set()),
        ({}, set()),
    ],
)
def test_a_run_is_judged_by_its_own_test_on_real_records(
    report: dict[str, Any], expected: set[str], tmp_path: Path
) -> None:
    assert read_untrusted(tmp_path, _CHECKPOINT) == {}
    write_json(tmp_path / "evaluation" / "test.json", report)
    assert set(read_untrusted(tmp_path, _CHECKPOINT)) == expected
