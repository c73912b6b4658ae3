"""A run's stored config: later versions read it, damage and strange knobs are a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from configs import default
from resunet_lc_jax.runs.config import (
    check_files,
    check_resumable,
    load_config,
    load_for_use,
    store_config,
)
from resunet_lc_jax.runs.flat import flatten


def _stored(folder: Path, **changes: Any) -> Path:
    """A run's folder whose config.json has these values besides this version's defaults."""
    values = default.get_config().to_dict()
    for name, value in changes.items():
        section, _, knob = name.rpartition("__")
        (values[section] if section else values)[knob] = value
    (folder / "config.json").write_text(json.dumps(values))
    return folder


def test_retired_knobs_are_translated_and_this_is_said_in_one_line(tmp_path: Path) -> None:
    said: list[str] = []
    run = _stored(
        tmp_path, eval__crop="random", eval__thresholds="f1_grid", loss__sparsity_weight=1.0
    )
    config = load_config(run, default.get_config(), say=said.append)
    assert config.eval.windows == "random" and config.eval.thresholds == "f1"
    assert flatten(config.to_dict()).keys() == flatten(default.get_config().to_dict()).keys()
    assert said == [
        f"{run}/config.json: eval.crop='random' is eval.windows='random' now; "
        "eval.thresholds='f1_grid' is 'f1' now, and the run's own thresholds stay"
    ]


def test_a_retired_knob_at_its_usual_value_goes_without_a_word(tmp_path: Path) -> None:
    said: list[str] = []
    run = _stored(
        tmp_path,
        eval__crop="fixed",
        eval__windows="first",
        loss__challenge_weight=1,
        loss__sparsity_weight=1.0,
    )
    assert load_config(run, default.get_config(), say=said.append).eval.windows == "first"
    assert said == []


def test_a_factor_that_the_loss_has_no_more_is_refused_where_it_counted(tmp_path: Path) -> None:
    run = _stored(tmp_path, loss__challenge_weight=2.0)
    load_config(run, default.get_config())  # of a loss that had no such factor
    _stored(tmp_path, loss__challenge_weight=2.0, loss__name="isibrno")
    with pytest.raises(ValueError, match=r"config.loss.challenge_weight is 2.0; .* always 1"):
        load_config(run, default.get_config())


def test_a_translated_run_is_taken_up_with_todays_words(tmp_path: Path) -> None:
    run = _stored(tmp_path, eval__crop="random", eval__thresholds="f1_grid")
    config = default.get_config()
    with pytest.raises(ValueError, match=r"eval.windows \('random' there\)"):
        check_resumable(run, config)
    config.eval.windows = "random"
    check_resumable(run, config)


def test_an_unknown_knob_is_one_sentence_that_names_file_and_knob(tmp_path: Path) -> None:
    run = _stored(tmp_path, model__depth=3)
    with pytest.raises(ValueError, match=r"config.json: this version knows no config.model.depth"):
        load_config(run, default.get_config())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"seed": 1,\n "model": {', r"config.json is damaged: .*line 2"),
        ("[1, 2]", "config.json is damaged: it holds no knobs"),
        ("\udcff", "config.json is damaged"),
        ('{"model": 3}', "this version knows no config.model"),
        ('{"seed": {"a": 1}}', "this version knows no config.seed.a"),
        ('{"train": {"epochs": "many"}}', "config.train.epochs is 'many'; choose a whole number"),
        ('{"data": {"leads": 3}}', "config.data.leads is 3; choose one or more"),
        ('{"train": {"epochs": 2.5}}', "config.train.epochs is 2.5; choose a whole number"),
        ('{"seed": null}', "config.seed is None; choose a whole number"),
    ],
)
def test_a_damaged_config_is_one_sentence(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=message) as caught:
        load_config(tmp_path, default.get_config())
    assert "\n" not in str(caught.value)


def test_a_knob_that_the_run_does_not_know_yet_has_its_default(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"train": {"epochs": 7}}')
    expected = default.get_config()
    expected.train.epochs = 7
    assert load_config(tmp_path, default.get_config()).to_dict() == expected.to_dict()


def test_the_stored_config_comes_back_with_its_types(tmp_path: Path) -> None:
    config = default.get_config()
    config.data.leads = ("I", "II")
    config.model.width = 16
    store_config(tmp_path, config)
    assert load_config(tmp_path, default.get_config()).to_dict() == config.to_dict()
    assert load_config(tmp_path, default.get_config()).is_locked


def test_a_finished_run_is_used_as_the_network_that_it_is(tmp_path: Path) -> None:
    run = _stored(tmp_path, data__length=1024)
    config = load_for_use(run, default.get_config(), {"eval.windows": "first", "seed": 5})
    assert (config.eval.windows, config.seed, config.data.length) == ("first", 5, 1024)
    load_for_use(run, default.get_config(), {"data.length": 1024})
    changes = {"data.length": 512, "model.width": 3, "eval.batch_size": 3}
    with pytest.raises(ValueError, match="another network") as caught:
        load_for_use(run, default.get_config(), changes)
    assert "config.data.length (1024 there, 512 given)" in str(caught.value)
    assert "config.model.width (None there, 3 given)" in str(caught.value)
    assert "batch_size" not in str(caught.value)
    with pytest.raises(ValueError, match="eval.batch_size is 0; choose"):
        load_for_use(run, default.get_config(), {"eval.batch_size": 0})


def test_files_that_are_not_there_are_told_all_at_once(tmp_path: Path) -> None:
    config = default.get_config()
    with pytest.raises(ValueError, match="no records were given"):
        check_files(config)
    config.data.records = "simulated"
    check_files(config)
    (tmp_path / "there.csv").write_text("record\n")
    config.data.records = str(tmp_path / "none")
    config.data.train_list = str(tmp_path / "there.csv")
    config.data.test_list = str(tmp_path)  # a folder
    config.data.patients = str(tmp_path / "missing.csv")
    with pytest.raises(FileNotFoundError) as caught:
        check_files(config)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3 and lines[0].startswith("config.data.records is ")
    assert "config.data.patients" in lines[1] and "config.data.test_list" in lines[2]
