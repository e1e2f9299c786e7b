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
START = 4.0
"""The head's bias at first: about what it takes off for the mean difference of two pictures, 0.3 a number."""


def branch(size: int, dimension: int = BRANCH) -> keras.Model:
    """Crops (n, size, size, 3), RGB 0..255 as float, in; `branch` (n, dimension), each 0 to 1, out."""
    image = keras.Input((size, size, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    for filters in FILTERS:
        x = layers.Conv2D(filters, 3, padding="same", kernel_regularizer=keras.regularizers.L2(L2))(x)
        x = layers.MaxPooling2D(2)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    spread = keras.initializers.RandomNormal(stddev=0.2)  # Koch et al.'s
    x = layers.Flatten()(x)
    x = layers.Dense(dimension, activation="sigmoid", kernel_initializer=spread, name="branch")(x)
    return keras.Model(image, x, name="siamese_branch")


def head(dimension: int = BRANCH) -> keras.Model:
    """Two branches' answers (n, 2, dimension) in; the logit (n, 1) of their being one person out."""
    pair = keras.Input((2, dimension), name="pair")
    apart = ops.absolute(pair[:, 0] - pair[:, 1])
    # It begins by taking every difference as a sign of two people, and most pairs as undecided: with random
    # signs half of the branch would first learn to tell one person's pictures apart.
    away = keras.initializers.RandomUniform(-2 * START / (dimension * 0.3), 0.0)
    begun = keras.initializers.Constant(START)
    logit = layers.Dense(1, kernel_initializer=away, bias_initializer=begun, name="logit")
    return keras.Model(pair, logit(apart), name="siamese_head")
