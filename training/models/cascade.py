"""The cascade trained here: MTCNN's three stages (Zhang et al., 2016), each as strong as it may be slow.

P-Net reads every pixel of the pyramid: five small convolutions, the first of stride 2, ReLU, channels that
fill ONNX Runtime's blocks of 16. Its window is wider than the face in its middle, since a face of 12 pixels
is told by what is around it. R- and O-Net see few crops, wider than the face too: plain and residual (He et
al., 2016) convolutions with batch normalisation.

Every net takes RGB float 0..255 and answers (..., 5) or (..., 15), see `training.detector_losses`.
"""

import keras
import numpy as np
from keras import layers, ops
from numpy import ndarray

from training.cascade_labels import Output
from training.models.mtcnn import MEAN, SCALE
from training.models.serving import fold_scaling

EPSILON = 1e-3


def _scaled(image: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Rescaling(SCALE, offset=-MEAN * SCALE, dtype="float32", name="scale")(image)


def _conv(
    x: keras.KerasTensor, filters: int, size: int, name: str, stride: int = 1, padding: str = "same"
) -> keras.KerasTensor:
    x = layers.Conv2D(
        filters, size, stride, padding, use_bias=False, kernel_initializer="he_normal", name=name
    )(x)
    return layers.BatchNormalization(momentum=0.97, epsilon=EPSILON, name=f"{name}_norm")(x)


def _relu_conv(
    x: keras.KerasTensor, filters: int, size: int, name: str, stride: int = 1, padding: str = "same"
) -> keras.KerasTensor:
    return layers.ReLU()(_conv(x, filters, size, name, stride, padding))


def _block(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Half the side: a convolution of stride 2, and a residual one."""
    x = _relu_conv(x, filters, 3, f"{name}_down", 2)
    return layers.ReLU()(layers.Add()([x, _conv(x, filters, 3, f"{name}_add")]))


def _features(x: keras.KerasTensor, units: int) -> keras.KerasTensor:
    """A dense layer, normalised: without that nearly all of its units went below 0 for good in training."""
    x = layers.Dense(units, use_bias=False, kernel_initializer="he_normal", name="fc")(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.97, epsilon=EPSILON, name="fc_norm")(x))


def pnet(widths: tuple[int, ...] = (16, 16, 16, 32)) -> keras.Model:
    """P-Net: a picture in, maps ((h - window) / 2 + 1, ...) of (logit, offsets) out.

    The window is 4 pixels and 4 for each convolution after the first.
    """
    image = keras.Input((None, None, 3), name="image")
    x = _relu_conv(_scaled(image), widths[0], 4, "conv0", 2, "valid")
    for i, width in enumerate(widths[1:], 1):
        x = _relu_conv(x, width, 3, f"conv{i}", padding="valid")
    return keras.Model(image, layers.Conv2D(5, 1, name="heads")(x), name="pnet")


def rnet(size: int = 24, widths: tuple[int, ...] = (16, 32, 64, 64), units: int = 128) -> keras.Model:
    """R-Net: crops in, (logit, offsets) out."""
    image = keras.Input((size, size, 3), name="image")
    x = _relu_conv(_scaled(image), widths[0], 3, "conv0", 2)
    x = _relu_conv(x, widths[1], 3, "conv1")
    for i, width in enumerate(widths[2:], 2):
        x = _relu_conv(x, width, 3, f"conv{i}", 2)
    x = _features(layers.Flatten()(x), units)
    return keras.Model(image, layers.Dense(5, name="heads")(x), name="rnet")


def onet(size: int = 64, widths: tuple[int, ...] = (16, 32, 64, 128), units: int = 256) -> keras.Model:
    """O-Net: crops in, (logit, offsets, points) out; points are x and y in turn, edges at 0 and 1."""
    image = keras.Input((size, size, 3), name="image")
    x = _relu_conv(_scaled(image), widths[0], 3, "conv0", 2)
    for i, width in enumerate(widths[1:], 1):
        x = _block(x, width, f"block{i}")
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    x = _features(x, units)
    heads = [
        layers.Dense(5, name="heads")(x),
        layers.Dense(10, bias_initializer=keras.initializers.Constant(0.5), name="points")(x),
    ]
    return keras.Model(image, layers.Concatenate()(heads), name="onet")


def serve(net: keras.Model) -> keras.Model:
    """Return the served form of a net by `pnet`, `rnet`, `onet` or `mtcnn_tuned.tuned`: outputs by name."""
    return _served_pnet(net) if net.name == "pnet" else _served_crop_net(net)


def _served_pnet(net: keras.Model) -> keras.Model:
    """Return the served form of a P-Net: scaling and normalisation folded, `offsets`, `score` (n, h, w)."""
    image = keras.Input((None, None, 3))
    x = image
    for layer in [layer for layer in net.layers if isinstance(layer, layers.Conv2D)]:
        if layer.name == "heads":
            kernel, bias = layer.get_weights()
        else:
            kernel, bias = _folded(layer.get_weights()[0], net.get_layer(f"{layer.name}_norm"))
        if x is image:
            kernel, bias = fold_scaling(kernel, bias, MEAN, SCALE)
        twin = layers.Conv2D(
            kernel.shape[-1],
            kernel.shape[:2],
            layer.strides,
            activation=None if layer.name == "heads" else "relu",
        )
        x = twin(x)
        twin.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return keras.Model(image, {"offsets": x[..., 1:], "score": ops.sigmoid(x[..., 0])})


def _served_crop_net(net: keras.Model) -> keras.Model:
    """Return the served form of an R- or O-Net: `offsets`, `score` (n), and O-Net's `points`."""
    out = net.output
    answer = {"offsets": out[:, Output.OFFSETS], "score": ops.sigmoid(out[:, Output.LOGIT])}
    if out.shape[-1] == Output.POINTS.stop:
        answer["points"] = out[:, Output.POINTS]
    return keras.Model(net.input, answer)


def _folded(kernel: ndarray, norm: keras.Layer) -> tuple[ndarray, ndarray]:
    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in norm.get_weights())
    gain = gamma / np.sqrt(variance + norm.epsilon)
    return kernel * gain, beta - mean * gain
