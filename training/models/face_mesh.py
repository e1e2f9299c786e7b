"""MediaPipe's face mesh: 468 points with depth, and whether the crop shows a face.

Source: Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on Mobile GPUs", 2019.
Residual blocks of a depthwise 3x3 and a pointwise convolution. A block that halves the feature maps pools its
shortcut and pads it with channels of zeros. At 6x6 the net divides into the head of the points and the head
of the presence.
"""

import keras
from keras import layers, ops

INPUT_SIZE = 192
POINTS = 468
STAGES = ((16, 2), (32, 3), (64, 3), (128, 3), (128, 3))
"""Channels and number of blocks at 96, 48, 24, 12 and 6 pixels; the first block of each halves, but for the
first stage, which the stem halves."""

HEAD_WIDTH = 32


def _block(x: keras.KerasTensor, filters: int, name: str, stride: int = 1) -> keras.KerasTensor:
    """Return a residual block."""
    shortcut = x
    x = layers.DepthwiseConv2D(3, stride, padding="same", name=f"{name}_depth")(x)
    x = layers.Conv2D(filters, 1, name=f"{name}_point")(x)
    if stride == 2:
        shortcut = layers.MaxPooling2D(2)(shortcut)
    missing = filters - shortcut.shape[-1]
    if missing:
        shortcut = layers.Concatenate()([shortcut, ops.zeros_like(shortcut[..., :missing])])
    return _prelu(layers.Add()([x, shortcut]), name)


def _prelu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.PReLU(shared_axes=[1, 2], name=f"{name}_prelu")(x)


def _head(x: keras.KerasTensor, outputs: int, blocks: int, name: str) -> keras.KerasTensor:
    """Return the outputs (n, outputs) of a head."""
    for i in range(blocks):
        x = _block(x, 128, f"{name}_{i}", 1 if i else 2)
    x = _prelu(layers.Conv2D(HEAD_WIDTH, 1, name=f"{name}_narrow")(x), f"{name}_narrow")
    x = _block(x, HEAD_WIDTH, f"{name}_last")
    x = layers.Conv2D(outputs, 3, name=f"{name}_out")(x)
    return layers.Reshape((outputs,))(x)


def trunk(image: keras.KerasTensor) -> list[keras.KerasTensor]:
    """Return the features at 1/2, 1/4, ... 1/32 of the image's side, one for each of `STAGES`.

    Args:
        image: RGB float (n, h, w, 3), whose sides are multiples of 32.
    """
    x = _prelu(layers.Conv2D(STAGES[0][0], 3, 2, padding="same", name="stem")(image), "stem")
    levels = []
    for stage, (filters, blocks) in enumerate(STAGES):
        for i in range(blocks):
            x = _block(x, filters, f"stage{stage}_{i}", 2 if stage and not i else 1)
        levels.append(x)
    return levels


def face_mesh() -> keras.Model:
    """Return the net: RGB float (n, 192, 192, 3) to `points` (n, 1404) and `presence` (n, 1), a logit.

    The points are x, y, z of each vertex in pixels of the crop, from its left and upper edge. The published
    weights take colours of 0 to 1; `training.importers.face_mesh.fill` folds the scaling in.
    """
    image = keras.Input((INPUT_SIZE, INPUT_SIZE, 3), name="image")
    features = trunk(image)[-1]
    outputs = {
        "points": _head(features, 3 * POINTS, 3, "points"),
        "presence": _head(features, 1, 1, "presence"),
    }
    return keras.Model(image, outputs, name="face_mesh")


def published_order() -> list[str]:
    """Return the names of the layers with weights, in the order of the published graph."""
    names = ["stem", "stem_prelu"]
    trunk = [f"stage{stage}_{i}" for stage, (_, blocks) in enumerate(STAGES) for i in range(blocks)]
    for block in (*trunk, "points_0", "points_1"):
        names += [f"{block}_depth", f"{block}_point", f"{block}_prelu"]
    names += ["presence_0_depth", "points_2_depth", "presence_0_point", "points_2_point"]
    names += ["presence_0_prelu", "points_2_prelu"]
    for part in ("narrow", "narrow_prelu", "last_depth", "last_point", "last_prelu", "out"):
        names += [f"presence_{part}", f"points_{part}"]
    return names
