"""YuNet (Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023), without its five points.

Depthwise separable convolutions down to a stride of 32, a feature pyramid back up to 8, and on each of the
strides 8, 16 and 32 a grid whose cells tell whether a face's middle is there, where, and how large it is.
It is what the cascade uses for P-Net: a face is told by what is around it, which MTCNN's window of 12 pixels
does not see.
"""

import keras
from keras import layers, ops

STRIDES = (8, 16, 32)
WIDTH = 64
STAGES = ((16, 16), (16, 32), (32, 64), (64, 64), (64, 64), (64, 64))
"""Channels of the backbone's units; the first stage begins with a plain convolution of stride 2."""

POOLED = (0, 2, 3, 4)
"""Stages that end in a pool."""

HEADS = {"cls": 1, "obj": 1, "bbox": 4}


def _unit(x: keras.KerasTensor, filters: int, name: str, *, active: bool = True) -> keras.KerasTensor:
    x = layers.Conv2D(filters, 1, name=f"{name}_point")(x)
    # Of one channel a plain convolution is the same, and the converter always writes it in one way.
    depth = layers.Conv2D(1, 3, padding="same", name=f"{name}_depth")
    if filters > 1:
        depth = layers.DepthwiseConv2D(3, padding="same", name=f"{name}_depth")
    x = depth(x)
    return layers.ReLU()(x) if active else x


def yunet() -> keras.Model:
    """RGB 0..255 (n, h, w, 3), sides multiples of 32, in; maps of `HEADS` by stride, not activated, out."""
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
    """The served form: `score` (n, h, w) and `offsets` (n, h, w, 4) of the cells, as P-Net's, by stride."""
    image = keras.Input((None, None, 3))
    maps = net(image)
    answer = {}
    for stride in STRIDES:
        sure = ops.sigmoid(maps[f"cls{stride}"]) * ops.sigmoid(maps[f"obj{stride}"])
        answer[f"score{stride}"] = ops.sqrt(sure)[..., 0]
        box = maps[f"bbox{stride}"]
        middle, half = box[..., :2], ops.exp(box[..., 2:]) / 2
        answer[f"offsets{stride}"] = ops.concatenate([middle - half, middle + half - 1.0], axis=-1)
    return keras.Model(image, answer)
