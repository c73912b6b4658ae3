"""The networks that the package holds, and the names that stand for them."""

import json
from pathlib import Path

import pytest

from configs import default
from resunet_lc_jax import pretrained
from resunet_lc_jax.runs.config import load_config
from resunet_lc_jax.runs.open_run import load_run

_MOST_BYTES = 6_000_000


def test_a_name_stands_for_a_network_and_a_path_for_a_folder() -> None:
    for name in pretrained.NAMES:
        assert pretrained.located(name) == pretrained.FOLDER / name
        assert pretrained.located(f"./{name}") == pretrained.written_to(f"./{name}") == Path(name)
        with pytest.raises(ValueError, match=f"a folder of that name is ./{name}"):
            pretrained.written_to(name)


@pytest.mark.parametrize("name", pretrained.NAMES)
def test_what_the_package_holds_is_whole_and_small(name: str) -> None:
    folder = pretrained.FOLDER / name
    files = [path for path in pretrained.FOLDER.glob("*/*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < _MOST_BYTES
    run = load_run(folder, load_config(folder, default.get_config()))
    card = json.loads((folder / "card.json").read_text())
    assert card["name"] == name and card["checkpoint"] == run.checkpoint.hash
    assert not run.kept.remark and set(run.seen.served) == set(card["seen"]["hashes"])
    assert card["input"]["leads"] == list(run.config.data.leads)


def test_what_predicts_where_no_run_is_named_is_the_better_on_real_records() -> None:
    cards = {
        name: json.loads((pretrained.FOLDER / name / "card.json").read_text())
        for name in pretrained.NAMES
    }
    for metric in ("auroc", "auprc"):
        of = {name: card["performance"]["real"] for name, card in cards.items()}
        assert max(of, key=lambda name: of[name]["common_classes"][metric]) == pretrained.BETTER
