"""MTCNN's published nets in the form they are served: the same functions, arranged for ONNX Runtime's CPU.

Three exact rewrites (differences are float rounding, see the importer's parity):

- the input scaling folds into the first convolution, which is 'valid';
- a PReLU of maps becomes `training.models.serving.channel_prelu`, and channels are padded to a multiple
  of the block of 16 in ONNX Runtime's layout;
- two-class softmax becomes a sigmoid of the difference; P-Net's heads become one convolution.

P-Net, which dominates the time, also pools before its first PReLU: a slope of at least 0 leaves the
order of values as it is; for a slope below 0, prelu(y) = max(y, a y), and the maximum over a window
is the larger of max(y) and max(a y), so such channels are computed twice, and 10 + 6 fill the block.
"""

import keras
import numpy as np
from keras import layers, ops
from numpy import ndarray

from training.models.mtcnn import MEAN, SCALE
from training.models.serving import channel_prelu, fold_scaling

BLOCK = 16


def serve(net: keras.Model) -> keras.Model:
    """Return the served form of `mtcnn.pnet()`, `mtcnn.rnet()` or `mtcnn.onet()`, with any weights."""
    return _pnet(net) if net.name == "pnet" else _crop_net(net)


def _pnet(net: keras.Model) -> keras.Model:
    """Return the served form of a P-Net. Input RGB 0..255, outputs `offsets`, `score` (n, h, w)."""
    k1, b1, a1, k2, b2, a2, k3, b3, a3, ko, bo, ks, bs = net.get_weights()
    k1, b1 = fold_scaling(k1, b1, MEAN, SCALE)
    a1, a2, a3 = (a.reshape(-1) for a in (a1, a2, a3))
    twice = np.flatnonzero(a1 < 0)
    n, m = len(a1), len(twice)
    width = _up(n + m)
    spread = np.zeros((n, width), np.float32)  # what relu sees, out of the pooled values
    rest = np.zeros((n, width), np.float32)  # what is added to it
    gain = np.where(a1 < 0, 1.0, 1.0 - a1)
    spread[np.arange(n), np.arange(n)] = 1.0
    spread[twice, n + np.arange(m)] = -1.0
    rest[np.arange(n), np.arange(n)] = np.maximum(a1, 0)
    rest[twice, n + np.arange(m)] = 1.0

    image = keras.Input((None, None, 3))
    y = _conv(
        image,
        np.concatenate([k1, k1[..., twice] * a1[twice]], -1),
        np.concatenate([b1, b1[twice] * a1[twice]]),
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
    """Return the served form of an R- or O-Net. Input RGB 0..255, outputs `offsets`, `score` (n), `points`.

    O-Net's points (n, 10) are x and y of each point in turn, in the order of `app.vision.points.FIVE`.
    """
    image = keras.Input(net.input_shape[1:])
    x = image
    outputs = {}
    for layer in net.layers:
        weights = layer.get_weights()
        if isinstance(layer, layers.Conv2D):
            kernel, bias = weights
            if x is image:
                kernel, bias = fold_scaling(kernel, bias, MEAN, SCALE)
            x = _conv(x, kernel, bias)
        elif isinstance(layer, layers.PReLU):
            x = _prelu(x, weights[0].reshape(-1), layer.name) if len(x.shape) == 4 else _like(layer)(x)
        elif isinstance(layer, layers.Dense):
            outputs[layer.name] = _like(layer)(x)
            x = outputs[layer.name] if layer.name.startswith("fc") else x
        elif not isinstance(layer, layers.InputLayer):
            x = x[..., : layer.input.shape[-1]] if isinstance(layer, layers.Permute) else x
            x = _like(layer)(x)
    answer = {"offsets": outputs["offsets"], "score": outputs["score"][:, 1]}
    if "points" in outputs:
        answer["points"] = ops.reshape(
            ops.transpose(ops.reshape(outputs["points"], (-1, 2, 5)), (0, 2, 1)), (-1, 10)
        )
    return keras.Model(image, answer)


def _prelu(x: keras.KerasTensor, slopes: ndarray, name: str) -> keras.KerasTensor:
    """Apply a PReLU by channel; slopes of padding channels are 0."""
    slopes = np.pad(slopes, (0, x.shape[-1] - len(slopes))).astype(np.float32)
    return channel_prelu(x, slopes, name)


def _conv(x: keras.KerasTensor, kernel: ndarray, bias: ndarray, *, pad: bool = True) -> keras.KerasTensor:
    filters = _up(kernel.shape[-1]) if pad else kernel.shape[-1]
    fill = filters - kernel.shape[-1]
    kernel = np.pad(kernel, ((0, 0), (0, 0), (0, x.shape[-1] - kernel.shape[2]), (0, fill)))
    layer = layers.Conv2D(filters, kernel.shape[:2])
    out = layer(x)
    layer.set_weights([kernel.astype(np.float32), np.pad(bias, (0, fill)).astype(np.float32)])
    return out


def _like(layer: keras.Layer) -> keras.Layer:
    twin = type(layer).from_config(layer.get_config())
    twin.build(layer.input.shape)
    twin.set_weights(layer.get_weights())
    return twin


def _up(channels: int) -> int:
    return -(-channels // BLOCK) * BLOCK
