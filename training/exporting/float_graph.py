"""A float ONNX graph as `training.exporting.int8` reads it: weights, and the layers to be quantised."""

import numpy as np
import onnx
from numpy import ndarray
from onnx import numpy_helper

MIN_CHANNELS = 128
"""Minimum input channels of a quantised pointwise convolution. With fewer, conversions cost what it saves."""

MIN_ROWS = 4096
"""Minimum rows of the weights of a quantised dense layer."""


class UnknownGraph(ValueError):
    """The graph has no form that can be quantised, or the ranges are those of another graph."""


class FloatGraph:
    """A float graph with weights in single precision, and who makes and reads each tensor.

    Args:
        model: a model as `training.exporting.onnx.export` writes it. It is not changed.

    Attributes:
        nodes: the operators in order.
        weights: the weights by name.
        makers: the operator that makes a tensor.
        readers: the operators that read a tensor.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = onnx.GraphProto.FromString(model.graph.SerializeToString())
        self.weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
        self.nodes: list[onnx.NodeProto] = []
        for node in graph.node:
            if node.op_type == "Cast" and node.input[0] in self.weights:
                self.set(node.output[0], self.weights.pop(node.input[0]))
            else:
                self._own_weights(node)
                self.nodes.append(node)
        self.makers = {name: node for node in self.nodes for name in node.output}
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def set(self, name: str, values: ndarray) -> None:
        """Set a weight, in single precision."""
        self.weights[name] = np.asarray(values, np.float32)

    def convolutions(self) -> list[onnx.NodeProto]:
        """Return the quantised convolutions with a larger kernel: all but the first of the net."""
        first = next((n for n in self.nodes if n.op_type == "Conv"), None)
        return [n for n in self._undivided() if self._area(n) > 1 and n is not first]

    def pointwise(self) -> list[onnx.NodeProto]:
        """Return the quantised pointwise convolutions."""
        undivided = (n for n in self._undivided() if self._area(n) == 1)
        return [n for n in undivided if self.weights[n.input[1]].shape[1] >= MIN_CHANNELS]

    def dense(self) -> list[onnx.NodeProto]:
        """Return the matrix products of the quantised dense layers. An addition of a bias follows each."""
        products = (n for n in self.nodes if n.op_type == "MatMul" and n.input[1] in self.weights)
        return [n for n in products if len(self.weights[n.input[1]]) >= MIN_ROWS]

    def observed(self) -> list[str]:
        """Return the names of the tensors (n, c, h, w) whose ranges are needed."""
        names = [n.input[0] for n in self.pointwise()] + [self.maps_before(n) for n in self.dense()]
        for node in self.convolutions():
            names += [node.input[0], self.activated(node)]
        return list(dict.fromkeys(names))

    def maps_before(self, dense: onnx.NodeProto) -> str:
        """Return the feature maps (n, c, h, w) that a dense layer reads, transposed and flattened.

        Raises:
            UnknownGraph: the layer reads something else.
        """
        flatten = self.makers[dense.input[0]]
        turn = self.makers[flatten.input[0]]
        if (flatten.op_type, turn.op_type) != ("Reshape", "Transpose"):
            raise UnknownGraph(f"{dense.name} does not read flattened feature maps.")
        return turn.input[0]

    def activated(self, convolution: onnx.NodeProto) -> str:
        """Return the output of a convolution, behind its ReLU if one is its only reader."""
        (name,) = convolution.output
        readers = self.readers[name]
        return readers[0].output[0] if [n.op_type for n in readers] == ["Relu"] else name

    def prelu_of(self, name: str) -> tuple[onnx.NodeProto, onnx.NodeProto]:
        """Return the convolution before the PReLU that made a tensor, and the one of its slopes.

        The PReLU is a sum of a ReLU and of a convolution of slopes (`training.models.serving`).

        Raises:
            UnknownGraph: the tensor is made in another way.
        """
        total = self.makers[name]
        parts = {n.op_type: n for n in (self.makers[i] for i in total.input if i in self.makers)}
        if total.op_type == "Add" and set(parts) == {"Relu", "Conv"}:
            source, slope = self.makers[parts["Relu"].input[0]], parts["Conv"]
            if source.op_type == "Conv" and len(source.input) == 3 and len(slope.input) == 2:
                return source, slope
        raise UnknownGraph(f"No convolution with a PReLU makes {name}.")

    def addition_after(self, dense: onnx.NodeProto) -> tuple[onnx.NodeProto, str]:
        """Return the addition behind a dense layer, and the name of the bias that it adds.

        Raises:
            UnknownGraph: no addition of a bias follows.
        """
        readers = self.readers[dense.output[0]]
        biases = [name for node in readers for name in node.input if name in self.weights]
        if [n.op_type for n in readers] != ["Add"] or len(biases) != 1:
            raise UnknownGraph(f"No addition of a bias follows {dense.name}.")
        return readers[0], biases[0]

    def _own_weights(self, node: onnx.NodeProto) -> None:
        """Give a layer weights that no other reads, because quantisation changes them."""
        for i, name in enumerate(node.input):
            if node.op_type in {"Conv", "MatMul"} and name in self.weights:
                node.input[i] = f"{name}_of_{node.output[0]}"
                self.weights[node.input[i]] = self.weights[name]

    def _undivided(self) -> list[onnx.NodeProto]:
        convolutions = (n for n in self.nodes if n.op_type == "Conv")
        return [n for n in convolutions if all(a.i == 1 for a in n.attribute if a.name == "group")]

    def _area(self, node: onnx.NodeProto) -> int:
        return int(np.prod(self.weights[node.input[1]].shape[2:]))
