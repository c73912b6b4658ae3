"""Scoring 20,000 records against loops, as the field's evaluation codes have them."""

from collections.abc import Callable
from functools import partial

import numpy as np

from benchmarks.timing import Row, seconds
from resunet_lc_jax.measures import metrics, thresholds
from tfds_physionet.diagnoses import REWARDS, SINUS_RHYTHM

RECORDS, CLASSES = 20_000, 26


def measure(*, full: bool) -> tuple[list[Row], dict]:
    """Returns two rows; the peers are run once, as they take long."""
    rng = np.random.default_rng(0)
    labels = rng.random((RECORDS, CLASSES)) < 0.1
    scores = rng.random((RECORDS, CLASSES)).astype(np.float32) * 0.6 + 0.4 * labels
    decisions = scores >= 0.5
    scoring = _row(
        "macro metrics of 20,000 x 26",
        partial(metrics.score, labels, scores, decisions),
        partial(loop_metrics, labels, scores, decisions),
        at_least=50,
        note="loops over records and thresholds",
    )
    search = _row(
        "thresholds of 20,000 x 26",
        partial(thresholds.choose, "reference", labels, scores),
        partial(grid_search, labels, scores),
        at_least=100,
        note="101 x 26 calls of an F1 function",
    )
    return [scoring, search], {}


def _row(name: str, ours: Callable, peer: Callable, *, at_least: float, note: str) -> Row:
    ours()
    ours_s, peer_s = seconds(ours, rounds=5), seconds(peer)
    target, met = f"{at_least:g} times faster", peer_s >= at_least * ours_s
    return Row(name, ours_s, peer_s, "s", target, met, note)


def loop_metrics(labels: np.ndarray, scores: np.ndarray, decisions: np.ndarray) -> tuple:
    """The eight macro metrics of `metrics.score`, by loops over records."""
    areas = [_loop_areas(labels[:, k], scores[:, k]) for k in range(CLASSES)]
    right = sum(all(labels[i] == decisions[i]) for i in range(len(labels))) / len(labels)
    f1 = [_loop_f1(labels[:, k], decisions[:, k]) for k in range(CLASSES)]
    inactive = np.zeros_like(decisions)
    inactive[:, SINUS_RHYTHM] = True
    observed, correct, least = (
        _loop_reward(labels, outputs) for outputs in (decisions, labels, inactive)
    )
    roc, pr = np.nanmean(np.array(areas), axis=0)
    reward = (observed - least) / (correct - least)
    wrong = [_loop_wrong(labels[:, k], decisions[:, k]) for k in range(CLASSES)]
    specificity, hamming = np.mean(np.array(wrong), axis=0)
    decided = np.nanmean([_loop_areas(labels[:, k], decisions[:, k])[1] for k in range(CLASSES)])
    return roc, pr, right, float(np.nanmean(f1)), reward, specificity, hamming, decided


def _loop_areas(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Both areas, record after record from the highest score; equal scores count at once."""
    order = np.argsort(-scores.astype(np.float64))
    positives = int(labels.sum())
    negatives = len(labels) - positives
    true = false = 0
    roc = pr = last_recall = last_rate = 0.0
    for place, index in enumerate(order):
        true, false = true + int(labels[index]), false + int(not labels[index])
        following = order[place + 1] if place + 1 < len(order) else None
        if following is not None and scores[following] == scores[index]:
            continue
        recall, rate = true / positives, false / negatives
        pr += (recall - last_recall) * true / (true + false)
        roc += (rate - last_rate) * (recall + last_recall) / 2
        last_recall, last_rate = recall, rate
    return roc, pr


def _loop_f1(labels: np.ndarray, decisions: np.ndarray) -> float:
    """The F1 of one class, record after record."""
    true = false = missed = 0
    for label, decision in zip(labels, decisions, strict=True):
        if label and decision:
            true += 1
        elif decision:
            false += 1
        elif label:
            missed += 1
    return 2 * true / (2 * true + false + missed) if true + false + missed else float("nan")


def _loop_wrong(labels: np.ndarray, decisions: np.ndarray) -> tuple[float, float]:
    """Specificity and share of wrong decisions of one class, record after record."""
    negatives = kept = wrong = 0
    for label, decision in zip(labels, decisions, strict=True):
        negatives += not label
        kept += not label and not decision
        wrong += label != decision
    return kept / negatives, wrong / len(labels)


def _loop_reward(labels: np.ndarray, outputs: np.ndarray) -> float:
    """The Challenge's reward, over all pairs of a label and an output of each record."""
    total = 0.0
    for label, output in zip(labels, outputs, strict=True):
        share = max(1, int((label | output).sum()))
        for j in np.flatnonzero(label):
            for k in np.flatnonzero(output):
                total += REWARDS[j, k] / share
    return total


def grid_search(labels: np.ndarray, scores: np.ndarray) -> list[float]:
    """The threshold of each class by trying 0, 0.01, .. 1, one F1 a try, in NumPy."""
    best = []
    for k in range(CLASSES):
        f1 = [_array_f1(labels[:, k], scores[:, k] > step / 100) for step in range(101)]
        best.append(int(np.argmax(f1)) / 100)
    return best


def _array_f1(labels: np.ndarray, decisions: np.ndarray) -> float:
    """F1 from the confusion matrix of checked 0/1 arrays, as metric libraries reckon it."""
    values, places = np.unique(
        np.concatenate([labels, decisions]).astype(np.int64), return_inverse=True
    )
    count = len(values)
    pairs = places[: len(labels)] * count + places[len(labels) :]
    table = np.bincount(pairs, minlength=count * count).reshape(count, count)
    if count < 2:
        return 0.0
    return 2 * table[1, 1] / max(1, 2 * table[1, 1] + table[0, 1] + table[1, 0])
