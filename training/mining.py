"""Triplets out of a batch: for each pair of pictures of one person, the stranger that is to be pushed away.

After FaceNet (Schroff et al., 2015). `semi_hard` takes one of the strangers farther than the positive but
within the margin; `hardest` the nearest stranger; `random` any. Which of several is drawn comes with the
batch, as a score for each two pictures, so that a run can be repeated.
"""

from typing import Any, NamedTuple, TypeAlias

from keras import ops

from training.config import Mining

Tensor: TypeAlias = Any
"""A backend's tensor."""


class Triplets(NamedTuple):
    """For every anchor i and positive j: whether there is a triplet, and its two squared distances (n, n)."""

    chosen: Tensor
    positive: Tensor
    negative: Tensor


def squared_distances(vectors: Tensor) -> Tensor:
    """Between all vectors (n, d) of length 1: (n, n), 0 to 4."""
    return ops.maximum(2.0 - 2.0 * ops.matmul(vectors, ops.transpose(vectors)), 0.0)


def mine(distances: Tensor, labels: Tensor, scores: Tensor, margin: float, how: Mining) -> Tensor:
    """The triplets of a batch, from its squared distances (n, n), labels (n,) and scores (n, n) in [0, 1)."""
    stranger = ops.not_equal(labels[:, None], labels[None, :])
    itself = ops.eye(ops.shape(labels)[0], dtype="bool")
    friend = ops.logical_not(ops.logical_or(stranger, itself))
    positive, negative = distances[:, :, None], distances[:, None, :]
    allowed = stranger[:, None, :]
    if how == "semi_hard":
        near = ops.logical_and(negative > positive, negative < positive + margin)
        allowed = ops.logical_and(allowed, near)
    # Each anchor and positive draws a stranger of its own.
    draw = ops.mod(scores[:, None, :] + scores[None, :, :], 1.0)
    key = -negative + 0.0 * draw if how == "hardest" else draw
    key = ops.where(allowed, key, -1e9)
    best = ops.argmax(key, axis=2)
    found = ops.any(ops.broadcast_to(allowed, ops.shape(key)), axis=2)
    far = ops.take_along_axis(distances, best, axis=1)
    return Triplets(ops.logical_and(friend, found), distances, far)


def triplet(
    labels: Tensor, vectors: Tensor, scores: Tensor, margin: float, how: Mining
) -> tuple[Tensor, Tensor]:
    """The mean triplet loss over the mined triplets, and how many of them are active: the loss is above 0."""
    mined = mine(squared_distances(vectors), labels, scores, margin, how)
    weight = ops.cast(mined.chosen, vectors.dtype)
    loss = ops.maximum(mined.positive - mined.negative + margin, 0.0) * weight
    active = ops.sum(ops.cast(loss > 0, vectors.dtype))
    return ops.sum(loss) / ops.maximum(ops.sum(weight), 1.0), active
