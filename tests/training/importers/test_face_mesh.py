"""The importer of the face mesh, on a small file in the published format and on random weights."""

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import pytest
from numpy import ndarray
from tensorflow.lite.python import schema_py_generated as schema

from training.importers import face_mesh as importer
from training.importers.face_mesh import BadMesh
from training.models.face_mesh import POINTS, face_mesh, published_order

KINDS = schema.BuiltinOperator


def tflite(layers: list[tuple[int, list[ndarray]]], dtype: type = np.float16) -> bytes:
    """Return a TensorFlow Lite file of layers, whose weights are stored in half precision and dequantized."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers, graph.tensors, graph.operators = 3, [schema.BufferT()], [], []
    model.operatorCodes = []

    def tensor(values: ndarray | None) -> int:
        made = schema.TensorT()
        made.shape = [] if values is None else list(values.shape)
        made.type = schema.TensorType.FLOAT32
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.astype(dtype).tobytes(), np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
            made.type = schema.TensorType.FLOAT16 if dtype is np.float16 else schema.TensorType.FLOAT32
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def operator(kind: int, inputs: list[int]) -> int:
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode = kind, min(kind, 127)
        model.operatorCodes.append(code)
        made, output = schema.OperatorT(), tensor(None)
        made.opcodeIndex, made.inputs, made.outputs = len(model.operatorCodes) - 1, inputs, [output]
        graph.operators.append(made)
        return output

    flow = tensor(None)
    for kind, arrays in layers:
        flow = operator(kind, [flow, *(operator(KINDS.DEQUANTIZE, [tensor(values)]) for values in arrays)])
    graph.inputs, graph.outputs = [0], [flow]
    model.subgraphs = [graph]
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def random_weights() -> list[list[ndarray]]:
    """Return weights for every layer of the face mesh in the published order."""
    rng, net = np.random.default_rng(0), face_mesh()
    shapes = [[w.shape for w in net.get_layer(name).get_weights()] for name in published_order()]
    return [[rng.normal(0, 0.1, shape).astype(np.float32) for shape in layer] for layer in shapes]


def test_layers_are_read_in_order_and_in_the_layouts_of_keras() -> None:
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(8, 3, 3, 4)), rng.normal(size=8)
    depth, slope = rng.normal(size=(1, 3, 3, 8)), rng.normal(size=(1, 1, 8))
    found = importer.parse(
        tflite(
            [
                (KINDS.CONV_2D, [kernel, bias]),
                (KINDS.PRELU, [slope]),
                (KINDS.DEPTHWISE_CONV_2D, [depth, bias]),
            ]
        )
    )
    assert [[w.shape for w in layer] for layer in found] == [
        [(3, 3, 4, 8), (8,)],
        [(1, 1, 8)],
        [(3, 3, 8, 1), (8,)],
    ]
    assert found[0][0][1, 2, 3, 4] == np.float16(kernel[4, 1, 2, 3])
    assert found[2][0][1, 2, 5, 0] == np.float16(depth[0, 1, 2, 5])
    assert found[1][0] == pytest.approx(slope, rel=1e-3)


def test_other_files_are_refused() -> None:
    with pytest.raises(BadMesh, match="not a TensorFlow Lite file"):
        importer.parse(b"GIF89a, but longer than eight bytes")
    with pytest.raises(BadMesh, match="half precision"):
        importer.parse(tflite([(KINDS.PRELU, [np.zeros((1, 1, 8))])], np.float32))
    with pytest.raises(BadMesh, match="1 layers with weights"):
        importer.fill(face_mesh(), importer.parse(tflite([(KINDS.PRELU, [np.zeros((1, 1, 8))])])))


def test_weights_of_another_shape_are_refused() -> None:
    weights = random_weights()
    weights[0], weights[2] = weights[2], weights[0]
    with pytest.raises(BadMesh, match="does not contain the face mesh"):
        importer.fill(face_mesh(), weights)


def test_colours_are_scaled_in_the_first_layer() -> None:
    weights, plain, filled = random_weights(), face_mesh(), face_mesh()
    for name, values in zip(published_order(), weights, strict=True):
        plain.get_layer(name).set_weights(values)
    importer.fill(filled, weights)
    image = np.random.default_rng(1).uniform(0, 255, (1, 192, 192, 3)).astype(np.float32)
    expected, found = plain(image / 255), filled(image)
    assert found["points"].shape == (1, 3 * POINTS)
    assert np.asarray(found["points"]) == pytest.approx(np.asarray(expected["points"]), abs=1e-4)
    assert np.asarray(found["presence"]) == pytest.approx(np.asarray(expected["presence"]), abs=1e-4)


def test_the_served_form_gives_units_of_the_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    net = face_mesh()
    importer.fill(net, random_weights())
    image = np.random.default_rng(1).uniform(0, 255, (1, 192, 192, 3)).astype(np.float32)
    expected = {name: np.asarray(value) for name, value in net(image).items()}
    monkeypatch.setattr(importer, "load", lambda cache: net)
    served = importer.load_served()(image)
    assert np.asarray(served["points"]) * 192 == pytest.approx(expected["points"], abs=1e-3)
    assert np.asarray(served["presence"]) == pytest.approx(expected["presence"], abs=1e-3)
