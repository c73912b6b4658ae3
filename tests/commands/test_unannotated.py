"""Labels that a source never gives, from the records to the trained network."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from challenge_files import headers_below

from configs import default
from resunet_lc_jax.data import stream
from resunet_lc_jax.data.sources import open_records
from resunet_lc_jax.measures import metrics
from resunet_lc_jax.measures.predictions import load_predictions
from resunet_lc_jax.runs import settings
from resunet_lc_jax.train import train
from tfds_physionet.diagnoses import ANNOTATED, CLASS_NAMES, DATABASES, decode, encode
from tfds_physionet.reading.records import read_record
from tfds_physionet.simulate import write_records

# Simulated sources, and the real ones whose gaps they get; the third gives every class.
_AS = {"simulated_a": "ptb", "simulated_b": "st_petersburg_incart"}


def _hide(records: Path, folder: Path) -> dict[str, np.ndarray]:
    """Copies records under other databases, without the codes that those never give.

    Returns:
      Each record's true labels.
    """
    truth = {}
    for header in headers_below(records):
        record = read_record(header)
        truth[header.stem] = encode(record.codes)
        database = _AS.get(record.database, record.database)
        group = folder / "training" / database / header.parent.name
        group.mkdir(parents=True, exist_ok=True)
        shutil.copy(header.with_suffix(".mat"), group)
        hidden = {
            code
            for code in record.codes
            if database in DATABASES
            and not ANNOTATED[np.flatnonzero(encode([code])), DATABASES.index(database)].all()
        }
        lines = header.read_text().splitlines(keepends=True)
        for number, line in enumerate(lines):
            name, colon, codes = line.partition(":")
            if name.strip("# ") == "Dx":
                kept = [code for code in codes.strip().split(",") if code not in hidden]
                lines[number] = f"{name}{colon} {','.join(kept)}\n"
        (group / header.name).write_text("".join(lines))
    return truth


def test_a_batch_says_which_classes_each_source_gives(
    simulated_records: Path, tmp_path: Path
) -> None:
    truth = _hide(simulated_records, tmp_path / "records")
    config = default.get_config()
    config.data.records, config.data.data_dir = str(tmp_path / "records"), str(tmp_path / "data")
    config.data.variant, config.data.workers = "100hz", 1
    config.data.length, config.data.leads, config.eval.batch_size = 100, ("I",), 64
    records = open_records(settings.source(config), settings.split_rules(config))
    train_split = records.selection.split("train")
    sources = dict(zip(train_split.table.record_id, train_split.table.database, strict=True))
    batch = next(stream.training_batches(records, train_split, settings.windowing(config)))
    seen = set()
    for name, labels, annotated in zip(
        batch["record_id"], batch["labels"], batch["annotated"], strict=True
    ):
        database = sources[name.decode()]
        given = np.ones(26, bool)
        if database in DATABASES:
            given = ANNOTATED[:, DATABASES.index(database)]
        np.testing.assert_array_equal(annotated, given, err_msg=database)
        assert decode(labels) == decode(truth[name.decode()] * given)
        seen.add(database)
    assert {"ptb", "st_petersburg_incart"} < seen


@pytest.mark.slow
def test_masking_beats_plain_cross_entropy_on_hidden_labels(tmp_path: Path) -> None:
    """On simulated ECGs: two of three sources hide what ptb and INCART never give."""
    write_records(tmp_path / "whole", count=1500, seed=5, progress=False)
    truth = _hide(tmp_path / "whole", tmp_path / "records")
    config = default.get_config()
    config.update_from_flattened_dict(
        {
            "data.records": str(tmp_path / "records"),
            "data.data_dir": str(tmp_path / "data"),
            "data.variant": "100hz",
            "data.length": 1000,
            "model.name": "res1d_maxpool",
            "model.width": 32,
            "train.batch_size": 24,
            "train.epochs": 12,
            "train.drop_epochs": 9,
            "train.learning_rate": 3e-3,
            "eval.thresholds": "fixed",
            "eval.bootstrap_replicates": 10,
        }
    )
    never = [k for k, name in enumerate(CLASS_NAMES) if not ANNOTATED[k, [2, 3]].any()]
    found = {}
    for masked in (False, True):
        config.loss.mask_unannotated = masked
        workdir = tmp_path / f"masked_{masked}"
        assert train(config, workdir) == 0
        test = load_predictions(workdir / "evaluation" / "test.npz")
        labels = np.array([truth[str(name)] for name in test.record_id])
        measured = metrics.score(labels, test.scores, test.decisions)
        found[masked] = {
            name: np.nanmean([measured[f"{name}_classes"][k] for k in never])
            for name in ("auprc", "auroc", "f_measure")
        }
    assert found[True]["auprc"] > found[False]["auprc"] + 0.05
    assert found[True]["f_measure"] > found[False]["f_measure"] + 0.1
