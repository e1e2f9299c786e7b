"""Triplet loss with mining inside the batch, in `keras.ops` (FaceNet, Schroff et al., 2015).

Each two images of one person are an anchor and a positive. The negative is an image of another person:

- `semi_hard`: random among those farther from the anchor than the positive, but within the margin;
- `violating`: random among those within the margin, also if they are nearer than the positive. This is
  `select_triplets` of the tutorial;
- `hardest`: the nearest to the anchor;
- `random`: any.

The random choice comes with the batch, as a score for each two images, so that a run can be repeated.
"""

from typing import NamedTuple

from keras import ops

from training.config.columns import TripletLabel
from training.config.schema import TripletMining
from training.losses.tensor import Tensor


class Triplets(NamedTuple):
    """The triplets of a batch: for anchor i and positive j, whether there is one, and its squared distances.

    All three are (n, n): `chosen` boolean, `positive` from anchor to positive, `negative` from anchor to
    the mined negative.
    """

    chosen: Tensor
    positive: Tensor
    negative: Tensor


def squared_distances(embeddings: Tensor) -> Tensor:
    """Return the squared distances (n, n), 0 to 4, of embeddings (n, d) of length 1."""
    return ops.maximum(2.0 - 2.0 * ops.matmul(embeddings, ops.transpose(embeddings)), 0.0)


def mine(distances: Tensor, people: Tensor, scores: Tensor, margin: float, mining: TripletMining) -> Triplets:
    """Return the triplets of a batch.

    Args:
        distances: squared distances (n, n).
        people: the person of each image (n,).
        scores: random numbers in [0, 1) (n, n), which choose among several negatives.
        margin: alpha, in squared distance.
        mining: how the negative is chosen.
    """
    differs = ops.not_equal(people[:, None], people[None, :])
    itself = ops.eye(ops.shape(people)[0], dtype="bool")
    is_positive = ops.logical_not(ops.logical_or(differs, itself))
    positive, negative = distances[:, :, None], distances[:, None, :]
    allowed = differs[:, None, :]
    if mining in ("semi_hard", "violating"):
        allowed = ops.logical_and(allowed, negative < positive + margin)
    if mining == "semi_hard":
        allowed = ops.logical_and(allowed, negative > positive)
    # The sum gives every pair of anchor and positive a random order of its own.
    order = ops.mod(scores[:, None, :] + scores[None, :, :], 1.0)
    key = -negative + 0.0 * order if mining == "hardest" else order
    key = ops.where(allowed, key, -1e9)
    best = ops.argmax(key, axis=2)
    has_negative = ops.any(ops.broadcast_to(allowed, ops.shape(key)), axis=2)
    mined = ops.take_along_axis(distances, best, axis=1)
    return Triplets(ops.logical_and(is_positive, has_negative), distances, mined)


def triplet_loss(
    labels: Tensor, embeddings: Tensor, margin: float, mining: TripletMining
) -> tuple[Tensor, Tensor]:
    """Return the mean loss of the mined triplets, and the number of active ones, whose loss is above 0.

    Args:
        labels: rows of `TripletLabel` (n, 1 + n).
        embeddings: vectors of length 1 (n, d).
        margin: alpha, in squared distance.
        mining: how the negative is chosen.
    """
    people, scores = labels[:, TripletLabel.PERSON], labels[:, TripletLabel.SCORES]
    triplets = mine(squared_distances(embeddings), people, scores, margin, mining)
    weight = ops.cast(triplets.chosen, embeddings.dtype)
    loss = ops.maximum(triplets.positive - triplets.negative + margin, 0.0) * weight
    active = ops.sum(ops.cast(loss > 0, embeddings.dtype))
    return ops.sum(loss) / ops.maximum(ops.sum(weight), 1.0), active
