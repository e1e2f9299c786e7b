"""YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023), without its five points.

Depthwise separable convolutions down to stride 32, a feature pyramid back up to stride 8, and at the strides
8, 16 and 32 a grid whose cells predict whether the centre of a face is there, its position and its size. The
detector `cascade` uses it as proposal net. Its receptive field includes the surroundings of a face, unlike
the 12 pixels of MTCNN's P-Net.
"""

import keras
from keras import layers, ops

STRIDES = (8, 16, 32)
WIDTH = 64
STAGES = ((16, 16), (16, 32), (32, 64), (64, 64), (64, 64), (64, 64))
"""Channels of the backbone's units; the first stage begins with a plain convolution of stride 2."""

POOLED = (0, 2, 3, 4)
"""Stages that end with max pooling."""

CLASS_SHARE = 0.65
"""Exponent of the class probability in the score; that of the objectness is the rest.

YuNet has 0.5. The class probability is trained to be the IoU of the predicted box, so it says more about the
box: docs/experiments/yunet-as-p-net.md.
"""

HEADS = {"cls": 1, "obj": 1, "bbox": 4}
"""Outputs at each stride, and their number of channels."""


def _unit(x: keras.KerasTensor, filters: int, name: str, *, active: bool = True) -> keras.KerasTensor:
    """Return a depthwise separable convolution."""
    x = layers.Conv2D(filters, 1, name=f"{name}_point")(x)
    # With one channel a plain convolution is the same, and tf2onnx converts it in one way only.
    depth = layers.Conv2D(1, 3, padding="same", name=f"{name}_depth")
    if filters > 1:
        depth = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depth")
    x = depth(x)
    return layers.ReLU()(x) if active else x


def yunet() -> keras.Model:
    """Return the net: RGB float, 0..255, (n, h, w, 3) to the outputs of `HEADS`, before activation.

    The sides h and w are multiples of 32. An output is named after its head and stride, such as `cls8`.
    """
    image = keras.Input((None, None, 3), name="image")
    x = layers.ReLU()(layers.Conv2D(16, 3, 2, name="stem")(layers.ZeroPadding2D(1)(image)))
    x = layers.MaxPooling2D(2)(_unit(x, STAGES[0][1], "stage0_b"))
    features = []
    for i, (first, second) in enumerate(STAGES[1:], 1):
        x = _unit(_unit(x, first, f"stage{i}_a"), second, f"stage{i}_b")
        if i >= 3:
            features.append(x)
        if i in POOLED:
            x = layers.MaxPooling2D(2)(x)
    fine, middle, coarse = features
    coarse = _unit(coarse, WIDTH, "lateral2")
    middle = _unit(layers.Add()([middle, layers.UpSampling2D(2)(coarse)]), WIDTH, "lateral1")
    fine = _unit(layers.Add()([fine, layers.UpSampling2D(2)(middle)]), WIDTH, "lateral0")
    outputs = {
        f"{head}{stride}": _unit(feature, channels, f"{head}{stride}", active=False)
        for stride, feature in zip(STRIDES, (fine, middle, coarse), strict=True)
        for head, channels in HEADS.items()
    }
    return keras.Model(image, outputs, name="yunet")


def serve(net: keras.Model) -> keras.Model:
    """Return the served form: for each stride s, `score<s>` (n, rows, columns) and `offsets<s>` (..., 4).

    Scores and offsets of the cells have the meaning of P-Net's. A score is the geometric mean of the class
    probability and the objectness, weighted by `CLASS_SHARE`.
    """
    image = keras.Input((None, None, 3))
    maps = net(image)
    outputs = {}
    for stride in STRIDES:
        of_class, of_object = (ops.log(ops.sigmoid(maps[f"{head}{stride}"])) for head in ("cls", "obj"))
        mean = CLASS_SHARE * of_class + (1 - CLASS_SHARE) * of_object
        outputs[f"score{stride}"] = ops.exp(mean)[..., 0]
        box = maps[f"bbox{stride}"]
        centre, half = box[..., :2], ops.exp(box[..., 2:]) / 2
        outputs[f"offsets{stride}"] = ops.concatenate([centre - half, centre + half - 1.0], axis=-1)
    return keras.Model(image, outputs)
