"""What a half-added network, database or metric lacks; CONTRIBUTING.md tells how to add one."""

import ast
import importlib
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pytest
import yaml
from pages import REPOSITORY, read_page, tables_of

import resunet_lc_jax
from resunet_lc_jax.measures import metrics
from resunet_lc_jax.measures.predictions import Predictions
from resunet_lc_jax.measures.report import build_report, format_report
from resunet_lc_jax.models import MODEL_NAMES, create_model
from resunet_lc_jax.pytorch.names import torch_rank
from tfds_physionet.diagnoses import ANNOTATED, DATABASES
from tfds_physionet.reading.records import read_header

_HEADER = "{name} 1 500 1\n{name}.dat 16 1000/mV 16 0 0 0 0 I\n"


def _table(page: str, header: str) -> dict[str, list[str]]:
    """The rows of a page's table by their first cell, without its backticks."""
    (table,) = [table for table in tables_of(page) if table[0][0] == header]
    return {row[0].strip("`"): row for row in table[1:]}


def _constant(path: str, name: str) -> dict:
    """A dictionary that a file defines by literals."""
    for node in ast.parse((REPOSITORY / path).read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{path} defines no {name}")


def _configs() -> dict[str, str]:
    """Network -> the config that trains it; recipes of our own are no rows of the paper's table."""
    own = {"quickstart", "simulated", "finetuned"}
    names = {path.stem for path in (REPOSITORY / "configs").glob("[a-z]*.py")} - own
    modules = {name: importlib.import_module(f"configs.{name}") for name in sorted(names)}
    return {module.get_config().model.name: name for name, module in modules.items()}


def lacking_of_network(
    name: str,
    *,
    configs: Mapping[str, str],
    rows: Mapping[str, list[str]],
    parameters: Mapping[str, tuple[int, int]],
    logits: Collection[str],
) -> list[str]:
    """What is not there of a network, in words.

    Args:
        name: Of the network.
        configs: Network -> the config that trains it.
        rows: Config's path -> its row of docs/training.md.
        parameters: Network -> how many parameters it has, and at which length.
        logits: The networks with logits of another implementation.
    """
    lacking = []
    config = f"configs/{configs.get(name, name)}.py"
    if name not in configs:
        lacking.append(f"a config: {config}, whose config.model.name is {name!r}")
    if config not in rows:
        lacking.append(f"a row for {config} in the table of docs/training.md")
    elif name in parameters and f"{parameters[name][0]:,}" not in rows[config]:
        lacking.append(f"{parameters[name][0]:,} parameters in the row of {config}")
    if name not in parameters:
        lacking.append("its number of parameters in tests/models/test_models.py")
    if name not in logits:
        lacking.append("logits of another implementation in tests/models/test_models.py")
    return lacking


def _of_networks() -> dict:
    file = "tests/models/test_models.py"
    return {
        "configs": _configs(),
        "rows": _table("docs/training.md", "config"),
        "parameters": _constant(file, "PARAMETER_COUNTS"),
        "logits": set(_constant(file, "PYTORCH_LOGITS")),
    }


def _distinct_networks() -> list[str]:
    """The names of the networks; of several names of one class, the first."""
    first: dict[type, str] = {}
    for name in MODEL_NAMES:
        first.setdefault(type(create_model(name)), name)
    return list(first.values())


@pytest.mark.parametrize("name", _distinct_networks())
def test_a_network_has_all_that_belongs_to_it(name: str) -> None:
    assert not lacking_of_network(name, **_of_networks())


def test_a_half_added_network_is_told_what_it_lacks() -> None:
    lacking = lacking_of_network("half", **_of_networks())
    assert [line.split()[:2] for line in lacking] == [
        ["a", "config:"],
        ["a", "row"],
        ["its", "number"],
        ["logits", "of"],
    ]
    known = _of_networks()
    known["parameters"]["resunet_lc"] = (1, 4096)
    (line,) = lacking_of_network("resunet_lc", **known)
    assert line == "1 parameters in the row of configs/default.py"


def test_a_layer_that_pytorch_lists_nowhere_is_told() -> None:
    with pytest.raises(ValueError, match="unheard"):
        torch_rank("unheard.weight")


def lacking_of_database(
    name: str,
    folder: Path,
    *,
    databases: Collection[str],
    annotated: np.ndarray,
    rows: Mapping[str, list[str]],
) -> list[str]:
    """What is not there of a database, in words.

    Args:
        name: Of the database.
        folder: An empty one.
        databases: The known ones.
        annotated: bool [class, database].
        rows: Database -> its row of docs/data.md, with the name of a record in the second cell.
    """
    lacking = []
    if name not in databases:
        lacking.append("its name in DATABASES of tfds_physionet/diagnoses.py")
    elif (
        annotated.shape[1] != len(databases) or not annotated[:, list(databases).index(name)].any()
    ):
        lacking.append("marks of the classes that it gives, in tfds_physionet/diagnoses.py")
    if name not in rows:
        return [*lacking, "a row in the table of docs/data.md"]
    record = rows[name][1].split("`")[1]
    header = folder / f"{record}.hea"
    header.write_text(_HEADER.format(name=record))
    if (found := read_header(header).database) != name:
        lacking.append(f"a pattern for {record} in tfds_physionet/databases.py, which says {found}")
    return lacking


def _of_databases() -> dict:
    return {
        "databases": DATABASES,
        "annotated": ANNOTATED,
        "rows": _table("docs/data.md", "database"),
    }


@pytest.mark.parametrize("name", DATABASES)
def test_a_database_has_all_that_belongs_to_it(name: str, tmp_path: Path) -> None:
    assert not lacking_of_database(name, tmp_path, **_of_databases())


def test_a_half_added_database_is_told_what_it_lacks(tmp_path: Path) -> None:
    known = _of_databases()
    first, second = lacking_of_database("half", tmp_path, **known)
    assert "DATABASES" in first and "docs/data.md" in second
    known["databases"] = (*DATABASES, "half")
    known["rows"] = known["rows"] | {"half": ["half", "`Z00001`"]}
    marks, pattern = lacking_of_database("half", tmp_path, **known)
    assert marks.startswith("marks of the classes") and pattern.startswith("a pattern for Z00001")


def lacking_of_metric(name: str, *, places: Mapping[str, Collection[str]]) -> list[str]:
    """The places, by what they are, that do not know a metric."""
    return [place for place, names in places.items() if name not in names]


@pytest.fixture(scope="module")
def places() -> dict[str, Collection[str]]:
    """Where a metric must be known."""
    rng = np.random.default_rng(0)
    labels = (rng.random((40, 26)) < 0.3).astype(np.uint8)
    scores = rng.random((40, 26)).astype(np.float32)
    names = np.array([f"R{number}" for number in range(40)])
    predictions = Predictions(
        record_id=names,
        patient_id=names,
        database=np.full(40, "ptb"),
        labels=labels,
        scores=scores,
        decisions=(scores >= 0.5).astype(np.uint8),
        thresholds=np.full(26, 0.5),
    )
    report = build_report(predictions, replicates=2)
    described = " ".join(row for row in _table("docs/evaluation.md", "key"))
    return {
        "metrics.score": metrics.score(labels, scores, predictions.decisions),
        "metrics.MACRO_METRICS": metrics.MACRO_METRICS,
        "the report": report,
        "the report's intervals": report["intervals"],
        "the report's databases": report["databases"]["ptb"],
        "the report on the screen": format_report(report, title="").split(),
        "the table of docs/evaluation.md": described.replace("`", "").replace(",", "").split(),
    }


def _computed(places: Mapping[str, Collection[str]]) -> list[str]:
    """The macro metrics that are computed: plain numbers."""
    score = places["metrics.score"]
    return [name for name, value in score.items() if isinstance(value, float)]


def test_a_metric_has_all_that_belongs_to_it(places: dict[str, Collection[str]]) -> None:
    computed = _computed(places)
    assert set(computed) >= set(metrics.MACRO_METRICS) and len(computed) >= 8
    lacking = {name: lacking_of_metric(name, places=places) for name in computed}
    assert not {name: where for name, where in lacking.items() if where}


def test_a_half_added_metric_is_told_where_it_lacks(places: dict[str, Collection[str]]) -> None:
    with_half = places | {"metrics.score": {**places["metrics.score"], "kappa": 0.5}}
    assert "kappa" in _computed(with_half)
    lacking = lacking_of_metric("kappa", places=with_half)
    assert lacking == [place for place in places if place != "metrics.score"]


def test_the_software_is_cited_by_its_version_and_by_the_works_it_rests_on() -> None:
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    assert citation["version"] == resunet_lc_jax.__version__
    assert [author["name"] for author in citation["authors"]] == ["the resunet_lc_jax authors"]
    bibliography = (REPOSITORY / "tfds_physionet/physionet2021/CITATIONS.bib").read_text()
    readme = " ".join(read_page("README.md").split())
    for reference in citation["references"]:
        first = reference["authors"][0]["family-names"]
        assert reference["title"].split(":")[0] in readme and first in readme
        if "doi" in reference:
            assert reference["doi"] in bibliography and reference["title"] in bibliography
