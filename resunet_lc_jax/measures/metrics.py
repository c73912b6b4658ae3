"""The Challenge's metrics, exact, in NumPy on the host; no loop over records.

Conventions of the official evaluator (physionetchallenges/evaluation-2021): a value that is not
defined is NaN, and a macro average is the mean over the classes that are not NaN.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from resunet_lc_jax.measures.ranking import areas, rank, rank_ascending, ratio, weighted_areas
from tfds_physionet.diagnoses import REWARDS, SINUS_RHYTHM

MACRO_METRICS = (
    "auroc",
    "auprc",
    "accuracy",
    "f_measure",
    "challenge_metric",
    "specificity",
    "hamming_loss",
    "auprc_of_decisions",
)
# Those that `score` gives for each class.
CLASS_METRICS = ("auroc", "auprc", "f_measure")


def macro(classes: np.ndarray) -> np.ndarray:
    """The mean of [..., K] over the classes that are not NaN; NaN if all are."""
    defined = ~np.isnan(classes)
    return ratio(np.where(defined, classes, 0.0).sum(axis=-1), defined.sum(axis=-1))


def decision_metrics(
    true_positives: np.ndarray, labelled: np.ndarray, decided: np.ndarray, total: np.ndarray | float
) -> dict[str, np.ndarray]:
    """What follows from the confusion counts [..., K] of each class.

    Args:
      true_positives: [..., K].
      labelled: [..., K] TP + FN.
      decided: [..., K] TP + FP.
      total: [...] all records.

    Returns:
      f_measure (NaN if 2 TP + FP + FN = 0), specificity (NaN without negatives) and
      auprc_of_decisions (the 0/1 decisions taken for scores; NaN without positives), all [..., K].
    """
    total = np.asarray(total, np.float64)[..., None]
    negatives = total - labelled
    # Two distinct scores, hence two steps: all that were decided for, then everything.
    steps = true_positives**2 / np.maximum(decided, 1)
    steps = steps + (labelled - true_positives) * labelled / np.maximum(total, 1)
    return {
        "f_measure": ratio(2.0 * true_positives, labelled + decided),
        "specificity": ratio(negatives - (decided - true_positives), negatives),
        "auprc_of_decisions": ratio(steps, labelled),
    }


def challenge_rewards(labels: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """Each record's share of the Challenge metric, before normalisation.

    Args:
      labels: [N, 26] bool.
      decisions: [N, 26] bool.

    Returns:
      [N, 3] float64: the reward as decided, if decided rightly, and if called sinus rhythm alone.
      A reward is the sum of `REWARDS` over all pairs of a label and a decision, divided by the
      number of classes in either (at least 1).
    """
    worth = labels.astype(np.float64) @ REWARDS
    either = (labels | decisions).sum(axis=1)
    labelled = labels.sum(axis=1)
    return np.stack(
        [
            (worth * decisions).sum(axis=1) / np.maximum(either, 1),
            (worth * labels).sum(axis=1) / np.maximum(labelled, 1),
            worth[:, SINUS_RHYTHM] / (labelled + ~labels[:, SINUS_RHYTHM]),
        ],
        axis=1,
    )


def co_occurrence(labels: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """The Challenge metric's confusion matrix.

    Args:
      labels: [N, 26] bool.
      decisions: [N, 26] bool.

    Returns:
      [26 labels, 26 decisions] float64: over all records, pairs of a label and a decision, each
      divided by the number of classes in either. `REWARDS` times it, summed, is the reward.
    """
    either = np.maximum((labels | decisions).sum(axis=1, keepdims=True), 1)
    return labels.T.astype(np.float64) @ (decisions / either)


def wrong_where_missed(labels: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """What was decided in error where a label was missed.

    Args:
      labels: [N, 26] bool.
      decisions: [N, 26] bool.

    Returns:
      [26 labels, 26 decisions] int64: of the records with the row's label that were not decided for
      it, how many were wrongly decided for the column's class; on the diagonal all that were
      missed. A classifier that is always right has 0 throughout.
    """
    missed = (labels & ~decisions).astype(np.int64)
    counts = missed.T @ (decisions & ~labels).astype(np.int64)
    np.fill_diagonal(counts, missed.sum(axis=0))
    return counts


def challenge_metric(rewards: np.ndarray) -> np.ndarray:
    """The Challenge metric from summed `challenge_rewards` [..., 3].

    1 for a classifier that is always right, 0 for one that always says sinus rhythm; 0 where these
    two cannot be told apart.
    """
    gained, possible = rewards[..., 0] - rewards[..., 2], rewards[..., 1] - rewards[..., 2]
    return np.nan_to_num(ratio(gained, possible))


def check(labels: np.ndarray, scores: np.ndarray, decisions: np.ndarray) -> list[np.ndarray]:
    """Returns labels and decisions as bool and scores as given, or raises ValueError."""
    checked = []
    for name, values in (("labels", labels), ("scores", scores), ("decisions", decisions)):
        values = np.asarray(values)
        if values.ndim != 2 or values.shape[1] != len(REWARDS) or len(values) != len(labels):
            raise ValueError(
                f"{name} are {values.shape}; expected {(len(labels), len(REWARDS))}, "
                "one row per record and one column per class"
            )
        if name != "scores":
            if not np.all((values == 0) | (values == 1)):
                raise ValueError(f"{name} hold values other than 0 and 1")
            values = values.astype(bool)
        elif np.isnan(values).any():
            row, column = np.argwhere(np.isnan(values))[0]
            raise ValueError(f"scores hold NaN, first in record {row}, class {column}")
        checked.append(values)
    return checked


def score(labels: np.ndarray, scores: np.ndarray, decisions: np.ndarray) -> dict:
    """Scores a classifier as the Challenge does.

    Args:
      labels: [N, 26] 0/1.
      scores: [N, 26] any numbers; higher means more likely.
      decisions: [N, 26] 0/1.

    Returns:
      The floats `MACRO_METRICS`, and auroc_classes, auprc_classes, f_measure_classes (26 floats
      each). accuracy: share of records with all classes right; hamming_loss: share of wrong
      decisions; challenge_metric: of Reyna et al., "Will Two Do?", CinC 2021.

    Raises:
      ValueError: a shape does not fit, scores hold NaN, or the others are not 0/1.
    """
    once = np.ones((1, len(labels)), np.int32)
    return first_row(weighted_scores(labels, scores, decisions, [once]))


def score_class(labels: np.ndarray, scores: np.ndarray, decisions: np.ndarray) -> dict[str, float]:
    """`score`'s metrics of one class, [N] each, and its specificity; labels and decisions bool."""
    found = rank(labels, scores)
    roc, pr = areas(found.below, found.upto, found.positives, len(labels))
    both, labelled, decided = (
        np.array([of.sum()]) for of in (labels & decisions, labels, decisions)
    )
    shares = decision_metrics(both, labelled, decided, len(labels))
    return {
        "auroc": float(roc),
        "auprc": float(pr),
        "f_measure": float(shares["f_measure"][0]),
        "specificity": float(shares["specificity"][0]),
    }


def first_row(replicates: Mapping[str, np.ndarray]) -> dict:
    """The keys of `score` in the first row of `weighted_scores`, as plain numbers."""
    keys = (*MACRO_METRICS, *(f"{key}_classes" for key in CLASS_METRICS))
    return {key: replicates[key][0].tolist() for key in keys}


def weighted_scores(
    labels: np.ndarray, scores: np.ndarray, decisions: np.ndarray, weights: Iterable[np.ndarray]
) -> dict[str, np.ndarray]:
    """`score` of each of R replicates, as if its records were repeated by their weights.

    Each class is ranked once; only sums of weights are renewed. A class that has positives, but
    none in a replicate, is undefined there in every metric of its own, F-measure included.

    Args:
      labels: [N, 26] 0/1.
      scores: [N, 26].
      decisions: [N, 26] 0/1.
      weights: blocks [replicates, N] of whole numbers, R rows in all.

    Returns:
      The keys of `score`: [R], or [R, 26] where that has a list of the classes; and
      auprc_of_others_classes [R, 26], see `ranking.auprc_of_others`.

    Raises:
      ValueError: as `score`.
    """
    labels, scores, decisions = check(labels, scores, decisions)
    columns = np.ascontiguousarray(scores.T)
    orders = np.argsort(columns, axis=1)
    ranked = [
        label[order] for label, order in zip(np.ascontiguousarray(labels.T), orders, strict=True)
    ]
    rankings = [
        rank_ascending(label, column[order])
        for label, column, order in zip(ranked, columns, orders, strict=True)
    ]
    wrong = labels != decisions
    rewards = challenge_rewards(labels, decisions)
    # What is a plain sum over records: TP, TP + FN and TP + FP of each class, and so on.
    summands = np.concatenate(
        [
            labels & decisions,
            labels,
            decisions,
            ~wrong.any(axis=1, keepdims=True),
            wrong.sum(axis=1, keepdims=True),
        ],
        axis=1,
        dtype=np.float64,
    )
    count = labels.shape[1]
    blocks = []
    for block in weights:
        total = block.sum(axis=1)
        both, labelled, decided, right, errors = np.split(
            block @ summands, np.cumsum([count, count, count, 1]), axis=1
        )
        shares = decision_metrics(both, labelled, decided, total)
        f_measure = np.where((labelled == 0) & labels.any(axis=0), np.nan, shares["f_measure"])
        roc, pr, others = (np.full(both.shape, np.nan) for _ in range(3))
        for k, ranking in enumerate(rankings):
            if len(ranking.positives):
                roc[:, k], pr[:, k], others[:, k] = weighted_areas(
                    block, orders[k], orders[k][ranked[k]], ranking
                )
        blocks.append(
            {
                "auroc": macro(roc),
                "auprc": macro(pr),
                "accuracy": ratio(right[:, 0], total),
                "f_measure": macro(f_measure),
                # Summed record by record: a matrix product would add in another order.
                "challenge_metric": challenge_metric(
                    np.einsum("rn,nk->rk", block.astype(np.float64), rewards)
                ),
                "specificity": macro(shares["specificity"]),
                "hamming_loss": ratio(errors[:, 0], total * count),
                "auprc_of_decisions": macro(shares["auprc_of_decisions"]),
                "auroc_classes": roc,
                "auprc_classes": pr,
                "f_measure_classes": f_measure,
                "auprc_of_others_classes": others,
            }
        )
    return {key: np.concatenate([block[key] for block in blocks]) for key in blocks[0]}
