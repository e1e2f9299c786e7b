"""Center loss (Wen et al., 2016): each person's features are drawn to a center that follows them."""

from typing import Any

import keras
from keras import ops

from training.mining import Tensor


class CenterLoss(keras.Layer):  # type: ignore[misc] # keras has no types
    """Passes features (n, d) on, and adds `weight` times half their mean squared distance to their centers.

    After each batch a center moves by `1 - alpha` of the sum of its features' differences to it over one more
    than there are of them in the batch, so that one picture moves it half as far as many do.
    """

    def __init__(self, people: int, weight: float, alpha: float, **options: Any) -> None:
        super().__init__(**options)
        self._people, self._weight, self._alpha = people, weight, alpha

    def build(self, input_shape: tuple[tuple[int | None, ...], ...]) -> None:
        """Centers begin at 0, where features normalised over the batch have their middle."""
        self.centers = self.add_weight(
            shape=(self._people, input_shape[0][-1]), initializer="zeros", trainable=False, name="centers"
        )

    def call(self, inputs: tuple[Tensor, Tensor], training: bool = False) -> Tensor:
        """Features (n, d) and their people's numbers (n, 1) in, the features out."""
        features, labels = inputs
        labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
        off = features - ops.stop_gradient(ops.take(self.centers, labels, axis=0))
        self.add_loss(self._weight * 0.5 * ops.mean(ops.sum(ops.square(off), axis=-1)))
        if training:
            self.centers.assign(moved(self.centers, features, labels, self._alpha))
        return features

    def compute_output_shape(self, input_shape: tuple[tuple[int | None, ...], ...]) -> tuple[int | None, ...]:
        """The features' own."""
        return input_shape[0]


def moved(centers: Tensor, features: Tensor, labels: Tensor, alpha: float) -> Tensor:
    """Where the centers (people, d) are after a batch of features (n, d) of people (n,)."""
    one_hot = ops.cast(ops.equal(labels[:, None], ops.arange(ops.shape(centers)[0])[None, :]), features.dtype)
    count = ops.sum(one_hot, axis=0)[:, None]
    total = ops.matmul(ops.transpose(one_hot), ops.stop_gradient(features))
    return centers + (1.0 - alpha) * (total - count * centers) / (1.0 + count)
