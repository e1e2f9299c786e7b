"""Losses of point regression, in `keras.ops`. A coordinate without a label is NaN, and does not count.

All take unit coordinates (n, 2k) and give one number a face (n,), whose mean is the loss.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from keras import ops

Tensor: TypeAlias = Any
"""A backend's tensor."""

Loss = Callable[[Tensor, Tensor], Tensor]

WING_WIDTH, WING_CURVATURE = 10 / 256, 2 / 256
"""Feng's w and epsilon, given there in pixels of a 256-pixel picture."""


def _residual(truth: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """`found - truth`, 0 where there is no label, and how many coordinates of each face have one."""
    known = ops.logical_not(ops.isnan(truth))
    count = ops.sum(ops.cast(known, found.dtype), axis=-1)
    return found - ops.where(known, truth, found), ops.maximum(count, 1.0)


def mean_squared(truth: Tensor, found: Tensor) -> Tensor:
    """The mean of the squared coordinate errors."""
    residual, count = _residual(truth, found)
    return ops.sum(ops.square(residual), axis=-1) / count


def root_mean_squared(truth: Tensor, found: Tensor) -> Tensor:
    """The root of the mean squared coordinate error over all of the batch: the same for each of its faces.

    Kaggle's score, and the loss of the TensorFlow tutorial on its keypoints.
    """
    residual, _ = _residual(truth, found)
    known = ops.cast(ops.logical_not(ops.isnan(truth)), found.dtype)
    mean = ops.sum(ops.square(residual)) / ops.maximum(ops.sum(known), 1.0)
    # The root's slope at 0 is infinite.
    return ops.sqrt(mean + 1e-16) * ops.ones_like(residual[:, 0])


def pairwise_squared(truth: Tensor, found: Tensor) -> Tensor:
    """The mean, over pairs of coordinates, of the squared difference of their errors.

    TensorFlow 1's `mean_pairwise_squared_error`, which the first tutorial's author took for mean squared
    error. Adding one number to every coordinate leaves it as it is: the shape is learned, its place is not.
    """
    residual, count = _residual(truth, found)
    square = ops.sum(ops.square(residual), axis=-1)
    total = ops.sum(residual, axis=-1)
    pairs = ops.maximum(count * (count - 1.0), 1.0)
    return 2.0 * (count * square - ops.square(total)) / pairs


def wing(truth: Tensor, found: Tensor) -> Tensor:
    """Wing loss (Feng et al., 2018): logarithmic for small errors, which mean squared error neglects."""
    residual, count = _residual(truth, found)
    error = ops.absolute(residual)
    offset = WING_WIDTH * (1.0 - ops.log(1.0 + WING_WIDTH / WING_CURVATURE))
    small = WING_WIDTH * ops.log(1.0 + error / WING_CURVATURE)
    return ops.sum(ops.where(error < WING_WIDTH, small, error - offset), axis=-1) / count


LOSSES: dict[str, Loss] = {
    "mean_squared": mean_squared,
    "pairwise_squared": pairwise_squared,
    "root_mean_squared": root_mean_squared,
    "wing": wing,
}
