"""Losses of landmark regression, in `keras.ops`. A coordinate without a label is NaN and is left out.

A loss takes labels and outputs, unit coordinates (n, 2k), and returns one number per face (n,). Keras takes
the mean.
"""

from keras import ops

from training.losses.tensor import Loss, Tensor

WING_WIDTH, WING_CURVATURE = 10 / 256, 2 / 256
"""w and epsilon of the Wing loss. Feng et al. give them in pixels of a 256-pixel image."""


def _residual(labels: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return `outputs - labels`, 0 without a label, and the number of labelled coordinates per face, or 1."""
    known = ops.logical_not(ops.isnan(labels))
    count = ops.sum(ops.cast(known, outputs.dtype), axis=-1)
    return outputs - ops.where(known, labels, outputs), ops.maximum(count, 1.0)


def mean_squared(labels: Tensor, outputs: Tensor) -> Tensor:
    """Return the mean squared error of the coordinates."""
    residual, count = _residual(labels, outputs)
    return ops.sum(ops.square(residual), axis=-1) / count


def root_mean_squared(labels: Tensor, outputs: Tensor) -> Tensor:
    """Return the root mean squared error over the batch, the same number for each face.

    It is the score of Kaggle's Facial Keypoints Detection, and the loss of the TensorFlow tutorial on it.
    """
    residual, _ = _residual(labels, outputs)
    known = ops.cast(ops.logical_not(ops.isnan(labels)), outputs.dtype)
    mean = ops.sum(ops.square(residual)) / ops.maximum(ops.sum(known), 1.0)
    # The derivative of the root at 0 is infinite.
    return ops.sqrt(mean + 1e-16) * ops.ones_like(residual[:, 0])


def pairwise_squared(labels: Tensor, outputs: Tensor) -> Tensor:
    """Return the mean, over pairs of coordinates, of the squared difference of their errors.

    It is TensorFlow 1's `mean_pairwise_squared_error`, which the tutorial of Yin Guobing uses by mistake for
    the mean squared error. It does not change if one number is added to all coordinates: it trains the shape
    of the face, but not its position.
    """
    residual, count = _residual(labels, outputs)
    square = ops.sum(ops.square(residual), axis=-1)
    total = ops.sum(residual, axis=-1)
    pairs = ops.maximum(count * (count - 1.0), 1.0)
    return 2.0 * (count * square - ops.square(total)) / pairs


def wing(labels: Tensor, outputs: Tensor) -> Tensor:
    """Return the Wing loss (Feng et al., 2018).

    It is logarithmic for small errors, to which the mean squared error gives little weight.
    """
    residual, count = _residual(labels, outputs)
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
"""The losses by the names of `training.config.schema.LossName`."""
