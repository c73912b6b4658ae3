"""Training losses, as pure functions of logits or probabilities.

Each takes logits or probabilities [B, K] and labels [B, K] from 0 to 1, and gives a scalar: the
mean over classes and over the examples whose `mask` [B] is 1. `weights` [B, K] scale its terms but
not the divisor, so that the loss of a batch is the mean of the losses of its parts, however it is
split over devices; a weight of 0 makes that logit's gradient exactly 0, which is how a class that a
source never annotates is left out.
"""

import jax.numpy as jnp
import numpy as np
from jax import lax, nn
from jaxtyping import Array, Float, Shaped

from tfds_physionet.diagnoses import REWARDS

_Classes = Float[Array, "B K"]
_PerClass = Float[Array | np.ndarray, " K"]
_Mask = Float[Array, " B"] | None
_Weights = Shaped[Array, "B K"] | None
_Scalar = Float[Array, ""]


def masked_mean(terms: _Classes, mask: _Mask = None, weights: _Weights = None) -> _Scalar:
    """Mean of terms over classes and the examples with mask 1; 0 where there are none."""
    if weights is not None:
        terms = terms * weights
    if mask is None:
        return terms.mean()
    return (terms * mask[:, None]).sum() / (jnp.maximum(mask.sum(), 1) * terms.shape[1])


def bce_with_logits(
    logits: _Classes,
    labels: _Classes,
    *,
    pos_weight: _PerClass | None = None,
    mask: _Mask = None,
    weights: _Weights = None,
) -> _Scalar:
    """Binary cross-entropy; pos_weight [K] is a factor of the positive term.

    Negatives / positives balances a class.
    """
    positive = -labels * nn.log_sigmoid(logits)
    if pos_weight is not None:
        positive = positive * pos_weight
    return masked_mean(positive - (1 - labels) * nn.log_sigmoid(-logits), mask, weights)


def focal_with_logits(
    logits: _Classes,
    labels: _Classes,
    *,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    mask: _Mask = None,
    weights: _Weights = None,
) -> _Scalar:
    """Focal loss: cross-entropy times (1 - probability of the truth)^gamma.

    Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.

    Args:
      gamma: 0 gives weighted cross-entropy.
      alpha: the weight of positives, 1 - alpha that of negatives; None for 1 and 1.
    """

    def term(towards_truth: Array) -> Array:
        return -jnp.exp(gamma * nn.log_sigmoid(-towards_truth)) * nn.log_sigmoid(towards_truth)

    of_positives, of_negatives = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)
    terms = of_positives * labels * term(logits) + of_negatives * (1 - labels) * term(-logits)
    return masked_mean(terms, mask, weights)


def asymmetric_with_logits(
    logits: _Classes,
    labels: _Classes,
    *,
    gamma_positive: float = 0.0,
    gamma_negative: float = 4.0,
    margin: float = 0.05,
    mask: _Mask = None,
    weights: _Weights = None,
) -> _Scalar:
    """Asymmetric loss: focal, with its own gamma for negatives, whose easiest count nothing.

    Ridnik et al., "Asymmetric Loss For Multi-Label Classification", ICCV 2021. As in their code,
    the focusing factors are constants to the gradient; hence it is finite for every gamma.

    Args:
      gamma_positive: focusing of the positives.
      gamma_negative: focusing of the negatives.
      margin: taken off the negatives' probabilities; below it they have no loss.
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

    Its sum over the batch (higher is better) is the soft score of Nejedly et al., "Classification
    of ECG Using Ensemble of Residual CNNs with Attention Mechanism", CinC 2021.
    """
    rewards = jnp.asarray(REWARDS, probabilities.dtype)
    either = (labels + probabilities - labels * probabilities).sum(axis=1) + 1e-6
    return ((labels @ rewards) * probabilities).sum(axis=1) / either


def sparsity(probabilities: _Classes, *, mask: _Mask = None, weights: _Weights = None) -> _Scalar:
    """Mean of 4 p (1 - p): 1 where undecided, 0 where decided."""
    return masked_mean(4 * probabilities * (1 - probabilities), mask, weights)


def isibrno(
    logits: _Classes,
    scores: _Classes,
    labels: _Classes,
    *,
    batch_size: int,
    pos_weight: _PerClass | None = None,
    mask: _Mask = None,
    weights: _Weights = None,
) -> _Scalar:
    """The loss of Challenge 2021's winner, see `soft_challenge_rewards` for the source.

    Cross-entropy of the logits, minus the soft Challenge score of the scores, plus their sparsity.
    The published soft score is a sum over the batch; it is written as a mean times the size of the
    whole batch, so that the mean over several devices' parts is the loss of the whole.

    Args:
      logits: Of the first head, for the cross-entropy.
      scores: The second head's probabilities.
      labels: As above.
      batch_size: Examples in the global batch.
      pos_weight: See `bce_with_logits`.
      mask: As above.
      weights: As above; in the soft score a 0 counts as never decided.
    """
    decided = scores if weights is None else scores * weights
    rewards = masked_mean(soft_challenge_rewards(decided, labels)[:, None], mask)
    entropy = bce_with_logits(logits, labels, pos_weight=pos_weight, mask=mask, weights=weights)
    undecided = sparsity(scores, mask=mask, weights=weights)
    return entropy - batch_size * rewards + undecided
