"""MTCNN's three nets: Zhang et al., "Joint Face Detection and Alignment using MTCNN" (2016).

Inputs are RGB, scaled by (x - 127.5) / 128. Outputs are `(offsets, score)`, of O-Net
`(offsets, points, score)`:

- offsets (4): in units of the box's sides;
- points (10): five x, then five y, in units of the box's sides;
- score (2): probabilities of no face and of a face.
"""

import keras
import numpy as np
from keras import layers
from numpy import ndarray

MEAN, SCALE = 127.5, 1 / 128

POINT_ORDER: ndarray = np.arange(10).reshape(2, 5).T.reshape(-1)
"""Index permutation of the points: from five x, then five y, to x and y in turn."""


def _conv(x: keras.KerasTensor, filters: int, kernel: int, name: str) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, padding="valid", name=f"conv{name}")(x)
    return layers.PReLU(shared_axes=[1, 2], name=f"prelu{name}")(x)


def _pool(x: keras.KerasTensor, size: int, padding: str) -> keras.KerasTensor:
    return layers.MaxPooling2D(size, strides=2, padding=padding)(x)


def pnet() -> keras.Model:
    """Return P-Net: images (n, h, w, 3) to offsets and score of all windows (n, h/2-5, w/2-5, ...).

    It is fully convolutional; the windows are 12 pixels wide and have stride 2.
    """
    image = keras.Input((None, None, 3))
    x = _pool(_conv(image, 10, 3, "1"), 2, "same")
    x = _conv(x, 16, 3, "2")
    x = _conv(x, 32, 3, "3")
    offsets = layers.Conv2D(4, 1, name="offsets")(x)
    score = layers.Conv2D(2, 1, activation="softmax", name="score")(x)
    return keras.Model(image, [offsets, score], name="pnet")


def rnet() -> keras.Model:
    """Return R-Net: crops (n, 24, 24, 3) to offsets (n, 4) and score (n, 2)."""
    image = keras.Input((24, 24, 3))
    x = _pool(_conv(image, 28, 3, "1"), 3, "same")
    x = _pool(_conv(x, 48, 3, "2"), 3, "valid")
    x = _conv(x, 64, 2, "3")
    x = _dense(x, 128, "4")
    return keras.Model(image, [layers.Dense(4, name="offsets")(x), _score(x)], name="rnet")


def onet() -> keras.Model:
    """Return O-Net: crops (n, 48, 48, 3) to offsets (n, 4), points (n, 10) and score (n, 2)."""
    image = keras.Input((48, 48, 3))
    x = _pool(_conv(image, 32, 3, "1"), 3, "same")
    x = _pool(_conv(x, 64, 3, "2"), 3, "valid")
    x = _pool(_conv(x, 64, 3, "3"), 2, "same")
    x = _conv(x, 128, 2, "4")
    x = _dense(x, 256, "5")
    heads = [layers.Dense(4, name="offsets")(x), layers.Dense(10, name="points")(x), _score(x)]
    return keras.Model(image, heads, name="onet")


def _dense(x: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
    # The published weights were trained on transposed images, which sets the order of the flattened values.
    x = layers.Flatten()(layers.Permute((2, 1, 3))(x))
    return layers.PReLU(name=f"prelu{name}")(layers.Dense(units, name=f"fc{name}")(x))


def _score(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Dense(2, activation="softmax", name="score")(x)
