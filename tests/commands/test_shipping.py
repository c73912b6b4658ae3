"""Networks that come with the package: made of a run, opened as one, and never written to."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from challenge_files import write_challenge, write_record
from small_runs import small_config, small_flags

from configs import default
from resunet_lc_jax import pretrained
from resunet_lc_jax.compare import compare
from resunet_lc_jax.evaluate import evaluate
from resunet_lc_jax.fine_tuning import first_variables
from resunet_lc_jax.measures import thresholds
from resunet_lc_jax.measures.calibration import Temperatures
from resunet_lc_jax.measures.predictions import load_predictions
from resunet_lc_jax.runs.config import load_config, load_for_use
from resunet_lc_jax.runs.open_run import load_run
from resunet_lc_jax.runs.seen import read_seen, seen_at_start
from resunet_lc_jax.runs.workdir import build_model
from resunet_lc_jax.shipping import evaluated, ship
from tfds_physionet.diagnoses import CLASS_NAMES

# main.py with other networks than the package's own, which says in the end what came in.
_MAIN = """
import atexit, sys
from pathlib import Path
from resunet_lc_jax import cli, pretrained
pretrained.FOLDER = Path(sys.argv.pop(1))
atexit.register(lambda: print("tensorflow:", "tensorflow" in sys.modules))
cli.run()
"""


def _files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records that no run has seen, of databases that count as real."""
    return write_challenge(tmp_path_factory.mktemp("real"), 40, seed=5, num_samples=1500)


@pytest.fixture(scope="module")
def folder(trained: Path, others: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What stands for the package's folder: the trained run as `simulated` and as `finetuned`.

    The second is as if it came from a cross-validation on the others.
    """
    data = {"data.data_dir": str(tmp_path_factory.mktemp("data")), "data.records": str(others)}
    changes = data | {"eval.other_records": True, "compilation_cache": "off"}
    config = load_for_use(trained, default.get_config(), changes)
    evaluate(config, trained, split="all")
    report, made = trained / "evaluation" / "all", tmp_path_factory.mktemp("pretrained")
    ship(
        "simulated",
        trained,
        made / "simulated",
        real=report.with_suffix(".json"),
        simulated=trained / "evaluation" / "test.json",
    )
    folds = tmp_path_factory.mktemp("folds")
    real_run = shutil.copytree(trained, folds / "fold_01")
    # Other names than those of simulated records.
    splits = (real_run / "splits.csv").read_text()
    (real_run / "splits.csv").write_text(re.sub(",S([ABC])", r",R\1", splits))
    for suffix in (".json", ".npz"):
        of = folds / "evaluation" / f"test{suffix}"
        of.parent.mkdir(exist_ok=True)
        shutil.copy(report.with_suffix(suffix), of)
    real = folds / "evaluation" / "test.json"
    ship("finetuned", real_run, made / "finetuned", real=real, crossvalidation=folds)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrained, "FOLDER", made)
        yield made


def _main(folder: Path, *flags: object, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _MAIN, str(folder), *map(str, flags)],
        env=os.environ | {"XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_shipped_network_is_the_run_that_it_was_made_of(trained: Path, folder: Path) -> None:
    config = load_config(trained, default.get_config())
    run, shipped = load_run(trained, config), load_run(folder / "simulated", config)
    assert shipped.checkpoint == run.checkpoint
    jax.tree.map(np.testing.assert_array_equal, shipped.variables, run.variables)
    np.testing.assert_array_equal(shipped.thresholds.values, run.thresholds.values)
    assert not shipped.kept.remark and shipped.untrusted
    (note,) = shipped.notes
    assert all(name in note for name in shipped.untrusted)


def test_the_same_run_gives_the_same_bytes_which_tell_no_place(
    trained: Path, folder: Path, tmp_path: Path
) -> None:
    reports = [trained / "evaluation" / f"{name}.json" for name in ("all", "test")]
    ship("simulated", trained, tmp_path / "new", real=reports[0], simulated=reports[1])
    files = _files(tmp_path / "new")
    assert files == _files(folder / "simulated")
    places = [os.fsencode(place) for place in (trained.parent, Path.home(), Path.cwd())]
    assert not [name for name, of in files.items() if any(place in of for place in places)]


def test_the_card_says_what_the_files_beside_it_hold(trained: Path, folder: Path) -> None:
    card = json.loads((folder / "simulated" / "card.json").read_text())
    kept = json.loads((folder / "simulated" / "thresholds.json").read_text())["thresholds"]
    fitted = json.loads((folder / "simulated" / "calibration.json").read_text())["temperatures"]
    assert list(card["classes"]) == list(CLASS_NAMES)
    assert {name: of["threshold"] for name, of in card["classes"].items()} == kept
    assert {name: of["temperature"] for name, of in card["classes"].items()} == fitted
    told = json.loads((trained / "evaluation" / "all.json").read_text())["classes"]
    for name, of in card["classes"].items():
        assert of["real"]["auroc"] == told[name]["auroc"]
        assert of["real"]["intervals"]["auroc"] == told[name]["intervals"]["auroc"]
        assert (of["untrusted"] is None) == (name not in card["untrusted"])
    assert card["performance"]["real"]["records"] == 40
    assert set(read_seen(folder / "simulated").served) == set(card["seen"]["hashes"])
    text = (folder / "simulated" / "card.md").read_text()
    assert card["weights"]["sha256"] in text and "medical device" in text
    marked = next(iter(card["untrusted"]))
    assert f"| {marked} **?** |" in text and f"Not to be trusted: {marked} (" in text


def test_a_cross_validation_gives_thresholds_and_calibration(trained: Path, folder: Path) -> None:
    scored = load_predictions(trained / "evaluation" / "all.npz")
    config = load_config(folder / "finetuned", default.get_config())
    run = load_run(folder / "finetuned", config)
    chosen = thresholds.choose(config.eval.thresholds, scored.labels, scored.scores)
    np.testing.assert_array_equal(run.thresholds.values, chosen.values)
    path = folder / "finetuned" / "calibration.json"
    kept = Temperatures.from_json(path, step=run.step)
    fitted = Temperatures.fit(scored.labels, scored.scores)
    assert kept is not None
    np.testing.assert_array_equal(kept.values, fitted.values)
    card = json.loads((folder / "finetuned" / "card.json").read_text())
    assert "Out of fold" in card["performance"]["real"]["measured"]
    assert "CC BY 4.0" in card["licence"] and "simulated" not in card["performance"]


def test_simulated_records_are_not_listed_and_others_are(trained: Path, folder: Path) -> None:
    assert set(read_seen(folder / "finetuned").served) == set(read_seen(trained).served)
    seen = read_seen(folder / "simulated")
    assert not seen.served and not seen.unknown
    card = json.loads((folder / "simulated" / "card.json").read_text())
    assert card["seen"] == {"records": 0, "hashes": []} and card["attribution"] == []
    assert any("simulated hearts alone" in limit for limit in card["limits"])


@pytest.mark.parametrize(
    ("report", "said"),
    [("test", "is a report on simulated records"), ("gone", "is missing: --mode=evaluate")],
)
def test_a_card_needs_a_report_on_real_records(
    report: str, said: str, trained: Path, tmp_path: Path
) -> None:
    real = trained / "evaluation" / f"{report}.json"
    with pytest.raises((ValueError, OSError), match=said):
        ship("simulated", trained, tmp_path / "out", real=real)


def test_a_report_of_another_checkpoint_is_refused(trained: Path, tmp_path: Path) -> None:
    report = json.loads((trained / "evaluation" / "all.json").read_text())
    report["about"]["checkpoint"] = "another"
    (tmp_path / "all.json").write_text(json.dumps(report))
    with pytest.raises(ValueError, match=r"all.json is of another checkpoint"):
        ship("simulated", trained, tmp_path / "out", real=tmp_path / "all.json")


@pytest.mark.parametrize("content", ["changed", "cut"])
def test_weights_that_are_not_those_of_the_card_are_refused(
    content: str, folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder / "simulated", tmp_path / "copy")
    weights = (copy / "weights.safetensors").read_bytes()
    changed = weights[:-1] + bytes([weights[-1] ^ 1]) if content == "changed" else weights[:-5]
    (copy / "weights.safetensors").write_bytes(changed)
    config = load_config(copy, default.get_config())
    with pytest.raises(ValueError, match="is not the file that card.json is of"):
        load_run(copy, config)
    (copy / "card.json").unlink()
    if content == "cut":
        with pytest.raises(ValueError, match="weights.safetensors is damaged"):
            load_run(copy, config)


def test_without_a_run_the_better_network_predicts_and_doubtful_findings_are_marked(
    folder: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for name, codes in (("one", ("164889003",)), ("two", ())):
        signal = rng.normal(0, 200, (12, 2500)).astype(np.int16)
        write_record(tmp_path / "in", name, signal, codes=codes)
    said = _main(
        folder, "--mode=predict", f"--input={tmp_path / 'in'}", f"--output={tmp_path / 'out'}"
    )
    assert f"'{pretrained.BETTER}' predicts, a network of this package" in said
    assert "tensorflow: False" in said
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    head = ["record", "diagnoses", "leads_missing", "leads_derived", "untrusted", *CLASS_NAMES]
    assert list(rows[0])[: len(head)] == head
    card = json.loads((folder / pretrained.BETTER / "card.json").read_text())
    about = json.loads((tmp_path / "out" / "prediction.json").read_text())
    assert about["run"] == pretrained.BETTER and about["untrusted"] == card["untrusted"]
    lines = [line.split() for line in said.splitlines()]
    for row in rows:
        found = row["diagnoses"].split("|")
        doubtful = [name for name in found if name in card["untrusted"]]
        assert found and row["untrusted"] == "|".join(doubtful)
        (line,) = [words for words in lines if words[:1] == [row["record"]]]
        assert [word for word in line if word.endswith("?")] == [f"{name}?" for name in doubtful]
    assert any(line[:2] == ["one", "AF"] for line in lines)
    # The Challenge's files know no doubt.
    assert "?" not in (tmp_path / "out" / "one.csv").read_text()


def test_nothing_is_written_into_a_network_of_the_package(
    folder: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository)
    before = _files(folder)
    said = _main(folder, *small_flags(), "--workdir=simulated", status=2)
    assert "--workdir=simulated is a network of this package, which is not written to" in said
    assert _files(folder) == before


def test_reports_of_a_shipped_network_go_to_the_output_and_seen_records_are_refused(
    prepared: dict[str, object],
    others: Path,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    run, before = folder / "finetuned", _files(folder)
    data = {"data.records": str(others), "data.data_dir": str(tmp_path / "data")}
    changes = data | {"compilation_cache": "off"}
    config = load_for_use(run, default.get_config(), changes)
    with pytest.raises(ValueError, match="give --output=FOLDER"):
        evaluate(config, run, split="all")
    report = evaluate(config, run, split="all", output=tmp_path / "out")
    assert (tmp_path / "out" / "evaluation" / "all.json").is_file()
    assert report["records"] == 40 and report["about"]["run"] == "finetuned"
    assert any(note.startswith("not to be trusted") for note in report["notes"])
    table = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert {f"{name}?" for name in report["about"]["untrusted"]} <= table
    own = load_for_use(run, default.get_config(), prepared | {"compilation_cache": "off"})
    with pytest.raises(ValueError, match="records had a part in making the run in"):
        evaluate(own, run, split="all", output=tmp_path / "out")
    without = load_for_use(run, default.get_config(), {"compilation_cache": "off"})
    with pytest.raises(ValueError, match="no records of its own; give --config.data.records"):
        evaluate(without, run, split="all", output=tmp_path / "out")
    assert _files(folder) == before


def test_a_comparison_evaluates_the_package_network_on_the_runs_records(
    trained: Path, folder: Path, tmp_path: Path
) -> None:
    def config_of(run: Path):
        return load_for_use(run, default.get_config(), {"compilation_cache": "off"})

    runs = evaluated([str(trained), "simulated"], config_of, tmp_path, split="test")
    assert runs == [str(trained), str(tmp_path / "evaluated" / "simulated")]
    table = compare(runs, tmp_path / "out", replicates=20)
    assert "are the very same" in table and "not to be trusted (AUROC below 0.7" in table
    with pytest.raises(ValueError, match="no run on whose records simulated can be evaluated"):
        evaluated(["simulated", runs[1]], config_of, tmp_path, split="test")


def test_a_run_starts_from_a_network_of_the_package(
    folder: Path, capsys: pytest.CaptureFixture
) -> None:
    config = small_config(init_from="finetuned")
    started = first_variables(config, build_model(config))
    given = load_run(folder / "finetuned", load_config(folder / "finetuned", config)).variables
    jax.tree.map(np.testing.assert_array_equal, started, given)
    start, seen = seen_at_start(folder / "none", "finetuned"), read_seen(folder / "finetuned")
    assert start.served.keys() == seen.served.keys() != set() and not start.unknown
