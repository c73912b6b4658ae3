"""A run remembers which records served what."""

import re
from pathlib import Path

import pytest
from record_tables import choose

from resunet_lc_jax.runs.splits import keep_splits


def test_a_run_is_not_taken_up_with_other_records(tmp_path: Path) -> None:
    keep_splits(tmp_path, choose())
    keep_splits(tmp_path, choose())
    message = "begun with other train records, 20 differ (R000, R001, R002 and 17 more)"
    with pytest.raises(ValueError, match=re.escape(message)):
        keep_splits(tmp_path, choose(train_folds=tuple(range(2, 9))))
