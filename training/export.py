"""Keras net to served ONNX: uint8 in, spec in the metadata, golden file beside it, parity proved.

A net of other nets' vectors takes these as they are, float32.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from keras import ops
from numpy import ndarray
from onnx import TensorProto, helper, numpy_helper

from app.runtime.device import Device
from app.runtime.model_store import sha256
from app.runtime.session import OrtSession
from app.vision.spec import METADATA_KEY, ModelSpec

OPSET, IR_VERSION = 18, 8
HALF_FROM = 4096
"""Weights of at least so many values are stored in half precision, when half is asked for."""


def serving_net(net: keras.Model, unit_length: str | None = None) -> keras.Model:
    """The net behind a uint8 NHWC input; `unit_length` names an output to normalise to length 1."""
    image = keras.Input(net.input_shape[1:], dtype="uint8", name="image")
    outputs = net(ops.cast(image, "float32"))
    if not isinstance(outputs, dict):
        raise TypeError("a served net names its outputs in a dict")
    if unit_length is not None:
        vector = outputs[unit_length]
        norm = ops.sqrt(ops.sum(ops.square(vector), axis=-1, keepdims=True))
        outputs[unit_length] = vector / ops.maximum(norm, 1e-10)
    return keras.Model(image, outputs)


def export(
    net: keras.Model,
    spec: ModelSpec,
    path: Path,
    golden: Path,
    *,
    half: bool = False,
    tolerance: float = 2e-5,
) -> float:
    """Writes the served net (from `serving_net`, or one that takes vectors) and its golden file.

    Answers the largest difference found.

    `half` stores the weights in half precision (they are computed with in single). Nothing is left
    half-written: both files appear only after the parity gate. Raises ValueError when an output of the
    ONNX file differs from Keras's by more than `tolerance`.
    """
    model = to_onnx(net, half=half)
    model.metadata_props.add(key=METADATA_KEY, value=spec.model_dump_json())
    given = golden_input(net)
    expected = {name: np.asarray(value) for name, value in net(given, training=False).items()}
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / path.name
        draft.write_bytes(model.SerializeToString(deterministic=True))
        found = OrtSession(draft, Device("cpu", threads=1)).run(given)
        worst = max(float(np.abs(found[name] - value).max()) for name, value in expected.items())
        if not worst <= tolerance:
            raise ValueError(f"{path.name}: ONNX differs from Keras by {worst:.3g}, over {tolerance:.3g}")
        saved = Path(folder) / golden.name
        arrays: dict[str, Any] = {net.input.name: given, "tolerance": np.float32(tolerance), **expected}
        np.savez_compressed(saved, **arrays)
        for source, target in ((saved, golden), (draft, path)):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
    return worst


def to_onnx(net: keras.Model, *, half: bool) -> onnx.ModelProto:
    """The net as an ONNX model of opset 18, with named outputs and free batch (and picture) sizes."""
    signature = (tf.TensorSpec((None, *net.input_shape[1:]), net.input.dtype, name=net.input.name),)
    names = sorted(net.output.keys())
    ordered = keras.Model(net.input, [net.output[name] for name in names])
    model, _ = tf2onnx.convert.from_keras(ordered, input_signature=signature, opset=OPSET)
    _rename_outputs(model.graph, names)
    _free_sizes(model.graph)
    _plain_resize(model.graph)
    if None in net.input_shape[1:]:
        _turn_bytes(model.graph)
    _canonical(model.graph)
    if half:
        _store_half(model.graph)
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version, model.doc_string = "facet", "", ""
    onnx.checker.check_model(model)
    return model


def golden_input(net: keras.Model) -> ndarray:
    """What a served net's golden file holds: two pictures, or two of the vectors it takes. Seeded."""
    if net.input.dtype == "uint8":
        return golden_images(net.input_shape[1:])
    return np.random.default_rng(0).uniform(0, 1, (2, *net.input_shape[1:])).astype(np.float32)


def golden_images(shape: tuple[int | None, ...]) -> ndarray:
    """Two smooth random pictures for a net's input shape; free sizes become 64 x 96. Seeded."""
    height, width = (side or default for side, default in zip(shape[:2], (64, 96), strict=True))
    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (2, 8, 8, 3)).astype(np.float32)
    rows = np.linspace(0, 7, height)
    columns = np.linspace(0, 7, width)
    smooth = _interpolate(_interpolate(coarse, rows, 1), columns, 2)
    return np.clip(smooth + rng.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8)


def _interpolate(values: ndarray, at: ndarray, axis: int) -> ndarray:
    low = np.minimum(at.astype(int), values.shape[axis] - 2)
    weight = (at - low).reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return np.take(values, low, axis) * (1 - weight) + np.take(values, low + 1, axis) * weight


def _rename_outputs(graph: onnx.GraphProto, names: list[str]) -> None:
    new = {out.name: name for out, name in zip(graph.output, names, strict=True)}
    for node in graph.node:
        node.input[:] = [new.get(n, n) for n in node.input]
        node.output[:] = [new.get(n, n) for n in node.output]
    for out in graph.output:
        out.name = new[out.name]


def _free_sizes(graph: onnx.GraphProto) -> None:
    for value in (*graph.input, *graph.output):
        labels = iter(("n", "h", "w") if value in list(graph.input) else ("n", "rows", "columns"))
        for dim in value.type.tensor_type.shape.dim:
            label = next(labels, "")
            if not dim.dim_value:
                dim.dim_param = label
    del graph.value_info[:]


def _plain_resize(graph: onnx.GraphProto) -> None:
    """Nearest-cell Resize in the form that runtimes run fast; enlarging by a whole number, all forms agree.

    The converter's own, `tf_half_pixel_for_nn`, is deprecated since opset 13.
    """
    for node in graph.node:
        attributes = {a.name: a for a in node.attribute}
        mode = attributes.get("coordinate_transformation_mode")
        if node.op_type == "Resize" and mode is not None and mode.s == b"tf_half_pixel_for_nn":
            mode.s = b"asymmetric"
            attributes["nearest_mode"].s = b"floor"


def _turn_bytes(graph: onnx.GraphProto) -> None:
    """Channels first, then to float32: of a large picture a fourth of the bytes to turn."""
    readers = {name: [n for n in graph.node if name in n.input] for n in graph.node for name in n.output}
    for cast in [n for n in graph.node if n.op_type == "Cast" and n.input[0] == graph.input[0].name]:
        (turn, *others) = readers[cast.output[0]]
        if turn.op_type == "Transpose" and not others:
            turned, floats = turn.output[0], cast.output[0]
            turn.input[0], turn.output[0] = graph.input[0].name, floats
            cast.input[0], cast.output[0] = floats, turned


def _canonical(graph: onnx.GraphProto) -> None:
    """One order and one naming for one net: the converter's own vary from run to run, and so would the hash.

    Nodes stand in the order a walk from the outputs back meets their inputs; names count by position.
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


def _store_half(graph: onnx.GraphProto) -> None:
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


def describe(path: Path) -> dict[str, object]:
    """The manifest's entry for a file."""
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}


def write_manifest(folder: Path, models: list[dict[str, object]]) -> None:
    """Writes `manifest.json` whole or not at all."""
    draft = folder / "manifest.json.part"
    draft.write_text(json.dumps({"models": models}, indent=2) + "\n")
    draft.replace(folder / "manifest.json")
