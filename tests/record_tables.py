"""A small table of records and selections of it, for the tests of splits."""

import numpy as np

from configs import default
from resunet_lc_jax.data.selection import Selection, SplitRules, select
from resunet_lc_jax.runs import settings
from tfds_physionet.building.records_table import RecordTable

COUNT = 200


def make_table(**columns: np.ndarray) -> RecordTable:
    """Twenty records a fold of the databases a, b, c, d in turn, each of its own patient."""
    names = np.array([f"R{number:03d}" for number in range(COUNT)])
    whole = {
        "record_id": names,
        "database": np.array(list("abcd") * (COUNT // 4)),
        "fold": np.arange(COUNT) // 20 + 1,
        "patient_id": names.copy(),
        "signal_hash": np.char.add("hash of ", names),
        "labels": np.zeros((COUNT, 26), np.uint8),
        "file": np.full(COUNT, "nowhere"),
        "offset": np.arange(COUNT),
        "size": np.ones(COUNT, np.int64),
        "landmarks": np.full(COUNT, ""),
        "age": np.full(COUNT, np.nan, np.float32),
        "sex": np.full(COUNT, "unknown"),
    }
    return RecordTable(**(whole | columns))


def rules_of(**changes: object) -> SplitRules:
    """The default's rules with other knobs of config.data."""
    config = default.get_config()
    config.data.update(changes)
    return settings.split_rules(config)


def choose(table: RecordTable | None = None, **changes: object) -> Selection:
    """What those rules choose of a table."""
    return select(table or make_table(), rules_of(**changes))
