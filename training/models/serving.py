"""Rewrites of nets for serving: the same function in operators that ONNX Runtime runs fast.

On a CPU, ONNX Runtime keeps feature maps in a blocked layout while convolutions, pools, additions and plain
activations follow each other. A PReLU with a slope a for each channel is none of these and leaves the layout
twice. It equals a sum of operators that stay in the layout:

    prelu(x) = (1 - a) relu(x) + a x = (1 - a) (relu(x) + a / (1 - a) x)

A factor for each channel is a depthwise 1x1 convolution, and the additions are fused into these
convolutions. The second form needs one convolution less: the weights of the next layer take the factor
1 - a. The layout is fastest with channels in multiples of 16.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from numpy import ndarray

MIN_FACTOR = 1e-3
"""Minimum |1 - a| of the second form, which divides by 1 - a."""

_WEIGHTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
_TRANSPARENT = (layers.ZeroPadding2D, layers.Flatten, layers.Dropout)
"""Layers that keep a factor for each channel as it is."""


def channel_prelu(
    x: keras.KerasTensor, alpha: ndarray, name: str, factored: bool = False
) -> keras.KerasTensor:
    """Return the PReLU of feature maps as a sum.

    Args:
        x: feature maps (n, h, w, c).
        alpha: slopes (c,).
        name: prefix of the layers' names.
        factored: return prelu(x) / (1 - alpha), with one convolution less.
    """
    positive = layers.ReLU(name=f"{name}_relu")(x)
    add = layers.Add(name=f"{name}_sum")
    if factored:
        return add([_scale_channels(x, alpha / (1 - alpha), f"{name}_slope"), positive])
    return add(
        [_scale_channels(positive, 1 - alpha, f"{name}_rise"), _scale_channels(x, alpha, f"{name}_slope")]
    )


def fold_scaling(
    kernel: ndarray, bias: ndarray, mean: float | ndarray, scale: float
) -> tuple[ndarray, ndarray]:
    """Return the weights of a convolution with the input scaling (x - mean) * scale folded in.

    It is exact for a convolution without padding only: padding adds zeros, which stand for `mean` before the
    scaling.

    Args:
        kernel: weights (rows, columns, in, out).
        bias: bias (out,).
        mean: mean of all input channels, or of each (in,).
        scale: factor of all input channels.
    """
    wide = kernel.astype(np.float64)
    means = np.broadcast_to(mean, kernel.shape[2])
    shifted = bias - scale * np.einsum("hwio,i->o", wide, means)
    return (wide * scale).astype(np.float32), shifted.astype(np.float32)


def batch_norm_affine(
    gamma: ndarray, beta: ndarray, mean: ndarray, variance: ndarray, epsilon: float
) -> tuple[ndarray, ndarray]:
    """Return a batch normalisation in inference as (scale, shift), (c,) each: y = scale * x + shift."""
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale


def serving_form(net: keras.Model) -> keras.Model:
    """Return a net with the same inputs and outputs, up to rounding, without channelwise PReLUs.

    A PReLU with `shared_axes=[1, 2]` becomes `channel_prelu`. If its output goes to one convolution or dense
    layer only, it is factored, and that layer's weights take the factor.

    Args:
        net: a functional net; it is not changed.
    """
    alphas = {
        layer.name: np.asarray(layer.alpha, np.float64).reshape(-1)
        for layer in net.layers
        if isinstance(layer, layers.PReLU) and list(layer.shared_axes or []) == [1, 2]
    }
    consumers = {
        name: consumer
        for name, consumer in _only_consumers(net, set(alphas)).items()
        if np.abs(1 - alphas[name]).min() >= MIN_FACTOR
    }

    def call(layer: keras.Layer, *args: object, **kwargs: object) -> object:
        if layer.name not in alphas:
            return layer(*args, **kwargs)
        return channel_prelu(args[0], alphas[layer.name], layer.name, layer.name in consumers)

    served = keras.models.clone_model(net, call_function=call)
    factors = {consumer: 1 - alphas[name] for name, consumer in consumers.items()}
    for layer in net.layers:
        weights = layer.get_weights()
        if not weights or layer.name in alphas:
            continue
        if layer.name in factors:
            weights[0] = _scaled_kernel(layer, weights[0], factors[layer.name])
        served.get_layer(layer.name).set_weights(weights)
    return served


@dataclass
class _Call:
    layer: keras.Layer
    inputs: list[int]
    output: int


def _only_consumers(net: keras.Model, names: set[str]) -> dict[str, str]:
    """Return the weighted layer that consumes the output of each named layer, if it is the only consumer."""
    calls: list[_Call] = []
    alive: list[object] = []  # tensors are identified by id(), so none may be freed

    def record(layer: keras.Layer, *args: object, **kwargs: object) -> object:
        output = layer(*args, **kwargs)
        alive.extend([args, output])
        calls.append(_Call(layer, [id(t) for t in keras.tree.flatten(args)], id(output)))
        return output

    copy = keras.models.clone_model(net, call_function=record)
    outputs = {id(t) for t in copy.outputs}
    uses = {c.layer.name: sum(other.layer is c.layer for other in calls) for c in calls}

    def follow(tensor: int) -> str | None:
        consumers = [c for c in calls if tensor in c.inputs]
        if len(consumers) != 1 or tensor in outputs:
            return None
        layer = consumers[0].layer
        if isinstance(layer, _TRANSPARENT):
            return follow(consumers[0].output)
        takes_factor = isinstance(layer, _WEIGHTED) and getattr(layer, "groups", 1) == 1
        return layer.name if takes_factor and uses[layer.name] == 1 else None

    followed = {
        c.layer.name: follow(c.output) for c in calls if c.layer.name in names and uses[c.layer.name] == 1
    }
    return {name: consumer for name, consumer in followed.items() if consumer is not None}


def _scaled_kernel(layer: keras.Layer, kernel: ndarray, factor: ndarray) -> ndarray:
    if isinstance(layer, layers.Dense):
        # Flattened feature maps have their channels innermost.
        factor = np.tile(factor, len(kernel) // len(factor))
    return kernel * factor[:, None]


def _scale_channels(x: keras.KerasTensor, factor: ndarray, name: str) -> keras.KerasTensor:
    layer = layers.DepthwiseConv2D(1, use_bias=False, name=name)
    product = layer(x)
    layer.set_weights([factor.reshape(1, 1, -1, 1)])
    return product
