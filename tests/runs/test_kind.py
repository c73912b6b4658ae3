"""What a folder is, and that nothing writes into one of another kind."""

import json
from pathlib import Path

import pytest

from configs import default
from resunet_lc_jax.ensemble import Ensemble, evaluate_ensemble, predict_ensemble
from resunet_lc_jax.exchange import import_torch
from resunet_lc_jax.predict import predict
from resunet_lc_jax.runs.config import load_for_use
from resunet_lc_jax.runs.kind import (
    CROSSVALIDATION,
    ENSEMBLE,
    EVALUATION,
    PREDICTION,
    RUN,
    SHIPPED,
    Kind,
    expect,
    kind_of,
)
from resunet_lc_jax.runs.workdir import hold
from tfds_physionet.files import replacing

_FILES = {
    RUN: ["config.json"],
    SHIPPED: ["config.json", "weights.safetensors"],
    EVALUATION: ["evaluation.json"],
    ENSEMBLE: ["ensemble.json"],
    CROSSVALIDATION: ["config.json", "crossvalidation.json"],
    PREDICTION: ["prediction.json"],
}


def _made(folder: Path, kind: Kind) -> Path:
    folder.mkdir()
    for file in _FILES[kind]:
        (folder / file).write_text(json.dumps({"runs": ["a", "b"], "vote": "mean"}))
    return folder


@pytest.mark.parametrize("kind", _FILES, ids=lambda kind: kind.name)
def test_each_kind_is_told_by_its_mark_and_taken_for_no_other(kind: Kind, tmp_path: Path) -> None:
    folder = _made(tmp_path / "folder", kind)
    assert kind_of(folder) == kind
    for other in _FILES:
        if other == kind:
            expect(folder, other)
        else:
            with pytest.raises(ValueError, match=f"holds {kind.name}, and this takes {other.name}"):
                expect(folder, other)


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ([], None),
        (["config.json", "fold_03/config.json"], CROSSVALIDATION),
        (["predictions.csv", "errors.csv"], PREDICTION),
        (["config.json", "predictions.csv", "errors.csv"], RUN),
        (["notes.csv"], None),
    ],
)
def test_folders_of_earlier_versions_are_told_by_what_lies_in_them(
    files: list[str], kind: Kind | None, tmp_path: Path
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("{}")
    assert kind_of(tmp_path) == kind


@pytest.mark.parametrize("kind", _FILES, ids=lambda kind: kind.name)
def test_commands_refuse_folders_of_another_kind_and_leave_them_as_they_are(
    kind: Kind, tmp_path: Path
) -> None:
    folder, config = _made(tmp_path / "folder", kind), default.get_config()
    before = {path: path.read_bytes() for path in folder.iterdir()}
    members = Ensemble((tmp_path / "a", tmp_path / "b"))
    configs = dict.fromkeys(members.runs, config)
    calls = {
        "train": ((RUN,), lambda: hold(folder, config).__enter__()),
        "crossvalidate": (
            (CROSSVALIDATION,),
            lambda: hold(folder, config, CROSSVALIDATION).__enter__(),
        ),
        "use": ((RUN, SHIPPED), lambda: load_for_use(folder, config, {})),
        "predict": ((PREDICTION,), lambda: predict(config, tmp_path / "a", tmp_path, folder)),
        "vote": ((ENSEMBLE,), lambda: evaluate_ensemble(members, configs, folder, split="test")),
        "voted": (
            (PREDICTION,),
            lambda: predict_ensemble(members, configs, tmp_path / "c", tmp_path, folder),
        ),
        "import": ((), lambda: import_torch(config, folder, tmp_path / "x.pt")),
    }
    for wanted, call in calls.values():
        if kind not in wanted:
            with pytest.raises(ValueError, match=f"holds {kind.name}"):
                call()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_what_a_killed_command_left_half_written_is_swept(tmp_path: Path) -> None:
    with replacing(tmp_path / "evaluation" / "test.json") as beside:
        beside.write_text("{")
        left = beside.with_name(beside.name.replace(".json", "0.json"))
        left.write_text("{")
    kept = tmp_path / ".hidden.json"
    kept.write_text("")
    with hold(tmp_path, default.get_config()):
        assert not left.exists() and kept.exists()
