"""The Siamese network of the tutorial: a shared branch, and a head that judges two branches' answers.

After Koch et al., "Siamese Neural Networks for One-shot Image Recognition" (2015), in the tutorial's form:
four blocks of a 3x3 convolution with 256, 128, 64 and 32 filters, 2x2 max-pooling, batch normalisation and
ReLU, then a dense layer of 1024 sigmoids; of two pictures the absolute difference, and a dense layer to one
logit.
"""

import keras
from keras import layers, ops

FILTERS = (256, 128, 64, 32)
BRANCH = 1024
L2 = 1e-4


def branch(size: int, dimension: int = BRANCH) -> keras.Model:
    """Crops (n, size, size, 3), RGB 0..255 as float, in; `branch` (n, dimension), each 0 to 1, out."""
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    for filters in FILTERS:
        x = layers.Conv2D(filters, 3, padding="same", kernel_regularizer=keras.regularizers.L2(L2))(x)
        x = layers.MaxPooling2D(2)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dense(dimension, activation="sigmoid", name="branch")(layers.Flatten()(x))
    return keras.Model(image, x, name="siamese_branch")


def head(dimension: int = BRANCH) -> keras.Model:
    """Two branches' answers (n, 2, dimension) in; the logit (n, 1) of their being one person out."""
    pair = keras.Input((2, dimension), name="pair")
    apart = ops.absolute(pair[:, 0] - pair[:, 1])
    return keras.Model(pair, layers.Dense(1, name="logit")(apart), name="siamese_head")
