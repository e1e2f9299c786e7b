"""Losses of the Siamese network, in `keras.ops`: cross-entropy, contrastive, and cross-entropy of all pairs.

`training.config.columns` names the columns of the labels (`PairLabel`) and outputs (`PairOutput`).
"""

import keras
from keras import ops

from training.config.columns import PairLabel, PairOutput
from training.losses.tensor import Tensor


def cross_entropy(labels: Tensor, outputs: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of the pairs' logits. Source: Koch et al. (2015)."""
    same = labels[:, PairLabel.SAME, None]
    logit = outputs[:, PairOutput.LOGIT, None]
    return ops.mean(keras.losses.binary_crossentropy(same, logit, from_logits=True))


def contrastive(same: Tensor, distance: Tensor, margin: float) -> Tensor:
    """Return the contrastive loss of each pair (n,): Hadsell et al. (2006).

    Args:
        same: 1 for genuine pairs, 0 for impostor pairs (n,).
        distance: distance of the two embeddings (n,).
        margin: distance from which an impostor pair has no loss.
    """
    missing = ops.maximum(margin - distance, 0.0)
    return 0.5 * (same * ops.square(distance) + (1.0 - same) * ops.square(missing))


def contrastive_and_cross_entropy(labels: Tensor, outputs: Tensor, margin: float) -> Tensor:
    """Return the contrastive loss of the distances plus the cross-entropy of the logits."""
    apart = contrastive(labels[:, PairLabel.SAME], outputs[:, PairOutput.DISTANCE], margin)
    return cross_entropy(labels, outputs) + ops.mean(apart)


def all_pairs(labels: Tensor, outputs: Tensor) -> Tensor:
    """Return the cross-entropy of each left image of a batch with each right one.

    Genuine and impostor pairs have the same total weight.
    """
    logits = outputs[:, PairOutput.ALL_PAIRS]
    left, right = labels[:, PairLabel.LEFT_PERSON], labels[:, PairLabel.RIGHT_PERSON]
    same = ops.cast(ops.equal(left[:, None], right[None, :]), logits.dtype)
    costs = ops.softplus(logits) - same * logits
    means = [ops.sum(costs * kind) / ops.maximum(ops.sum(kind), 1.0) for kind in (same, 1.0 - same)]
    return 0.5 * (means[0] + means[1])


def accuracy(labels: Tensor, outputs: Tensor) -> Tensor:
    """Return the share of pairs whose logit has the right sign."""
    same = labels[:, PairLabel.SAME]
    return ops.mean(ops.cast(ops.equal(outputs[:, PairOutput.LOGIT] > 0, same > 0.5), outputs.dtype))
