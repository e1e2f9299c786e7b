"""Rewrites of an ONNX graph after conversion: names, sizes, layout, canonical order, half precision."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HALF_FROM = 4096
"""Minimum number of values of a weight that is stored in half precision."""


def rename_outputs(graph: onnx.GraphProto, names: list[str]) -> None:
    """Rename the outputs of the graph, in their order."""
    new = {out.name: name for out, name in zip(graph.output, names, strict=True)}
    for node in graph.node:
        node.input[:] = [new.get(n, n) for n in node.input]
        node.output[:] = [new.get(n, n) for n in node.output]
    for out in graph.output:
        out.name = new[out.name]


def free_sizes(graph: onnx.GraphProto) -> None:
    """Name the free sizes of inputs and outputs: n, h, w and n, rows, columns."""
    for value in (*graph.input, *graph.output):
        labels = iter(("n", "h", "w") if value in list(graph.input) else ("n", "rows", "columns"))
        for dim in value.type.tensor_type.shape.dim:
            label = next(labels, "")
            if not dim.dim_value:
                dim.dim_param = label
    del graph.value_info[:]


def plain_resize(graph: onnx.GraphProto) -> None:
    """Give nearest-neighbour Resize the coordinate mode `asymmetric`, which runtimes run fast.

    For an integer scale all modes agree. The converter writes `tf_half_pixel_for_nn`, deprecated since
    opset 13.
    """
    for node in graph.node:
        attributes = {a.name: a for a in node.attribute}
        mode = attributes.get("coordinate_transformation_mode")
        if node.op_type == "Resize" and mode is not None and mode.s == b"tf_half_pixel_for_nn":
            mode.s = b"asymmetric"
            attributes["nearest_mode"].s = b"floor"


_UPSAMPLING = ("Transpose", "Reshape", "Tile", "Unsqueeze", "Reshape", "Transpose", "Tile", "Unsqueeze")
"""What the converter makes of `UpSampling2D` by 2 at free image sizes, from the end to the start."""


def resize_repeats(graph: onnx.GraphProto) -> None:
    """Replace the chains of operators that repeat each row and column of a feature map by one Resize each.

    The nodes that compute the shapes for a chain stay without a reader. `canonicalise` removes them.

    Raises:
        ValueError: features are repeated by another factor than 2.
    """
    makers = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    scales = numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "doubled")
    for index, last in enumerate(graph.node):
        chain = _chain(last, makers, len(_UPSAMPLING))
        if tuple(node.op_type for node in chain) != _UPSAMPLING:
            continue
        repeats = [weights[node.input[1]].tolist() for node in chain if node.op_type == "Tile"]
        if repeats != [[1, 1, 1, 2, 1]] * 2:
            raise ValueError(f"Features are repeated by {repeats}. Only a factor of 2 is supported.")
        resize = helper.make_node(
            "Resize",
            [chain[-1].input[0], "", scales.name],
            list(last.output),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        graph.node[index].CopyFrom(resize)
        if scales.name not in weights:
            graph.initializer.append(scales)
            weights[scales.name] = np.empty(0)


def _chain(last: onnx.NodeProto, makers: dict[str, onnx.NodeProto], most: int) -> list[onnx.NodeProto]:
    """Return a node, the node that makes its first input, and so on, at most `most` nodes."""
    nodes = [last]
    while len(nodes) < most and nodes[-1].input and nodes[-1].input[0] in makers:
        nodes.append(makers[nodes[-1].input[0]])
    return nodes


def transpose_bytes_first(graph: onnx.GraphProto) -> None:
    """Transpose the input to channels first before the cast to float32: a quarter of the bytes move."""
    readers = {name: [n for n in graph.node if name in n.input] for n in graph.node for name in n.output}
    for cast in [n for n in graph.node if n.op_type == "Cast" and n.input[0] == graph.input[0].name]:
        (turn, *others) = readers[cast.output[0]]
        if turn.op_type == "Transpose" and not others:
            turned, floats = turn.output[0], cast.output[0]
            turn.input[0], turn.output[0] = graph.input[0].name, floats
            cast.input[0], cast.output[0] = floats, turned


def convolve_interleaved(graph: onnx.GraphProto) -> None:
    """Let the first convolution read the interleaved channels of the input, without a transposition.

    A row of pixels is a row of three times as many values of one channel. A kernel of three times the width,
    which moves three times as far, gives the same output on it. The graph stays as it is if its first three
    nodes are not the transposition, the cast and a convolution without automatic padding.
    """
    image = graph.input[0].name
    first = [node for node in graph.node if image in node.input]
    while len(first) < 3 and (reader := _only_reader(graph, first[-1])) is not None:
        first.append(reader)
    if [node.op_type for node in first] != ["Transpose", "Cast", "Conv"]:
        return
    turn, cast, conv = first
    settings = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
    if settings.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or settings.get("group", 1) != 1:
        return
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    kernel = weights[conv.input[1]]
    filters, channels, height, width = kernel.shape
    top, left, bottom, right = settings.get("pads", [0, 0, 0, 0])
    down, across = settings.get("strides", [1, 1])
    graph.initializer.extend(
        [
            numpy_helper.from_array(np.array([0, 0, -1]), "rows_shape"),
            numpy_helper.from_array(np.array([1]), "rows_axis"),
            numpy_helper.from_array(
                kernel.transpose(0, 2, 3, 1).reshape(filters, 1, height, width * channels), "rows_kernel"
            ),
        ]
    )
    made = [
        helper.make_node("Reshape", [image, "rows_shape"], ["rows"]),
        helper.make_node("Unsqueeze", ["rows", "rows_axis"], [turn.output[0]]),
        cast,
        helper.make_node(
            "Conv",
            [conv.input[0], "rows_kernel", *conv.input[2:]],
            conv.output,
            kernel_shape=[height, width * channels],
            strides=[down, across * channels],
            pads=[top, left * channels, bottom, right * channels],
        ),
    ]
    kept = [node for node in graph.node if node not in (turn, cast, conv)]
    del graph.node[:]
    graph.node.extend([*made, *kept])


def _only_reader(graph: onnx.GraphProto, maker: onnx.NodeProto) -> onnx.NodeProto | None:
    """Return the node that reads the output of a node, or None if there is not exactly one."""
    readers = [node for node in graph.node if maker.output[0] in node.input]
    return readers[0] if len(readers) == 1 else None


def canonicalise(graph: onnx.GraphProto) -> None:
    """Give nodes and names a canonical order: those of the converter vary from run to run, and so the hash.

    Nodes are in the order of a depth-first walk from the outputs. Names are numbered by position.
    """
    makers = {name: node for node in graph.node for name in node.output}
    weights = {tensor.name: tensor for tensor in graph.initializer}
    order: list[onnx.NodeProto] = []
    used: list[onnx.TensorProto] = []
    seen: set[int] = set()

    def walk(name: str) -> None:
        if name in weights:
            used.append(weights.pop(name))
        node = makers.get(name)
        if node is None or id(node) in seen:
            return
        seen.add(id(node))
        for source in node.input:
            walk(source)
        order.append(node)

    for out in graph.output:
        walk(out.name)
    keep = {"", *(v.name for v in (*graph.input, *graph.output))}
    new = {tensor.name: f"w{i}" for i, tensor in enumerate(used)}
    new |= {name: f"t{i}_{j}" for i, node in enumerate(order) for j, name in enumerate(node.output)}
    new |= {name: name for name in keep}
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in order]
    for i, node in enumerate(nodes):
        node.name, node.doc_string = f"{node.op_type}_{i}", ""
        node.input[:] = [new[n] for n in node.input]
        node.output[:] = [new[n] for n in node.output]
        attributes = sorted(node.attribute, key=lambda a: a.name)
        del node.attribute[:]
        node.attribute.extend(attributes)
    tensors = [numpy_helper.from_array(numpy_helper.to_array(t), new[t.name]) for t in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(tensors)
    graph.name, graph.doc_string = "facet", ""


def store_half(graph: onnx.GraphProto) -> None:
    """Store large weights in half precision, each with a cast to single precision behind it."""
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < HALF_FROM:
            continue
        stored = numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}_half")
        casts.append(
            helper.make_node(
                "Cast", [stored.name], [tensor.name], f"Cast_{tensor.name}", to=TensorProto.FLOAT
            )
        )
        tensor.CopyFrom(stored)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
