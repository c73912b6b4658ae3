"""Metrics of parts of the records: by database, sex and age; and over annotated cells only."""

from typing import Any

import numpy as np

from resunet_lc_jax.measures import metrics
from resunet_lc_jax.measures.measured import measure
from resunet_lc_jax.measures.metrics import CLASS_METRICS, MACRO_METRICS
from resunet_lc_jax.measures.predictions import Predictions
from tfds_physionet.diagnoses import ANNOTATED, CLASS_NAMES, DATABASES

# Enough for a standard error; each group costs as much as its share of the records.
_REPLICATES = 200
_AGES = (18, 40, 65, 80)  # years; each group is from one to below the next


def by_group(predictions: Predictions, replicates: int) -> dict[str, dict[str, Any]]:
    """Measures parts of the records.

    Args:
      predictions: of a split, labels and decisions bool.
      replicates: of the bootstrap, of which at most 200 are taken.

    Returns:
      databases, and sexes and ages where they are known. Of each group: records, patients, the
      macro metrics, intervals of them, and by class positives, few_positives, `CLASS_METRICS` and
      their intervals.
    """
    groups = {"databases": np.asarray(predictions.database)}
    age = np.asarray(predictions.age, np.float64)
    if (np.asarray(predictions.sex) != "unknown").any():
        groups["sexes"] = np.asarray(predictions.sex)
    if not np.isnan(age).all():
        groups["ages"] = _age_groups(age)
    fewer = min(replicates, _REPLICATES)
    return {
        kind: {
            str(name): _measure_group(predictions.take(of == name), fewer) for name in np.unique(of)
        }
        for kind, of in groups.items()
    }


def _age_groups(age: np.ndarray) -> np.ndarray:
    names = [f"{low} to {high - 1}" for low, high in zip((0, *_AGES[:-1]), _AGES, strict=True)]
    names += [f"{_AGES[-1]} and over", "unknown"]
    place = np.searchsorted(_AGES, age, side="right")
    return np.array(names)[np.where(np.isnan(age), len(names) - 1, place)]


def _measure_group(part: Predictions, replicates: int) -> dict[str, Any]:
    found = measure(
        part.labels, part.scores, part.decisions, part.patient_id, replicates=replicates
    )
    positives = part.labels.sum(axis=0)
    return {
        "records": len(part.record_id),
        "patients": len(np.unique(part.patient_id)),
        **{key: found.scores[key] for key in MACRO_METRICS},
        "intervals": {key: [of.low, of.high] for key, of in found.macro.items()},
        "classes": {
            name: {"positives": int(positives[k]), **found.of_class(k)}
            for k, name in enumerate(CLASS_NAMES)
        },
    }


def annotated_only(predictions: Predictions) -> dict[str, Any]:
    """Metrics over the cells that a source annotates at all.

    A class that a source never gives is unknown in its records, not absent; each class is measured
    on the records of the sources that give it. Sources of other names count as annotating all.

    Args:
      predictions: of a split, labels and decisions bool.

    Returns:
      auroc, auprc, f_measure, specificity, hamming_loss, and cells, the share of cells that count.
    """
    known = np.ones(predictions.labels.shape, bool)
    for column, name in enumerate(DATABASES):
        known[np.asarray(predictions.database) == name] = ANNOTATED[:, column]
    keys = (*CLASS_METRICS, "specificity")
    found = {key: np.full(len(CLASS_NAMES), np.nan) for key in keys}
    for k in range(len(CLASS_NAMES)):
        rows = known[:, k]
        if rows.any():
            arrays = (predictions.labels, predictions.scores, predictions.decisions)
            label, score, decided = (of[rows, k] for of in arrays)
            one = metrics.score_class(label, score, decided)
            for key in keys:
                found[key][k] = one[key]
    wrong = predictions.labels != predictions.decisions
    return {
        **{key: float(metrics.macro(values)) for key, values in found.items()},
        "hamming_loss": float(wrong[known].mean()) if known.any() else float("nan"),
        "cells": float(known.mean()),
    }
