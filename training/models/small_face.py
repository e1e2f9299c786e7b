"""A small residual net for embeddings, which trains on a few thousand faces without a GPU.

It is a ResNet (He et al., 2016); its last stage is at 1/16 of the input's side. As in
ArcFace (Deng et al., 2019), the features keep their positions until one dense layer: the faces are aligned,
and an average over positions would lose what distinguishes people.
"""

import keras
from keras import layers

Stages = tuple[tuple[int, int], ...]
"""Filters, and number of residual blocks after the convolution that halves the map, of each stage."""

SMALL: Stages = ((32, 1), (64, 1), (128, 1))
LARGE: Stages = ((48, 1), (96, 2), (192, 2))


def small_face(size: int, dimension: int, dropout: float = 0.2, stages: Stages = SMALL) -> keras.Model:
    """Return the net: RGB float, 0..255, (n, size, size, 3) to features (n, dimension), not normalised.

    The features have batch normalisation, so each has mean 0, and cosines need no centring. With the stages
    `SMALL` an image of 32 pixels takes 5 million multiplications, one of 48 pixels 11 million. With `LARGE`
    one of 80 pixels takes 100 million.

    Args:
        size: side of the input in pixels.
        dimension: number of features.
        dropout: rate of the dropout before the dense layer.
        stages: the stages of the net.
    """
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, dtype="float32")(image)
    x = _conv(x, stages[0][0], stride=2)
    for filters, blocks in stages:
        x = _conv(x, filters, stride=2)
        for _ in range(blocks):
            x = _block(x, filters)
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    x = layers.Dense(dimension, use_bias=False, name="dense")(x)
    x = layers.BatchNormalization(scale=False, dtype="float32", name="features")(x)
    return keras.Model(image, x, name="small_face")


def _conv(x: keras.KerasTensor, filters: int, stride: int = 1, relu: bool = True) -> keras.KerasTensor:
    x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(x) if relu else x


def _block(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """Return a residual block of two 3x3 convolutions (He et al., 2016)."""
    y = _conv(_conv(x, filters), filters, relu=False)
    return layers.ReLU()(layers.Add()([x, y]))
