"""Every config loads and derives from the default, and every knob of the default is read."""

import ast
import importlib
from dataclasses import fields
from pathlib import Path

import jax
import pytest
from ml_collections import ConfigDict

from configs import default
from resunet_lc_jax.data.sources import Source
from resunet_lc_jax.learning.recipe import AugmentSettings, LossSettings, OptimSettings
from resunet_lc_jax.runs.config import check_config
from resunet_lc_jax.runs.flat import flatten
from resunet_lc_jax.runs.workdir import build_model, initial_variables

_REPOSITORY = Path(__file__).resolve().parents[1]
_NAMES = sorted(path.stem for path in (_REPOSITORY / "configs").glob("[a-z]*.py"))
# Parameters at full width, on 12 leads.
_PARAMETERS = {
    "default": 9_989_530,
    "res1d_maxpool": 1_273_882,
    "res2d_maxpool": 3_615_898,
    "res2d_lc": 4_012_954,
    "ribeiro_resnet": 7_052_730,
    "mvms_net": 2_247_456,
    "isibrno": 6_561_900,
}


def _knobs(config: ConfigDict) -> list[str]:
    return list(flatten(config.to_dict()))


def _config(name: str) -> ConfigDict:
    return importlib.import_module(f"configs.{name}").get_config()


def test_there_is_a_config_for_each_row_of_the_papers_table() -> None:
    assert set(_PARAMETERS) | {"quickstart", "simulated"} == set(_NAMES)


@pytest.mark.parametrize("name", _NAMES)
def test_a_config_has_the_defaults_knobs_and_values_that_fit(name: str) -> None:
    config = _config(name)
    assert set(_knobs(config)) == set(_knobs(default.get_config()))
    assert config.is_locked
    check_config(config)


@pytest.mark.parametrize("name", _PARAMETERS)
def test_a_config_describes_the_published_network(name: str) -> None:
    config = _config(name)
    model = build_model(config)
    variables = jax.eval_shape(lambda: initial_variables(config, model))
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == _PARAMETERS[name]


# Values that are made of a whole section, by the names of their fields.
_OF_SECTIONS = {
    "loss": LossSettings,
    "augment": AugmentSettings,
    "train": OptimSettings,
    "data": Source,
}


def test_every_knob_is_read_somewhere() -> None:
    files = [_REPOSITORY / "main.py", *(_REPOSITORY / "resunet_lc_jax").rglob("*.py")]
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text()))]
    # What the code reads, as it is written: 'config.data.length', "config.data[f'{name}_folds']".
    read = {ast.unparse(node) for node in nodes if isinstance(node, ast.Attribute | ast.Subscript)}
    unread = []
    for knob in _knobs(default.get_config()):
        section, _, name = knob.rpartition(".")
        split, _, kind = name.partition("_")
        ways = {f"config.{knob}", f"self.config.{knob}", f"run.config.{knob}"}
        if split in ("train", "validation", "test"):
            ways |= {f"config.data[f'{{name}}_{kind}']"}
        if section in _OF_SECTIONS and name in {f.name for f in fields(_OF_SECTIONS[section])}:
            ways |= {f"settings.{name}", f"source.{name}"}
        if not ways & read:
            unread.append(knob)
    assert not unread
