"""The Siamese network of the tutorial: a branch with shared weights, and a head that compares two outputs.

Koch et al., "Siamese Neural Networks for One-shot Image Recognition" (2015), in the tutorial's form. The
branch has four blocks of a 3x3 convolution with 256, 128, 64 and 32 filters, 2x2 max pooling, batch
normalisation and ReLU, then a dense layer of 1,024 sigmoids. The head is a dense layer from the absolute
differences of two outputs to one logit.
"""

import keras
from keras import layers, ops

FILTERS = (256, 128, 64, 32)
BRANCH = 1024
L2 = 1e-4

INITIAL_LOGIT = 4.0
"""Initial bias of the head: the logit of two equal outputs."""

MEAN_DIFFERENCE = 0.3
"""Estimated mean difference between the outputs of an untrained branch for two images, per component."""


def branch(size: int, dimension: int = BRANCH, l2: float = L2) -> keras.Model:
    """Return the branch: RGB float, 0..255, (n, size, size, 3) to `branch` (n, dimension), 0..1.

    Args:
        size: side of the input in pixels.
        dimension: number of sigmoids.
        l2: weight of the L2 penalty of the convolutions.
    """
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1, dtype="float32")(image)
    for filters in FILTERS:
        x = layers.Conv2D(filters, 3, padding="same", kernel_regularizer=keras.regularizers.L2(l2))(x)
        x = layers.MaxPooling2D(2)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    initializer = keras.initializers.RandomNormal(stddev=0.2)  # as in Koch et al.
    x = layers.Flatten()(x)
    sigmoids = layers.Dense(
        dimension, activation="sigmoid", kernel_initializer=initializer, dtype="float32", name="branch"
    )
    return keras.Model(image, sigmoids(x), name="siamese_branch")


def head(dimension: int = BRANCH) -> keras.Model:
    """Return the head: two outputs of the branch (n, 2, dimension) to the logit of the same person (n, 1).

    Args:
        dimension: number of sigmoids of the branch.
    """
    pair = keras.Input((2, dimension), name="pair")
    difference = ops.absolute(pair[:, 0] - pair[:, 1])
    # All weights start negative, so that every difference counts for two people, and the logit of an average
    # pair is about 0. With random signs, half of the components would first have to change theirs.
    kernel = keras.initializers.RandomUniform(-2 * INITIAL_LOGIT / (dimension * MEAN_DIFFERENCE), 0.0)
    bias = keras.initializers.Constant(INITIAL_LOGIT)
    logit = layers.Dense(1, kernel_initializer=kernel, bias_initializer=bias, dtype="float32", name="logit")
    return keras.Model(pair, logit(difference), name="siamese_head")
