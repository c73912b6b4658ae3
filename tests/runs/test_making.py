"""What is told of the records that a run came from."""

from pathlib import Path

from challenge_files import headers_below, write_challenge
from ml_collections import ConfigDict

from configs import default
from resunet_lc_jax.data.sources import open_records
from resunet_lc_jax.runs import settings
from resunet_lc_jax.runs.making import describe_records, without_folders


def _config(records: Path, data_dir: Path) -> ConfigDict:
    config = default.get_config()
    config.data.records, config.data.data_dir = str(records), str(data_dir)
    return config


def test_the_flow_of_records_counts_each_exclusion_by_its_reason(tmp_path: Path) -> None:
    records = write_challenge(tmp_path / "records", 60)
    first, second, third = headers_below(records)[:3]
    for header in (first, second):
        header.with_suffix(".mat").unlink()
    third.write_text("no header\n")
    config = _config(records, tmp_path / "data")
    config.data.except_databases = ("ptb",)
    opened = open_records(settings.source(config), settings.split_rules(config))
    found = describe_records(opened)
    assert (found["found"], found["used"]) == (60, 57)
    assert sorted(found["excluded"].values()) == [1, 2] and len(found["excluded"]) == 2
    missing = max(found["excluded"], key=found["excluded"].__getitem__)
    assert first.stem not in missing and second.stem not in missing
    of_ptb = int((opened.selection.table.database == "ptb").sum())
    assert found["without_split"] == of_ptb > 0
    splits = found["splits"]
    assert sum(split["records"] for split in splits.values()) == 57 - of_ptb
    assert set(splits["train"]["databases"]) == {"georgia"}
    assert splits["train"]["sexes"] == {"female": splits["train"]["records"]}
    assert splits["train"]["age"] == {"quartiles": [60.0, 60.0, 60.0], "unknown": 0}
    labels = opened.selection.split("test").table.labels
    assert splits["test"]["classes"]["AF"]["positives"] == labels[:, 0].sum()


def test_what_a_card_tells_of_the_training_names_no_folder() -> None:
    told = {
        "data": {"records": "/home/anna/my records", "leads": ("I", "II"), "variant": "500hz"},
        "starts": [{"command": ["main.py", "--config=configs/a.py", "--workdir=~/runs/one"]}],
        "seed": 3,
    }
    assert without_folders(told) == {
        "data": {"records": "my records", "leads": ["I", "II"], "variant": "500hz"},
        "starts": [{"command": ["main.py", "--config=configs/a.py", "--workdir=one"]}],
        "seed": 3,
    }
