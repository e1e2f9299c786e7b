"""Several embedders' vectors made one: each weighed, end to end, at length 1."""

from collections.abc import Sequence

import keras
from keras import layers, ops


def fusion(widths: Sequence[int], weights: Sequence[float]) -> keras.Model:
    """Vectors (n, sum of widths), end to end, in; `embedding` of the same width, of length 1, out.

    Each of the vectors has length 1, so the cosine of two embeddings is the mean of their parts' cosines, by
    the squares of the weights.
    """
    vectors = keras.Input((sum(widths),), name="vectors")
    scale = [weight for width, weight in zip(widths, weights, strict=True) for _ in range(width)]
    x = vectors * ops.convert_to_tensor(scale, "float32")
    norm = ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True))
    return keras.Model(
        vectors, {"embedding": layers.Identity(name="embedding")(x / ops.maximum(norm, 1e-10))}
    )
