"""The 15-point CNN of the first TensorFlow tutorial on Kaggle's facial keypoints: 96x96, grey.

In every layer, however wide, kernels begin with a normal of standard deviation 0.1, cut off at two of them,
and biases at 0.1: before training, the points are some 600 pixels off.
"""

import keras
from keras import layers, ops

SIZE = 96
OUTPUTS = 30


def _first() -> dict[str, keras.initializers.Initializer]:
    return {
        "kernel_initializer": keras.initializers.TruncatedNormal(stddev=0.1),
        "bias_initializer": keras.initializers.Constant(0.1),
    }


def _conv(x: keras.KerasTensor, filters: int, size: int, index: int) -> keras.KerasTensor:
    x = layers.Conv2D(filters, size, activation="relu", name=f"conv{index}", **_first())(x)
    return layers.MaxPooling2D(2, padding="same", name=f"pool{index}")(x)


def cnn15() -> keras.Model:
    """The net: RGB float (n, 96, 96, 3) in 0..255 in, unit coordinates (n, 30) as x0, y0, x1, y1, ... out.

    It sees the picture in grey. A unit coordinate is (pixel + 0.5) / 96. 8,051,502 weights.
    """
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 255, dtype="float32", name="scale")(ops.image.rgb_to_grayscale(image))
    x = _conv(x, 32, 3, 1)
    x = _conv(x, 64, 2, 2)
    x = _conv(x, 128, 2, 3)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(500, activation="relu", name="dense1", **_first())(x)
    x = layers.Dense(500, activation="relu", name="dense2", **_first())(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    points = layers.Dense(OUTPUTS, dtype="float32", name="points", **_first())(x)
    return keras.Model(image, points, name="cnn15")
