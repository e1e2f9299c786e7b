"""The 15-point net of the Keras tutorial on Kaggle's Facial Keypoints Detection: 96x96, grey.

MobileNetV2 (Sandler et al., 2018) and three dense layers.
"""

import keras
from keras import layers, ops

SIZE = 96
OUTPUTS = 30
MOMENTUM = 0.97
"""Momentum of the batch normalisations. Keras' 0.999 needs the thousands of steps of ImageNet."""

CONTRAST = 0.3
"""Largest change of the contrast by the layer of the plain net, as a share of it."""


def mobilenet15(l2: float = 1e-3, plain: bool = False) -> keras.Model:
    """Return the net: RGB float, 0..255, (n, 96, 96, 3) to unit coordinates x0, y0, x1, y1, ... (n, 30).

    It converts the image to grey in all three channels. A unit coordinate is (pixel + 0.5) / 96. The layer
    `backbone` is Keras' MobileNetV2 without its top; Keras' file of ImageNet weights for 96x96 fits it.

    Args:
        l2: weight of the L2 penalty of the dense layers; the default is the tutorial's.
        plain: whether the net has the tutorial's scaling (0 to 1), layer of random contrast, and initial
            kernels of the dense layers. Else the scaling is that of ImageNet's weights (-1 to 1).
    """
    image = keras.Input((SIZE, SIZE, 3), name="image")
    grey = layers.Concatenate(name="grey")([ops.image.rgb_to_grayscale(image)] * 3)
    x = layers.Resizing(SIZE, SIZE, name="resize")(grey)
    scale, offset = (1 / 255, 0.0) if plain else (1 / 127.5, -1.0)
    x = layers.Rescaling(scale, offset=offset, dtype="float32", name="scale")(x)
    if plain:
        x = layers.RandomContrast(CONTRAST, value_range=(0.0, 1.0), seed=0, name="contrast")(x)
    initializer = keras.initializers.TruncatedNormal(stddev=0.05, seed=0) if plain else "glorot_uniform"
    x = layers.Flatten(name="flatten")(_backbone()(x))
    x = _dense(x, 1024, l2, initializer, "dense1")
    x = layers.Dropout(0.1, name="dropout")(x)
    x = _dense(x, 256, l2, initializer, "dense2")
    points = layers.Dense(OUTPUTS, dtype="float32", name="points")(x)
    return keras.Model(image, points, name="mobilenet15")


def _backbone() -> keras.Model:
    net = keras.applications.MobileNetV2((SIZE, SIZE, 3), include_top=False, weights=None, name="backbone")
    for layer in net.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = MOMENTUM
    return net


def _dense(
    x: keras.KerasTensor, units: int, l2: float, initializer: str | keras.initializers.Initializer, name: str
) -> keras.KerasTensor:
    penalty = keras.regularizers.L2(l2)
    dense = layers.Dense(
        units, activation="relu", kernel_initializer=initializer, kernel_regularizer=penalty, name=name
    )
    return dense(x)
