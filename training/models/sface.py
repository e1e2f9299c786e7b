"""SFace: a MobileNet of depthwise and pointwise convolutions, with an embedding of 128 numbers.

Zhong et al., "SFace: Sigmoid-Constrained Hypersphere Loss for Robust Face Recognition" (2021), in the form of
OpenCV Zoo's `face_recognition_sface_2021dec`. Batch normalisations are folded into the convolutions and the
dense layer. Convolutions of stride 2 pad one pixel on each side, unlike Keras' padding "same".
"""

import keras
from keras import layers

INPUT_SIZE = 112
EMBEDDING = 128

STEM = 32
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *(5 * ((512, 1),)), (1024, 2), (1024, 1))
"""Filters of the pointwise convolution, and stride of the depthwise one before it; from input to output."""


def sface() -> keras.Model:
    """Return the net: RGB float, 0..255, (n, 112, 112, 3) to `embedding` (n, 128), not normalised.

    The layers are `conv_1`, then `conv_2_dw` and `conv_2` to `conv_14_dw` and `conv_14`, each with a PReLU
    named `..._relu`, and `embedding`.
    """
    image = keras.Input((INPUT_SIZE, INPUT_SIZE, 3), name="image")
    # Not folded into the first convolution, which pads with zeros after the scaling.
    x = layers.Rescaling(1 / 128, -127.5 / 128, name="scale")(image)
    x = _prelu(layers.Conv2D(STEM, 3, padding="same", name="conv_1")(x), "conv_1")
    for i, (filters, stride) in enumerate(BLOCKS, start=2):
        x = _prelu(_depthwise(x, stride, f"conv_{i}_dw"), f"conv_{i}_dw")
        x = _prelu(layers.Conv2D(filters, 1, name=f"conv_{i}")(x), f"conv_{i}")
    embedding = layers.Dense(EMBEDDING, name="embedding")(layers.Flatten()(x))
    return keras.Model(image, embedding, name="sface")


def _depthwise(x: keras.KerasTensor, stride: int, name: str) -> keras.KerasTensor:
    if stride == 1:
        return layers.DepthwiseConv2D(3, padding="same", name=name)(x)
    return layers.DepthwiseConv2D(3, strides=stride, name=name)(layers.ZeroPadding2D(1)(x))


def _prelu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.PReLU(shared_axes=[1, 2], name=f"{name}_relu")(x)
