"""Losses of the cascade, in `keras.ops`: score, box and points, each over the samples with such a label.

`training.config.columns` names the columns of labels and outputs. A sample without a label of a kind has
weight 0 there (Zhang et al., 2016, eq. 4).
"""

from collections.abc import Callable

from keras import ops

from training.config.columns import CascadeLabel, CascadeOutput
from training.config.schema import StageConfig
from training.losses.tensor import Tensor

BOX_BETA, POINTS_BETA = 0.05, 0.02
"""Errors below which smooth L1 is quadratic, in sides of the net's input."""


def hardest(losses: Tensor, known: Tensor, count: Tensor) -> Tensor:
    """Return 1 for the `count` greatest losses (n,) among those known, 0 for the rest.

    Online hard example mining, Shrivastava et al. (2016).
    """
    ranked = ops.flip(ops.sort(ops.where(known, losses, -1.0)))
    position = ops.clip(ops.cast(count, "int32") - 1, 0, ops.shape(ranked)[0] - 1)
    threshold = ops.take(ranked, position)
    return ops.cast(ops.logical_and(known, losses >= threshold), losses.dtype)


def score_loss(
    label: Tensor, weight: Tensor, logit: Tensor, ohem_fraction: float, negatives_per_positive: float
) -> Tensor:
    """Return the mean cross-entropy of the hardest samples of a batch.

    Args:
        label: 1 for a face (n,).
        weight: 1 for a sample with a label (n,).
        logit: logit of the score (n,).
        ohem_fraction: share of the labelled samples that is used.
        negatives_per_positive: maximum number of other samples used per positive; 0 sets no limit.
    """
    known = weight > 0
    losses = ops.maximum(logit, 0.0) - logit * label + ops.log1p(ops.exp(-ops.absolute(logit)))
    count = ohem_fraction * ops.sum(ops.cast(known, losses.dtype))
    if negatives_per_positive > 0:
        positives = ops.sum(ops.where(known, label, 0.0))
        count = ops.minimum(count, ops.maximum(positives, 1.0) * (1.0 + negatives_per_positive))
    chosen = ops.stop_gradient(hardest(losses, known, ops.maximum(count, 1.0))) * weight
    return ops.sum(losses * chosen) / ops.maximum(ops.sum(chosen), 1.0)


def smooth_l1(labels: Tensor, outputs: Tensor, weight: Tensor, beta: float) -> Tensor:
    """Return the smooth L1 loss (Girshick, 2015): summed over coordinates, averaged over samples.

    Args:
        labels: coordinates (n, k).
        outputs: predicted coordinates (n, k).
        weight: 1 for a sample with a label (n,).
        beta: error below which the loss is quadratic.
    """
    error = ops.absolute(labels - outputs)
    sums = ops.sum(ops.where(error < beta, 0.5 * error**2 / beta, error - 0.5 * beta), axis=-1)
    return ops.sum(sums * weight) / ops.maximum(ops.sum(weight), 1.0)


def cascade_loss(config: StageConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss of a stage: labels (..., 7 or 18) and outputs (..., 5 or 15) to a scalar."""

    def loss(labels: Tensor, outputs: Tensor) -> Tensor:
        labels = ops.reshape(labels, (-1, labels.shape[-1]))
        outputs = ops.cast(ops.reshape(outputs, (-1, outputs.shape[-1])), labels.dtype)
        total = score_loss(
            labels[:, CascadeLabel.FACE],
            labels[:, CascadeLabel.FACE_WEIGHT],
            outputs[:, CascadeOutput.LOGIT],
            config.ohem_fraction,
            config.negatives_per_positive,
        )
        total += config.box_weight * smooth_l1(
            labels[:, CascadeLabel.OFFSETS],
            outputs[:, CascadeOutput.OFFSETS],
            labels[:, CascadeLabel.OFFSETS_WEIGHT],
            BOX_BETA,
        )
        if labels.shape[-1] == CascadeLabel.WIDTH_WITH_POINTS:
            total += config.points_weight * smooth_l1(
                labels[:, CascadeLabel.POINTS],
                outputs[:, CascadeOutput.POINTS],
                labels[:, CascadeLabel.POINTS_WEIGHT],
                POINTS_BETA,
            )
        return total

    return loss
