"""Training losses, as pure functions of logits or probabilities.

Each classification loss is a mean over classes and over the examples of `mask`. `weights` scale
its terms but not the divisor, so that the loss of a batch is the mean of the losses of its parts,
however it is split over devices; a weight of 0 makes that logit's gradient exactly 0, which is how
a class that a source never annotates is left out.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax, nn
from jaxtyping import Array, Float, Shaped

from tfds_physionet.diagnoses import REWARDS

_PerClass = Float[Array | np.ndarray, " K"]
_Scalar = Float[Array, ""]


def masked_mean(
    terms: Float[Array, "B K"],
    mask: Float[Array, " B"] | None = None,
    weights: Shaped[Array, "B K"] | None = None,
) -> _Scalar:
    """Mean of terms [B, K] over classes and the examples with mask 1.

    Args:
      terms: [B, K].
      mask: [B] 0/1, or None for all. All 0 gives 0.
      weights: [B, K], or None for 1.

    Returns:
      A scalar.
    """
    if weights is not None:
        terms = terms * weights
    if mask is None:
        return terms.mean()
    return (terms * mask[:, None]).sum() / (jnp.maximum(mask.sum(), 1) * terms.shape[1])


def bce_with_logits(
    logits: Float[Array, "B K"],
    labels: Float[Array, "B K"],
    *,
    pos_weight: _PerClass | None = None,
    mask: Float[Array, " B"] | None = None,
    weights: Shaped[Array, "B K"] | None = None,
) -> _Scalar:
    """Binary cross-entropy.

    Args:
      logits: [B, K].
      labels: [B, K] 0 to 1.
      pos_weight: [K], a factor of the positive term; negatives / positives balances a class.
      mask: [B], see `masked_mean`.
      weights: [B, K], see `masked_mean`.

    Returns:
      A scalar.
    """
    positive = -labels * nn.log_sigmoid(logits)
    if pos_weight is not None:
        positive = positive * pos_weight
    return masked_mean(positive - (1 - labels) * nn.log_sigmoid(-logits), mask, weights)


def focal_with_logits(
    logits: Float[Array, "B K"],
    labels: Float[Array, "B K"],
    *,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    mask: Float[Array, " B"] | None = None,
    weights: Shaped[Array, "B K"] | None = None,
) -> _Scalar:
    """Focal loss: cross-entropy times (1 - probability of the truth)^gamma.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    Args:
      logits: [B, K].
      labels: [B, K] 0 to 1.
      gamma: 0 gives weighted cross-entropy.
      alpha: the weight of positives, 1 - alpha that of negatives; None for 1 and 1.
      mask: [B], see `masked_mean`.
      weights: [B, K], see `masked_mean`.

    Returns:
      A scalar.
    """

    def term(towards_truth: Array) -> Array:
        return -jnp.exp(gamma * nn.log_sigmoid(-towards_truth)) * nn.log_sigmoid(towards_truth)

    of_positives, of_negatives = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    terms = of_positives * labels * term(logits) + of_negatives * (1 - labels) * term(-logits)
    return masked_mean(terms, mask, weights)


def asymmetric_with_logits(
    logits: Float[Array, "B K"],
    labels: Float[Array, "B K"],
    *,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
    mask: Float[Array, " B"] | None = None,
    weights: Shaped[Array, "B K"] | None = None,
) -> _Scalar:
    """Asymmetric loss: focal, with its own gamma for negatives, whose easiest count nothing.

    Ridnik et al., "Asymmetric Loss For Multi-Label Classification", ICCV 2021. As in their code,
    the focusing factors are constants to the gradient; hence it is finite for every gamma.

    Args:
      logits: [B, K].
      labels: [B, K] 0 to 1.
      gamma_positive: focusing of the positives.
      gamma_negative: focusing of the negatives.
      margin: taken off the negatives' probabilities; below it they have no loss.
      mask: [B], see `masked_mean`.
      weights: [B, K], see `masked_mean`.

    Returns:
      A scalar.
    """
    focus = lax.stop_gradient(jnp.exp(gamma_positive * nn.log_sigmoid(-logits)))
    positive = focus * nn.log_sigmoid(logits)
    shifted = jnp.maximum(nn.sigmoid(logits) - margin, 0)
    # Without a margin, 1 - shifted rounds to 0 long before the logarithm of it overflows.
    log_rest = jnp.log1p(-shifted) if margin > 0 else nn.log_sigmoid(-logits)
    negative = lax.stop_gradient(shifted**gamma_negative) * log_rest
    return masked_mean(-labels * positive - (1 - labels) * negative, mask, weights)


def soft_challenge_rewards(
    probabilities: Float[Array, "B 26"], labels: Float[Array, "B 26"]
) -> Float[Array, " B"]:
    """The Challenge metric's unnormalised reward of each record, with probabilities for decisions.

    Its sum over the batch is the soft score of Nejedly et al., "Classification of ECG Using
    Ensemble of Residual CNNs with Attention Mechanism", CinC 2021.

    Args:
      probabilities: [B, 26].
      labels: [B, 26] 0/1.

    Returns:
      [B]; higher is better.
    """
    rewards = jnp.asarray(REWARDS, probabilities.dtype)
    either = (labels + probabilities - labels * probabilities).sum(axis=1) + 1e-6
    return ((labels @ rewards) * probabilities).sum(axis=1) / either


def sparsity(
    probabilities: Float[Array, "B K"],
    *,
    mask: Float[Array, " B"] | None = None,
    weights: Shaped[Array, "B K"] | None = None,
) -> _Scalar:
    """Mean of 4 p (1 - p): 1 where undecided, 0 where decided. Probabilities: [B, K]."""
    return masked_mean(4 * probabilities * (1 - probabilities), mask, weights)


def isibrno(
    logits: Float[Array, "B K"],
    scores: Float[Array, "B K"],
    labels: Float[Array, "B K"],
    *,
    batch_size: int,
    pos_weight: _PerClass | None = None,
    mask: Float[Array, " B"] | None = None,
    weights: Shaped[Array, "B K"] | None = None,
) -> _Scalar:
    """The loss of Challenge 2021's winner, see `soft_challenge_rewards` for the source.

    Cross-entropy of the logits, minus the soft Challenge score of the scores, plus their sparsity.
    The published soft score is a sum over the batch; it is written as a mean times the size of the
    whole batch, so that the mean over several devices' parts is the loss of the whole.

    Args:
      logits: [B, 26], for the cross-entropy.
      scores: [B, 26], the second head's probabilities.
      labels: [B, 26] 0 to 1.
      batch_size: Examples in the global batch.
      pos_weight: [26], see `bce_with_logits`.
      mask: [B], see `masked_mean`.
      weights: [B, 26], see `masked_mean`; in the soft score a 0 counts as never decided.

    Returns:
      A scalar.
    """
    decided = scores if weights is None else scores * weights
    rewards = masked_mean(soft_challenge_rewards(decided, labels)[:, None], mask)
    entropy = bce_with_logits(logits, labels, pos_weight=pos_weight, mask=mask, weights=weights)
    undecided = sparsity(scores, mask=mask, weights=weights)
    return entropy - batch_size * rewards + undecided
