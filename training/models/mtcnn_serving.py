"""MTCNN's published nets in the form in which they are served: the same functions, fast in ONNX Runtime.

The rewrites are exact up to rounding, see the importer's parity:

- The input scaling is folded into the first convolution, which has no padding.
- A PReLU of feature maps becomes `training.models.serving.channel_prelu`, and channels are padded to a
  multiple of 16, the block size of ONNX Runtime's layout.
- The softmax of two classes becomes the sigmoid of their difference, and P-Net's heads become one
  convolution.

P-Net takes most of the time, so it pools before its first PReLU. A slope of at least 0 keeps the order of the
values. With a slope a below 0, prelu(y) = max(y, a y), and the maximum over a window is the larger of max(y)
and max(a y). Such channels are computed twice; 10 + 6 channels fill the block.
"""

import keras
import numpy as np
from keras import layers, ops
from numpy import ndarray

from training.models.mtcnn import MEAN, SCALE
from training.models.serving import channel_prelu, fold_scaling

BLOCK = 16


def serve(net: keras.Model) -> keras.Model:
    """Return the served form of `mtcnn.pnet()`, `mtcnn.rnet()` or `mtcnn.onet()`, with any weights.

    Its input is RGB float, 0..255. The outputs are `offsets` and `score`, of P-Net for all windows
    (n, rows, columns), and `points` of O-Net (n, 10): x and y in turn, in the order of
    `app.vision.points.FIVE`.
    """
    return _pnet(net) if net.name == "pnet" else _crop_net(net)


def _pnet(net: keras.Model) -> keras.Model:
    """Return the served form of a P-Net."""
    k1, b1, a1, k2, b2, a2, k3, b3, a3, ko, bo, ks, bs = net.get_weights()
    k1, b1 = fold_scaling(k1, b1, MEAN, SCALE)
    a1, a2, a3 = (a.reshape(-1) for a in (a1, a2, a3))
    negative = np.flatnonzero(a1 < 0)
    n, m = len(a1), len(negative)
    width = _padded(n + m)
    # The first PReLU of the pooled values p: gain * relu(spread p) + rest p.
    spread = np.zeros((n, width), np.float32)
    rest = np.zeros((n, width), np.float32)
    gain = np.where(a1 < 0, 1.0, 1.0 - a1)
    spread[np.arange(n), np.arange(n)] = 1.0
    spread[negative, n + np.arange(m)] = -1.0
    rest[np.arange(n), np.arange(n)] = np.maximum(a1, 0)
    rest[negative, n + np.arange(m)] = 1.0

    image = keras.Input((None, None, 3))
    y = _conv(
        image,
        np.concatenate([k1, k1[..., negative] * a1[negative]], -1),
        np.concatenate([b1, b1[negative] * a1[negative]]),
    )
    pooled = layers.MaxPooling2D(2)(y)
    active = layers.ReLU()(_conv(pooled, spread.T[None, None], np.zeros(n, np.float32)))
    x = layers.Add()(
        [
            _conv(active, np.diag(gain)[None, None], np.zeros(n, np.float32)),
            _conv(pooled, rest.T[None, None], np.zeros(n, np.float32)),
        ]
    )
    x = _prelu(_conv(x, k2, b2), a2, "prelu2")
    y = _conv(x, k3, b3)
    # The heads take the factors of the third PReLU.
    heads = np.concatenate([ko, ks[..., 1:] - ks[..., :1]], -1)
    bias = np.concatenate([bo, bs[1:] - bs[:1]])
    out = layers.Add()(
        [
            _conv(layers.ReLU()(y), heads * (1 - a3)[:, None], bias, pad=False),
            _conv(y, heads * a3[:, None], np.zeros_like(bias), pad=False),
        ]
    )
    return keras.Model(image, {"offsets": out[..., :4], "score": ops.sigmoid(out[..., 4])})


def _crop_net(net: keras.Model) -> keras.Model:
    """Return the served form of an R- or O-Net."""
    image = keras.Input(net.input_shape[1:])
    x = image
    heads = {}
    for layer in net.layers:
        weights = layer.get_weights()
        if isinstance(layer, layers.Conv2D):
            kernel, bias = weights
            if x is image:
                kernel, bias = fold_scaling(kernel, bias, MEAN, SCALE)
            x = _conv(x, kernel, bias)
        elif isinstance(layer, layers.PReLU):
            x = _prelu(x, weights[0].reshape(-1), layer.name) if len(x.shape) == 4 else _copy(layer)(x)
        elif isinstance(layer, layers.Dense):
            heads[layer.name] = _copy(layer)(x)
            x = heads[layer.name] if layer.name.startswith("fc") else x
        elif not isinstance(layer, layers.InputLayer):
            x = x[..., : layer.input.shape[-1]] if isinstance(layer, layers.Permute) else x
            x = _copy(layer)(x)
    outputs = {"offsets": heads["offsets"], "score": heads["score"][:, 1]}
    if "points" in heads:
        outputs["points"] = ops.reshape(
            ops.transpose(ops.reshape(heads["points"], (-1, 2, 5)), (0, 2, 1)), (-1, 10)
        )
    return keras.Model(image, outputs)


def _prelu(x: keras.KerasTensor, slopes: ndarray, name: str) -> keras.KerasTensor:
    """Return the PReLU of each channel; the slopes of padding channels are 0."""
    slopes = np.pad(slopes, (0, x.shape[-1] - len(slopes))).astype(np.float32)
    return channel_prelu(x, slopes, name)


def _conv(x: keras.KerasTensor, kernel: ndarray, bias: ndarray, *, pad: bool = True) -> keras.KerasTensor:
    filters = _padded(kernel.shape[-1]) if pad else kernel.shape[-1]
    fill = filters - kernel.shape[-1]
    kernel = np.pad(kernel, ((0, 0), (0, 0), (0, x.shape[-1] - kernel.shape[2]), (0, fill)))
    layer = layers.Conv2D(filters, kernel.shape[:2])
    out = layer(x)
    layer.set_weights([kernel.astype(np.float32), np.pad(bias, (0, fill)).astype(np.float32)])
    return out


def _copy(layer: keras.Layer) -> keras.Layer:
    copy = type(layer).from_config(layer.get_config())
    copy.build(layer.input.shape)
    copy.set_weights(layer.get_weights())
    return copy


def _padded(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK
