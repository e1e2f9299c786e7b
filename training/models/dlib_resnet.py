"""dlib's face ResNet: 29 convolutions, 5.6 million parameters, an embedding of 128 numbers.

Davis King, "High Quality Face Recognition with Deep Metric Learning" (2017): a ResNet-34 (He et al., 2016)
with half the filters. dlib's affine layers are folded into the convolutions, and so is its input scaling
(x - [122.782, 117.001, 104.298]) / 256. The first convolution has no padding, so this fold is exact.
"""

import keras
from keras import layers

INPUT_SIZE = 150
EMBEDDING = 128

STAGES = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Filters, number of blocks, and whether the first block halves the map; from input to output."""

CONVOLUTIONS = 1 + 2 * sum(blocks for _, blocks, _ in STAGES)


def dlib_resnet() -> keras.Model:
    """Return the net: RGB float, 0..255, (n, 150, 150, 3) to `embedding` (n, 128), not normalised.

    Convolutions are named `conv00` to `conv28` from input to output; the last layer is `embedding`.
    """
    image = keras.Input((INPUT_SIZE, INPUT_SIZE, 3), name="image")
    names = (f"conv{i:02d}" for i in range(CONVOLUTIONS))
    x = layers.Conv2D(32, 7, strides=2, activation="relu", name=next(names))(image)
    x = layers.MaxPooling2D(3, strides=2)(x)
    for filters, blocks, halves in STAGES:
        for block in range(blocks):
            x = _block(x, filters, halves and block == 0, (next(names), next(names)))
    x = layers.GlobalAveragePooling2D()(x)
    embedding = layers.Dense(EMBEDDING, use_bias=False, name="embedding")(x)
    return keras.Model(image, embedding, name="dlib_resnet")


def _block(x: keras.KerasTensor, filters: int, halve: bool, names: tuple[str, str]) -> keras.KerasTensor:
    first = (
        layers.Conv2D(filters, 3, strides=2, activation="relu", name=names[0])
        if halve
        else layers.Conv2D(filters, 3, padding="same", activation="relu", name=names[0])
    )
    y = layers.Conv2D(filters, 3, padding="same", name=names[1])(first(x))
    if halve:
        x = layers.AveragePooling2D(2)(x)
        x, y = _pad_to_equal(x, y)
    return layers.ReLU()(layers.Add()([y, x]))


def _pad_to_equal(x: keras.KerasTensor, y: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    # dlib's add_prev treats missing rows, columns and channels as zeros. The shortcut has too few channels.
    # The unpadded convolution has one row and column too few if the side of the map is even.
    short = x.shape[1] - y.shape[1]
    if short:
        y = layers.ZeroPadding2D(((0, short), (0, short)))(y)
    missing = y.shape[3] - x.shape[3]
    if missing:
        x = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, missing)))
    return x, y
