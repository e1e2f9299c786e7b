"""P-, R- and O-Net for training from random weights: the three stages of MTCNN (Zhang et al., 2016), widened.

P-Net reads every pixel of the image pyramid: small convolutions with ReLU, the first with stride 2, and
channels in multiples of 16, the block size of ONNX Runtime's layout. Its window is wider than the face at its
centre, because a small face is recognised by its surroundings. R- and O-Net read few crops, also wider than
the face. Their convolutions have batch normalisation, and those of O-Net are residual (He et al., 2016).

All nets take RGB float, 0..255. Their outputs (..., 5 or 15) are `training.config.columns.CascadeOutput`.
"""

import keras
import numpy as np
from keras import layers, ops
from numpy import ndarray

from training.config.columns import CascadeOutput
from training.models.mtcnn import MEAN, SCALE
from training.models.serving import batch_norm_affine, fold_scaling

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
    """Return a convolution of stride 2 and a residual one."""
    x = _relu_conv(x, filters, 3, f"{name}_down", 2)
    return layers.ReLU()(layers.Add()([x, _conv(x, filters, 3, f"{name}_add")]))


def _features(x: keras.KerasTensor, units: int) -> keras.KerasTensor:
    """Return a dense layer with batch normalisation.

    Without it nearly all units died in training: docs/experiments/own-cascade.md.
    """
    x = layers.Dense(units, use_bias=False, kernel_initializer="he_normal", name="fc")(x)
    return layers.ReLU()(layers.BatchNormalization(momentum=0.97, epsilon=EPSILON, name="fc_norm")(x))


def pnet(widths: tuple[int, ...] = (16, 16, 16, 32), points: bool = False) -> keras.Model:
    """Return a P-Net: images (n, h, w, 3) to logit and offsets of all windows (n, rows, columns, 5).

    With points there are 15 columns, as in O-Net. The unit of the points is the square of a window.

    Windows have stride 2; there are (h - window) / 2 + 1 rows.

    Args:
        widths: filters of the convolutions. The window is 4 pixels, plus 4 for each after the first.
        points: whether the net predicts five points too.
    """
    image = keras.Input((None, None, 3), name="image")
    x = _relu_conv(_scaled(image), widths[0], 4, "conv0", 2, "valid")
    for i, width in enumerate(widths[1:], 1):
        x = _relu_conv(x, width, 3, f"conv{i}", padding="valid")
    return keras.Model(
        image, layers.Conv2D(15 if points else 5, 1, dtype="float32", name="heads")(x), name="pnet"
    )


def rnet(
    size: int = 24, widths: tuple[int, ...] = (16, 32, 64, 64), units: int = 128, points: bool = False
) -> keras.Model:
    """Return an R-Net: crops (n, size, size, 3) to logit and offsets (n, 5); with points (n, 15).

    Args:
        size: side of the input in pixels.
        widths: filters of the convolutions.
        units: units of the dense layer.
        points: whether the net predicts five points too.
    """
    image = keras.Input((size, size, 3), name="image")
    x = _relu_conv(_scaled(image), widths[0], 3, "conv0", 2)
    x = _relu_conv(x, widths[1], 3, "conv1")
    for i, width in enumerate(widths[2:], 2):
        x = _relu_conv(x, width, 3, f"conv{i}", 2)
    x = _features(layers.Flatten()(x), units)
    return keras.Model(
        image, layers.Dense(15 if points else 5, dtype="float32", name="heads")(x), name="rnet"
    )


def onet(size: int = 64, widths: tuple[int, ...] = (16, 32, 64, 128), units: int = 256) -> keras.Model:
    """Return an O-Net: crops (n, size, size, 3) to logit, offsets and five points (n, 15).

    Points are x and y in turn, in unit coordinates: the edges of the crop are 0 and 1.

    Args:
        size: side of the input in pixels.
        widths: filters of the first convolution and of the residual blocks.
        units: units of the dense layer.
    """
    image = keras.Input((size, size, 3), name="image")
    x = _relu_conv(_scaled(image), widths[0], 3, "conv0", 2)
    for i, width in enumerate(widths[1:], 1):
        x = _block(x, width, f"block{i}")
    x = layers.Dropout(0.2)(layers.Flatten()(x))
    x = _features(x, units)
    heads = [
        layers.Dense(5, dtype="float32", name="heads")(x),
        layers.Dense(10, bias_initializer=keras.initializers.Constant(0.5), dtype="float32", name="points")(
            x
        ),
    ]
    return keras.Model(image, layers.Concatenate(dtype="float32")(heads), name="onet")


def serve(net: keras.Model) -> keras.Model:
    """Return the served form of a net of this module or of `mtcnn_trainable`, with named outputs.

    The outputs are `offsets` and `score`, of P-Net for all windows (n, rows, columns), and `points` of O-Net.
    """
    return _served_pnet(net) if net.name == "pnet" else _served_crop_net(net)


def _served_pnet(net: keras.Model) -> keras.Model:
    """Return the served form of a P-Net: input scaling and batch normalisation are folded."""
    image = keras.Input((None, None, 3))
    x = image
    for layer in [layer for layer in net.layers if isinstance(layer, layers.Conv2D)]:
        if layer.name == "heads":
            kernel, bias = layer.get_weights()
        else:
            kernel, bias = _fold_norm(layer.get_weights()[0], net.get_layer(f"{layer.name}_norm"))
        if x is image:
            kernel, bias = fold_scaling(kernel, bias, MEAN, SCALE)
        folded = layers.Conv2D(
            kernel.shape[-1],
            kernel.shape[:2],
            layer.strides,
            activation=None if layer.name == "heads" else "relu",
        )
        x = folded(x)
        folded.set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    return keras.Model(image, {"offsets": x[..., CascadeOutput.OFFSETS], "score": ops.sigmoid(x[..., 0])})


def _served_crop_net(net: keras.Model) -> keras.Model:
    """Return the served form of an R- or O-Net: `offsets`, `score` (n,), and `points` of O-Net alone."""
    out = net.output
    outputs = {"offsets": out[:, CascadeOutput.OFFSETS], "score": ops.sigmoid(out[:, CascadeOutput.LOGIT])}
    if net.name == "onet":
        outputs["points"] = out[:, CascadeOutput.POINTS]
    return keras.Model(net.input, outputs)


def _fold_norm(kernel: ndarray, norm: keras.Layer) -> tuple[ndarray, ndarray]:
    gamma, beta, mean, variance = (np.asarray(w, np.float64) for w in norm.get_weights())
    scale, shift = batch_norm_affine(gamma, beta, mean, variance, norm.epsilon)
    return kernel * scale, shift
