"""The 68-point CNN of Yin Guobing's tutorial "cnn-facial-landmark" (2017/2018): a plain stack on 128x128.

The tutorial's table prints stride 1 for pool3, which gives the first dense layer 75.8 million weights. With
stride 2 the whole net has 7.3 million.
"""

import keras
from keras import layers

SIZE = 128
OUTPUTS = 136


def _conv(x: keras.KerasTensor, filters: int, index: int) -> keras.KerasTensor:
    conv = layers.Conv2D(filters, 3, activation="relu", kernel_initializer="he_normal", name=f"conv{index}")
    return conv(x)


def _pool(x: keras.KerasTensor, stride: int, index: int) -> keras.KerasTensor:
    return layers.MaxPooling2D(2, strides=stride, name=f"pool{index}")(x)


def cnn68(pool3_stride: int = 2) -> keras.Model:
    """Return the net: RGB float, 0..255, (n, 128, 128, 3) to unit coordinates x0, y0, x1, y1, ... (n, 136).

    A unit coordinate is (pixel + 0.5) / 128. No layer pads. Activations are ReLU; the output is linear.

    Args:
        pool3_stride: 2 gives 7,340,808 weights; 1, as the tutorial's table is printed, 76,546,824.
    """
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="scale")(image)
    x = _pool(_conv(x, 32, 1), 2, 1)
    x = _pool(_conv(_conv(x, 64, 2), 64, 3), 2, 2)
    x = _pool(_conv(_conv(x, 64, 4), 64, 5), pool3_stride, 3)
    x = _pool(_conv(_conv(x, 128, 6), 128, 7), 1, 4)
    x = layers.Flatten(name="flatten")(_conv(x, 256, 8))
    x = layers.Dense(1024, activation="relu", kernel_initializer="he_normal", name="dense1")(x)
    # float32 under any policy: bfloat16 would round a point by up to a quarter of a pixel.
    points = layers.Dense(
        OUTPUTS,
        kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
        bias_initializer=keras.initializers.Constant(0.5),
        dtype="float32",
        name="points",
    )(x)
    return keras.Model(image, points, name="cnn68")
