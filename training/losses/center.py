"""Center loss (Wen et al., 2016): it pulls the features of each person towards a center that follows them."""

from typing import Any

import keras
from keras import ops

from training.losses.tensor import Tensor


class CenterLoss(keras.Layer):  # type: ignore[misc] # Keras has no types
    """Passes features (n, d) on, and adds half their mean squared distance to their centers as a loss.

    Args:
        people: number of people.
        weight: weight of the loss, lambda in the paper.
        alpha: share of its distance that a center keeps in an update, see `updated_centers`.
        options: options of `keras.Layer`.
    """

    def __init__(self, people: int, weight: float, alpha: float, **options: Any) -> None:
        super().__init__(**options)
        self._people, self._weight, self._alpha = people, weight, alpha

    def build(self, input_shape: tuple[tuple[int | None, ...], ...]) -> None:
        """Create the centers (people, d) at 0, the mean of features with batch normalisation."""
        self.centers = self.add_weight(
            shape=(self._people, input_shape[0][-1]), initializer="zeros", trainable=False, name="centers"
        )

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        """Return the features; add the loss, and in training update the centers.

        Args:
            inputs: features (n, d), and the number of each person (n, 1).
            training: update the centers.
        """
        features, labels = inputs
        labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
        difference = features - ops.stop_gradient(ops.take(self.centers, labels, axis=0))
        self.add_loss(self._weight * 0.5 * ops.mean(ops.sum(ops.square(difference), axis=-1)))
        if training:
            self.centers.assign(updated_centers(self.centers, features, labels, self._alpha))
        return features

    def compute_output_shape(self, input_shape: tuple[tuple[int | None, ...], ...]) -> tuple[int | None, ...]:
        """Return the shape of the features."""
        return input_shape[0]


def updated_centers(centers: Tensor, features: Tensor, labels: Tensor, alpha: float) -> Tensor:
    """Return the centers after a batch (Wen et al., 2016, eq. 4).

    A center moves by `1 - alpha` times the sum of its features' differences from it, divided by one more than
    their number. So the one image of a person moves the center by half the difference.

    Args:
        centers: the centers (people, d).
        features: features of the batch (n, d).
        labels: the person of each image (n,).
        alpha: share of its distance that a center keeps.
    """
    one_hot = ops.cast(ops.equal(labels[:, None], ops.arange(ops.shape(centers)[0])[None, :]), features.dtype)
    count = ops.sum(one_hot, axis=0)[:, None]
    total = ops.matmul(ops.transpose(one_hot), ops.stop_gradient(features))
    return centers + (1.0 - alpha) * (total - count * centers) / (1.0 + count)
