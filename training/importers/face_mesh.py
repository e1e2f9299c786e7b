"""MediaPipe's face mesh, from the package `mediapipe` 0.10.14 (Apache-2.0).

The file is a TensorFlow Lite graph with weights in half precision.
"""

from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy import ndarray

from training.importers.packages import CACHE, PublishedFile, SourceError, fetch
from training.importers.parity import Images, Outputs, Parity, measure
from training.models.face_mesh import INPUT_SIZE as INPUT_SIZE
from training.models.face_mesh import face_mesh, published_order
from training.models.serving import fold_scaling, serving_form

PACKAGE, VERSION = "mediapipe", "0.10.14"
MEMBER = "mediapipe/modules/face_landmark/face_landmark.tflite"
SOURCE = f"PyPI {PACKAGE} {VERSION}, {MEMBER}"
LICENCE = "Apache-2.0"
SHA256 = "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814"
FILE = PublishedFile(PACKAGE, VERSION, MEMBER, SHA256)

SCALE = 1 / 255

_HALF = 1
"""Number of the type float16 in TensorFlow Lite's schema."""


class BadMesh(SourceError):
    """The file does not contain the graph of the face mesh."""


def parse(data: bytes) -> list[list[ndarray]]:
    """Return the weights of each layer in the order of the published graph, in the layouts of Keras.

    Raises:
        BadMesh: the bytes are no TensorFlow Lite file.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    if data[4:8] != b"TFL3":
        raise BadMesh("The file is not a TensorFlow Lite file.")
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(data, 0))
    graph = model.subgraphs[0]
    halves: dict[int, ndarray] = {}
    weights = []
    for operator in graph.operators:
        opcode = model.operatorCodes[operator.opcodeIndex]
        kind = max(opcode.builtinCode, opcode.deprecatedBuiltinCode)
        if kind == schema.BuiltinOperator.DEQUANTIZE:
            tensor = graph.tensors[operator.inputs[0]]
            if tensor.type != _HALF:
                raise BadMesh("The file has weights that are not in half precision.")
            raw = np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.float16)
            halves[operator.outputs[0]] = raw.reshape(tensor.shape).astype(np.float32)
        elif kind == schema.BuiltinOperator.CONV_2D or kind == schema.BuiltinOperator.DEPTHWISE_CONV_2D:
            kernel, bias = (halves[i] for i in operator.inputs[1:])
            weights.append([kernel.transpose(1, 2, 3, 0), bias])
        elif kind == schema.BuiltinOperator.PRELU:
            weights.append([halves[operator.inputs[1]]])
    return weights


def fill(net: keras.Model, weights: list[list[ndarray]]) -> None:
    """Set the weights of a net by `face_mesh`, with the input scaling folded into its first convolution.

    Raises:
        BadMesh: the weights are not those of the face mesh.
    """
    names = published_order()
    if len(weights) != len(names):
        raise BadMesh(
            f"The file does not contain the face mesh: it has {len(weights)} layers with weights, "
            f"{len(names)} are expected."
        )
    try:
        for name, values in zip(names, weights, strict=True):
            if name == "stem":
                kernel, bias = values
                values = list(fold_scaling(kernel, bias, 0.0, SCALE))
            net.get_layer(name).set_weights(values)
    except ValueError as error:
        raise BadMesh(f"The file does not contain the face mesh: {error}.") from error


def load(cache: Path = CACHE) -> keras.Model:
    """Return the net: RGB float, 0..255, (n, 192, 192, 3) to `points` (n, 1404) and `presence` (n, 1).

    Raises:
        SourceError: the file cannot be fetched, or is not the face mesh.
    """
    net = face_mesh()
    fill(net, parse(fetch(FILE, cache).read_bytes()))
    return net


def copy_trunk(net: keras.Model, cache: Path = CACHE) -> None:
    """Set the weights of those layers of a net that the face mesh has, too, to the published ones.

    Raises:
        SourceError: the file cannot be fetched, or is not the face mesh.
    """
    published = {layer.name: layer.get_weights() for layer in load(cache).layers}
    for layer in net.layers:
        if layer.name in published and layer.weights:
            layer.set_weights(published[layer.name])


def library(cache: Path, images: Images) -> Outputs:
    """Return the outputs of the LiteRT interpreter with the published file: `points` and `presence`."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(fetch(FILE, cache)))
    interpreter.allocate_tensors()
    (taken,), given = interpreter.get_input_details(), interpreter.get_output_details()
    places = {"points" if d["shape"][-1] > 1 else "presence": d["index"] for d in given}
    outputs: dict[str, list[ndarray]] = {name: [] for name in places}
    for image in images:
        interpreter.set_tensor(taken["index"], image[None].astype(np.float32) * np.float32(SCALE))
        interpreter.invoke()
        for name, index in places.items():
            outputs[name].append(interpreter.get_tensor(index).reshape(1, -1))
    return {name: np.concatenate(values) for name, values in outputs.items()}


def load_served(cache: Path = CACHE) -> keras.Model:
    """Return the net in its served form: `points` (n, 1404) in units of the crop's side, `presence` (n, 1).

    PReLUs are replaced, see `training.models.serving`.

    Raises:
        SourceError: the file cannot be fetched, or is not the face mesh.
    """
    net = load(cache)
    last = net.get_layer("points_out")
    last.set_weights([values / INPUT_SIZE for values in last.get_weights()])
    return serving_form(net)


def parity(net: keras.Model, cache: Path = CACHE) -> Parity:
    """Compare a net by `load_served` with the LiteRT interpreter's outputs of the published file.

    Args:
        net: from `load_served`.
        cache: folder of published files.

    Returns:
        The largest difference: of points relative to the side of the crop, of the presence relative to it.
    """

    def difference(images: Images, expected: Outputs) -> float:
        outputs = {name: np.asarray(value) for name, value in net(images.astype(np.float32)).items()}
        logits = expected["presence"]
        return max(
            float(np.abs(outputs["points"] - expected["points"] / INPUT_SIZE).max()),
            float((np.abs(outputs["presence"] - logits) / np.maximum(1, np.abs(logits))).max()),
        )

    return measure("mesh", "the LiteRT interpreter", partial(library, cache), difference)
