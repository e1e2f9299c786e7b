"""A small residual net for embeddings, to be trained on a few thousand faces without a GPU.

After ResNet (He et al., 2016), with 32 to 128 filters, the last stage at a sixteenth of the input's side. Its
end, where features keep their places until one dense layer, is ArcFace's (Deng et al., 2019): faces are
aligned, and what an average over places throws away tells people apart.
"""

import keras
from keras import layers

STAGES = ((32, 1), (64, 1), (128, 1))
"""Filters, and residual blocks after the convolution that halves the map."""


def small_face(size: int, dimension: int, dropout: float = 0.2) -> keras.Model:
    """Crops (n, size, size, 3), RGB 0..255 as float, in; features (n, dimension), of any length, out.

    The features are normalised over the batch, so each is about 0 on average: cosines need no centering.
    5 million multiplications a picture of 32 pixels, 11 of 48.
    """
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    x = _convolution(x, STAGES[0][0], stride=2)
    for filters, blocks in STAGES:
        x = _convolution(x, filters, stride=2)
        for _ in range(blocks):
            x = _block(x, filters)
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    x = layers.Dense(dimension, use_bias=False, name="dense")(x)
    x = layers.BatchNormalization(scale=False, name="features")(x)
    return keras.Model(image, x, name="small_face")


def _convolution(x: keras.KerasTensor, filters: int, stride: int = 1, relu: bool = True) -> keras.KerasTensor:
    x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(x) if relu else x


def _block(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    y = _convolution(_convolution(x, filters), filters, relu=False)
    return layers.ReLU()(layers.Add()([x, y]))
