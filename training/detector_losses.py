"""Losses of the cascade, in `keras.ops`: score, box and points, each of the samples that have it.

`training.cascade_labels` names the columns of labels and outputs. A sample without a label of some kind has
weight 0 there (Zhang et al., 2016, eq. 4).
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from keras import ops

from training.cascade_labels import Label, Output

Tensor: TypeAlias = Any
"""A backend's tensor."""

BOX_BEND, POINT_BEND = 0.05, 0.02
"""Where the box's and the points' losses turn from squared to linear, in sides of the net's picture."""


def hardest(losses: Tensor, known: Tensor, count: Tensor) -> Tensor:
    """1 for the `count` greatest losses (n,) among those known, 0 for the rest (Shrivastava et al., 2016)."""
    ranked = ops.flip(ops.sort(ops.where(known, losses, -1.0)))
    at = ops.clip(ops.cast(count, "int32") - 1, 0, ops.shape(ranked)[0] - 1)
    least = ops.take(ranked, at)
    return ops.cast(ops.logical_and(known, losses >= least), losses.dtype)


def score_loss(label: Tensor, weight: Tensor, logit: Tensor, share: float, rivals: float) -> Tensor:
    """Cross-entropy over the hardest samples of a batch, as a mean; all arguments (n,).

    The hardest are that `share` of those with a label; with `rivals` above 0, so many for each face at most.
    """
    known = weight > 0
    losses = ops.maximum(logit, 0.0) - logit * label + ops.log1p(ops.exp(-ops.absolute(logit)))
    count = share * ops.sum(ops.cast(known, losses.dtype))
    if rivals > 0:
        faces = ops.sum(ops.where(known, label, 0.0))
        count = ops.minimum(count, ops.maximum(faces, 1.0) * (1.0 + rivals))
    chosen = ops.stop_gradient(hardest(losses, known, ops.maximum(count, 1.0))) * weight
    return ops.sum(losses * chosen) / ops.maximum(ops.sum(chosen), 1.0)


def smooth(truth: Tensor, found: Tensor, weight: Tensor, bend: float) -> Tensor:
    """Smooth L1 (Girshick, 2015), squared below `bend`: summed over coordinates, averaged over samples.

    `truth` and `found` (n, k), `weight` (n,).
    """
    error = ops.absolute(truth - found)
    each = ops.sum(ops.where(error < bend, 0.5 * error**2 / bend, error - 0.5 * bend), axis=-1)
    return ops.sum(each * weight) / ops.maximum(ops.sum(weight), 1.0)


def cascade_loss(
    share: float, rivals: float, box: float, points: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """The loss of one stage, `(truth, found)` to one number; `box` and `points` weigh against the score."""

    def loss(truth: Tensor, found: Tensor) -> Tensor:
        truth = ops.reshape(truth, (-1, truth.shape[-1]))
        found = ops.cast(ops.reshape(found, (-1, found.shape[-1])), truth.dtype)
        total = score_loss(
            truth[:, Label.FACE], truth[:, Label.FACE_WEIGHT], found[:, Output.LOGIT], share, rivals
        )
        weight = truth[:, Label.OFFSETS_WEIGHT]
        total += box * smooth(truth[:, Label.OFFSETS], found[:, Output.OFFSETS], weight, BOX_BEND)
        if truth.shape[-1] == Label.WIDTH_WITH_POINTS:
            weight = truth[:, Label.POINTS_WEIGHT]
            total += points * smooth(truth[:, Label.POINTS], found[:, Output.POINTS], weight, POINT_BEND)
        return total

    return loss
