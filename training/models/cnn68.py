"""The 68-point CNN of the first tutorial: a plain stack of convolutions on a 128x128 face.

The tutorial is Yin Guobing's "cnn-facial-landmark" (2017/2018); its table prints pool3 with stride 1, which
leaves 75.8 million weights in the first dense layer alone. With stride 2 the whole net has 7.3 million.
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
    """The net: RGB float (n, 128, 128, 3) in 0..255 in, unit coordinates (n, 136) as x0, y0, x1, y1, ... out.

    A unit coordinate is (pixel + 0.5) / 128. `pool3_stride` 2 gives 7,340,808 weights, 1 gives 76,546,824,
    as the table is printed. Every layer is 'valid' and every activation ReLU, but for the linear output.
    """
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="scale")(image)
    x = _pool(_conv(x, 32, 1), 2, 1)
    x = _pool(_conv(_conv(x, 64, 2), 64, 3), 2, 2)
    x = _pool(_conv(_conv(x, 64, 4), 64, 5), pool3_stride, 3)
    x = _pool(_conv(_conv(x, 128, 6), 128, 7), 1, 4)
    x = layers.Flatten(name="flatten")(_conv(x, 256, 8))
    x = layers.Dense(1024, activation="relu", kernel_initializer="he_normal", name="dense1")(x)
    # In float32 whatever the policy: half precision would round a point to a quarter of a pixel.
    points = layers.Dense(
        OUTPUTS,
        kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3),
        bias_initializer=keras.initializers.Constant(0.5),
        dtype="float32",
        name="points",
    )(x)
    return keras.Model(image, points, name="cnn68")
