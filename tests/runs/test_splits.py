"""A run remembers which records served what."""

import re
from pathlib import Path

import numpy as np
import pytest
from record_tables import choose, make_table

from resunet_lc_jax.data.selection import SPLITS
from resunet_lc_jax.runs.splits import check_unseen, keep_splits


def test_a_run_is_not_taken_up_with_other_records(tmp_path: Path) -> None:
    keep_splits(tmp_path, choose())
    keep_splits(tmp_path, choose())
    message = "begun with other train records, 20 differ (R000, R001, R002 and 17 more)"
    with pytest.raises(ValueError, match=re.escape(message)):
        keep_splits(tmp_path, choose(train_folds=tuple(range(2, 9))))


def test_a_run_is_not_measured_on_records_that_made_it(tmp_path: Path) -> None:
    check_unseen(tmp_path, choose().split("test"))
    keep_splits(tmp_path, choose())
    for name in (*SPLITS, "all", "fold_1"):
        check_unseen(tmp_path, choose().split(name))
    moved = {"train_folds": tuple(range(3, 9)), "validation_folds": (1,)}
    with pytest.raises(ValueError, match="20 of the 20 validation records had a part in making"):
        check_unseen(tmp_path, choose(**moved).split("validation"))
    moved = {"train_folds": tuple(range(1, 9)), "validation_folds": (10,), "test_folds": (9,)}
    with pytest.raises(ValueError, match="20 of the 20 test records had a part"):
        check_unseen(tmp_path, choose(**moved).split("test"))
    # The same names in another data set are other records.
    others = make_table(signal_hash=np.array([f"other {number}" for number in range(200)]))
    check_unseen(tmp_path, choose(others, **moved).split("test"))
