"""Fusion of several embedders: their weighted vectors, concatenated and normalised."""

from collections.abc import Sequence

import keras
from keras import layers, ops


def fusion(widths: Sequence[int], weights: Sequence[float]) -> keras.Model:
    """Return the net: concatenated vectors (n, sum of widths) to `embedding` of the same width and length 1.

    If each vector has length 1, the cosine of two embeddings is the mean of the cosines of their parts,
    weighted by the squares of `weights`.

    Args:
        widths: number of components of each vector.
        weights: factor of each vector.
    """
    vectors = keras.Input((sum(widths),), name="vectors")
    scale = [weight for width, weight in zip(widths, weights, strict=True) for _ in range(width)]
    x = vectors * ops.convert_to_tensor(scale, "float32")
    norm = ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True))
    return keras.Model(
        vectors, {"embedding": layers.Identity(name="embedding")(x / ops.maximum(norm, 1e-10))}
    )
