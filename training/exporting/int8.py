"""Static int8 quantisation of an embedder: QDQ operators in its ONNX graph, from measured activation ranges.

Weights are int8, symmetric, with a scale for each output channel. Activations are uint8, with one scale and
zero point for each tensor. ONNX Runtime fuses the operators into products of integers:

- A convolution with a larger kernel becomes QLinearConv: its input and its output are quantised, sums of
  blocks stay float. The first convolution of the net stays float.
- A pointwise convolution becomes MatMulIntegerToFloat: only its input is quantised. Depthwise convolutions
  and PReLUs around it stay float, because they run fast in ONNX Runtime's blocked layout.
- A large dense layer becomes QGemm with a float output.

The input channels of a pointwise convolution are equalised first (Wei et al., "Outlier Suppression+", 2023):
each is shifted and scaled so that all of them use most of the 256 steps. The layers around take the inverse.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from jaxtyping import Float32
from numpy import ndarray
from onnx import helper, numpy_helper

from training.exporting import onnx_passes
from training.exporting.float_graph import FloatGraph, UnknownGraph

BALANCE = 0.8
"""Exponent of a channel's spread in its factor of equalisation. That of its weights is the rest."""

HEADROOM = 1.25
"""Factor of the ranges of larger convolutions. Some people exceed the ranges of others by up to 2."""

_TINY = 1e-6


@dataclass(frozen=True)
class Range:
    """The values of a tensor by channel: minimum, maximum and mean (c,)."""

    low: Float32[ndarray, " c"]
    high: Float32[ndarray, " c"]
    mean: Float32[ndarray, " c"]


Ranges = Mapping[str, Range]
"""Ranges by the name of the tensor in the float file."""


def quantise(model: onnx.ModelProto, ranges: Ranges) -> onnx.ModelProto:
    """Return the int8 model of a float model, with the same metadata.

    Args:
        model: the float model.
        ranges: the ranges of the tensors that `FloatGraph.observed` names.

    Raises:
        UnknownGraph: the ranges are those of another graph, or a layer has an unknown form.
    """
    graph = FloatGraph(model)
    if missing := [n for n in graph.observed() if n not in ranges]:
        raise UnknownGraph(f"The ranges of {', '.join(missing)} are missing. Measure them again.")
    nodes = _Rewriting(graph, _equalise(graph, ranges)).run()
    made = onnx.ModelProto.FromString(model.SerializeToString())
    del made.graph.node[:], made.graph.initializer[:]
    made.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    made.graph.initializer.extend(
        numpy_helper.from_array(values, name) for name, values in graph.weights.items() if name in read
    )
    onnx_passes.canonicalise(made.graph)
    onnx.checker.check_model(made)
    return made


def _equalise(graph: FloatGraph, ranges: Ranges) -> dict[str, Range]:
    """Equalise the input channels of pointwise convolutions.

    A PReLU keeps positive factors, so the convolution before it takes the inverse factor. The sum of the
    PReLU takes the shift, and the bias of the pointwise convolution its product.

    Returns:
        All ranges, those of the equalised inputs changed.
    """
    scaled = dict(ranges)
    for node in graph.pointwise():
        maps, kernel, bias = node.input
        low, high, mean = (
            side.astype(np.float64) for side in (ranges[maps].low, ranges[maps].high, ranges[maps].mean)
        )
        middle, spread = (low + high) / 2, np.maximum((high - low) / 2, _TINY)
        weights = graph.weights[kernel][:, :, 0, 0].astype(np.float64)
        factor = spread**BALANCE / np.maximum(np.abs(weights).max(axis=0), _TINY) ** (1 - BALANCE)
        factor /= np.exp(np.log(factor).mean())
        graph.set(kernel, (weights * factor)[:, :, None, None])
        graph.set(bias, graph.weights[bias] + weights @ middle)
        source, slope = graph.prelu_of(maps)
        graph.set(source.input[1], graph.weights[source.input[1]] / factor[:, None, None, None])
        graph.set(source.input[2], graph.weights[source.input[2]] / factor)
        slope.input.append(f"{maps}_shift")
        graph.set(f"{maps}_shift", -middle / factor)
        scaled[maps] = Range(*(((side - middle) / factor).astype(np.float32) for side in (low, high, mean)))
    return scaled


class _Rewriting:
    """Writes the operators of the int8 graph; adds the weights to the float graph's."""

    def __init__(self, graph: FloatGraph, ranges: Ranges) -> None:
        self._graph = graph
        self._weights = graph.weights
        self._ranges = ranges
        self._nodes: list[onnx.NodeProto] = []

    def run(self) -> list[onnx.NodeProto]:
        """Return the operators."""
        graph = self._graph
        rules = {id(node): self._convolution for node in graph.convolutions()}
        rules |= {id(node): self._pointwise for node in graph.pointwise()}
        rules |= {id(node): self._dense for node in graph.dense()}
        additions = [graph.addition_after(node)[0] for node in graph.dense()]
        quantised = {graph.activated(node) for node in graph.convolutions()}
        replaced: dict[str, str] = {}
        for node in (n for n in graph.nodes if n not in additions):
            copy = onnx.NodeProto.FromString(node.SerializeToString())
            copy.input[:] = [replaced.get(name, name) for name in node.input]
            rules.get(id(node), self._nodes.append)(copy)
            for name in quantised.intersection(node.output):
                replaced[name] = self._quantise(name, name, HEADROOM)
        return self._nodes

    def _convolution(self, node: onnx.NodeProto) -> None:
        maps, kernel, bias = node.input
        if maps in self._ranges:  # not yet quantised: the sum at the end of the block reads it as float
            maps = self._quantise(maps, maps, HEADROOM)
        node.input[:] = [maps, self._quantise_weights(kernel, 0), self._quantise_bias(bias, maps, kernel)]
        self._nodes.append(node)

    def _pointwise(self, node: onnx.NodeProto) -> None:
        maps, kernel, bias = node.input
        (out,) = node.output
        columns = self._weights[kernel] = self._weights[kernel][:, :, 0, 0].T.copy()
        self._add("Transpose", [maps], f"{out}_rows", perm=[0, 2, 3, 1])
        rows = self._quantise(f"{out}_rows", maps)
        self._add("MatMul", [rows, self._quantise_weights(kernel, 1)], f"{out}_product")
        self._add("Transpose", [f"{out}_product"], f"{out}_maps", perm=[0, 3, 1, 2])
        rounded = self._weights[f"{kernel}_integers"] * self._weights[f"{kernel}_scale"].astype(np.float64)
        self._graph.set(bias, self._weights[bias] - self._ranges[maps].mean @ (rounded - columns))
        # Adds the bias. As the only reader of the transposed maps it lets ONNX Runtime transpose them on the
        # way into its blocked layout.
        self._graph.set(f"{out}_ones", np.ones((columns.shape[1], 1, 1, 1)))
        inputs = [f"{out}_maps", f"{out}_ones", bias]
        self._add("Conv", inputs, out, group=columns.shape[1], kernel_shape=[1, 1])

    def _dense(self, node: onnx.NodeProto) -> None:
        rows, kernel = node.input
        addition, bias = self._graph.addition_after(node)
        rows = self._quantise(rows, self._graph.maps_before(node))
        inputs = [rows, self._quantise_weights(kernel, 1), self._quantise_bias(bias, rows, kernel)]
        self._add("Gemm", inputs, addition.output[0])

    def _quantise(self, name: str, ranged: str, headroom: float = 1.0) -> str:
        """Quantise a tensor to uint8.

        Args:
            name: the tensor.
            ranged: the tensor whose range it has.
            headroom: factor of the range.

        Returns:
            The name of the dequantised tensor.
        """
        low = headroom * min(0.0, float(self._ranges[ranged].low.min()))
        high = headroom * max(0.0, float(self._ranges[ranged].high.max()))
        scale, out = max(high - low, _TINY) / 255, f"{name}_dequantised"
        self._graph.set(f"{out}_scale", np.array(scale))
        self._weights[f"{out}_zero"] = np.array(np.clip(np.rint(-low / scale), 0, 255), np.uint8)
        self._add("QuantizeLinear", [name, f"{out}_scale", f"{out}_zero"], f"{name}_quantised")
        self._add("DequantizeLinear", [f"{name}_quantised", f"{out}_scale", f"{out}_zero"], out)
        return out

    def _quantise_weights(self, name: str, axis: int) -> str:
        """Quantise weights to int8.

        Args:
            name: the weights.
            axis: the axis of the output channels.

        Returns:
            The name of the dequantised weights.
        """
        values = self._weights[name].astype(np.float64)
        others = tuple(i for i in range(values.ndim) if i != axis)
        scale = (np.maximum(np.abs(values).max(axis=others), _TINY) / 127).astype(np.float32)
        integers = np.rint(values / np.expand_dims(scale, others)).astype(np.int8)
        return self._dequantise(name, integers, scale, axis)

    def _quantise_bias(self, name: str, maps: str, kernel: str) -> str:
        """Quantise a bias to int32, in units of the products of the input `maps` and the weights `kernel`.

        Returns:
            The name of the dequantised bias.
        """
        scale = self._weights[f"{kernel}_scale"] * self._weights[f"{maps}_scale"]
        return self._dequantise(
            name, np.rint(self._weights[name] / scale.astype(np.float64)).astype(np.int32), scale
        )

    def _dequantise(self, name: str, integers: ndarray, scale: ndarray, axis: int = 0) -> str:
        inputs = [f"{name}_integers", f"{name}_scale", f"{name}_zero"]
        self._weights |= zip(inputs, (integers, scale, np.zeros(len(scale), integers.dtype)), strict=True)
        self._add("DequantizeLinear", inputs, f"{name}_dequantised", axis=axis)
        return f"{name}_dequantised"

    def _add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
