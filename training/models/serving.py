"""Nets in their serving form: the same function, written in operators that ONNX Runtime runs fast.

On a CPU, ONNX Runtime keeps feature maps in a blocked layout as long as convolutions, pools, additions
and plain activations follow each other. A PReLU with a slope a for each channel is none of these, and
leaves the layout twice. Yet it is a sum of two things that do stay:

    prelu(x) = (1 - a) relu(x) + a x = (1 - a) (relu(x) + a / (1 - a) x)

where a factor for each channel is a depthwise convolution of one pixel, and the additions are fused into
these convolutions. The second way saves one of them: the next layer's weights take the factor 1 - a.
The full speed needs channels in multiples of 16.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers
from numpy import ndarray

LEAST_FACTOR = 1e-3
"""A channel with |1 - a| below this keeps the first way: a / (1 - a) loses its meaning at a = 1."""

_WEIGHTED = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)
_TRANSPARENT = (layers.ZeroPadding2D, layers.Flatten, layers.Dropout)


def channel_prelu(
    x: keras.KerasTensor, alpha: ndarray, name: str, factored: bool = False
) -> keras.KerasTensor:
    """A PReLU of maps x (n, h, w, c) with slopes alpha (c,); its layers' names begin with `name`.

    `factored` answers prelu(x) / (1 - alpha), one convolution less, and leaves that factor to the caller.
    """
    positive = layers.ReLU(name=f"{name}_relu")(x)
    add = layers.Add(name=f"{name}_sum")
    if factored:
        return add([_times(x, alpha / (1 - alpha), f"{name}_slope"), positive])
    return add([_times(positive, 1 - alpha, f"{name}_rise"), _times(x, alpha, f"{name}_slope")])


def fold_scaling(kernel: ndarray, bias: ndarray, mean: float, scale: float) -> tuple[ndarray, ndarray]:
    """Return the weights of a convolution with the input scaling (x - mean) * scale folded in.

    Exact for a 'valid' convolution only: padding adds zeros, which stand for `mean` before the scaling.
    """
    wide = kernel.astype(np.float64)
    shifted = bias - mean * scale * wide.sum(axis=(0, 1, 2))
    return (wide * scale).astype(np.float32), shifted.astype(np.float32)


def serving_form(net: keras.Model) -> keras.Model:
    """A net of the same inputs and outputs, equal but for rounding, its channelwise PReLUs replaced.

    `net` is functional and keeps its weights. Its PReLUs with `shared_axes=[1, 2]` become `channel_prelu`;
    where a convolution or dense layer alone follows, factored, the factor in that layer's weights.
    """
    alphas = {
        layer.name: np.asarray(layer.alpha, np.float64).reshape(-1)
        for layer in net.layers
        if isinstance(layer, layers.PReLU) and list(layer.shared_axes or []) == [1, 2]
    }
    takers = {
        name: taker
        for name, taker in _followers(net, set(alphas)).items()
        if np.abs(1 - alphas[name]).min() >= LEAST_FACTOR
    }

    def call(layer: keras.Layer, *args: object, **kwargs: object) -> object:
        if layer.name not in alphas:
            return layer(*args, **kwargs)
        return channel_prelu(args[0], alphas[layer.name], layer.name, layer.name in takers)

    served = keras.models.clone_model(net, call_function=call)
    factors = {taker: 1 - alphas[name] for name, taker in takers.items()}
    for layer in net.layers:
        weights = layer.get_weights()
        if not weights or layer.name in alphas:
            continue
        if layer.name in factors:
            weights[0] = _scaled(layer, weights[0], factors[layer.name])
        served.get_layer(layer.name).set_weights(weights)
    return served


@dataclass
class _Call:
    layer: keras.Layer
    inputs: list[int]
    output: int


def _followers(net: keras.Model, names: set[str]) -> dict[str, str]:
    """For each named layer, the weighted layer that alone takes its output, where there is one."""
    calls: list[_Call] = []
    kept: list[object] = []  # tensors are told apart by identity, so they must all stay alive

    def record(layer: keras.Layer, *args: object, **kwargs: object) -> object:
        output = layer(*args, **kwargs)
        kept.extend([args, output])
        calls.append(_Call(layer, [id(t) for t in keras.tree.flatten(args)], id(output)))
        return output

    twin = keras.models.clone_model(net, call_function=record)
    ends = {id(t) for t in twin.outputs}
    times = {c.layer.name: sum(other.layer is c.layer for other in calls) for c in calls}

    def follow(tensor: int) -> str | None:
        users = [c for c in calls if tensor in c.inputs]
        if len(users) != 1 or tensor in ends:
            return None
        layer = users[0].layer
        if isinstance(layer, _TRANSPARENT):
            return follow(users[0].output)
        takes = isinstance(layer, _WEIGHTED) and getattr(layer, "groups", 1) == 1
        return layer.name if takes and times[layer.name] == 1 else None

    found = {
        c.layer.name: follow(c.output) for c in calls if c.layer.name in names and times[c.layer.name] == 1
    }
    return {name: taker for name, taker in found.items() if taker is not None}


def _scaled(layer: keras.Layer, kernel: ndarray, factor: ndarray) -> ndarray:
    if isinstance(layer, layers.Dense):
        # Flattened maps hold their channels innermost.
        factor = np.tile(factor, len(kernel) // len(factor))
    return kernel * factor[:, None]


def _times(x: keras.KerasTensor, factor: ndarray, name: str) -> keras.KerasTensor:
    layer = layers.DepthwiseConv2D(1, use_bias=False, name=name)
    product = layer(x)
    layer.set_weights([factor.reshape(1, 1, -1, 1)])
    return product
