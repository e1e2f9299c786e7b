"""The 15-point CNN of the first TensorFlow tutorial on Kaggle's Facial Keypoints Detection: 96x96, grey.

As in the tutorial, the kernels of all layers start from a truncated normal with standard deviation 0.1,
whatever the number of inputs, and all biases at 0.1. So the points of the untrained net lie far outside the
image.
"""

import keras
from keras import layers, ops

SIZE = 96
OUTPUTS = 30


def _initializers() -> dict[str, keras.initializers.Initializer]:
    return {
        "kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.1),
        "bias_initializer": keras.initializers.Constant(0.1),
    }


def _conv(x: keras.KerasTensor, filters: int, size: int, index: int) -> keras.KerasTensor:
    x = layers.Conv2D(filters, size, activation="relu", name=f"conv{index}", **_initializers())(x)
    return layers.MaxPooling2D(2, padding="same", name=f"pool{index}")(x)


def cnn15() -> keras.Model:
    """Return the net: RGB float, 0..255, (n, 96, 96, 3) to unit coordinates x0, y0, x1, y1, ... (n, 30).

    It converts the image to grey. A unit coordinate is (pixel + 0.5) / 96. It has 8,051,502 weights.
    """
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 255, dtype="float32", name="scale")(ops.image.rgb_to_grayscale(image))
    x = _conv(x, 32, 3, 1)
    x = _conv(x, 64, 2, 2)
    x = _conv(x, 128, 2, 3)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(500, activation="relu", name="dense1", **_initializers())(x)
    x = layers.Dense(500, activation="relu", name="dense2", **_initializers())(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    points = layers.Dense(OUTPUTS, dtype="float32", name="points", **_initializers())(x)
    return keras.Model(image, points, name="cnn15")
