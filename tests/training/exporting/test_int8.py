"""Int8 quantisation of a small graph with a layer of each kind, and its ranges."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy import ndarray
from onnx import TensorProto, helper, numpy_helper

from app.runtime.device import Device
from app.runtime.manifest import int8_name
from app.runtime.precision import has_int8_instructions
from app.runtime.session import OrtSession
from app.vision.spec import METADATA_KEY, EmbedderSpec, FloatCosine
from tests.fakes import COMMON
from training.exporting import activation_ranges, int8
from training.exporting.activation_ranges import MeasuredRanges, RangesMissing
from training.exporting.float_graph import FloatGraph, UnknownGraph
from training.exporting.int8 import quantise

SIDE, CHANNELS, OUT = 8, 128, 16
SPEC = EmbedderSpec.model_validate(
    {"model": "net", "size": SIDE, "template": "arcface", "dimension": OUT, "flip_average": False, **COMMON}
)

NEEDS_INSTRUCTIONS = pytest.mark.skipif(
    not has_int8_instructions(), reason="without the instructions products of int8 saturate"
)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """Two convolutions with a residual sum, a pointwise one behind a PReLU, and a dense layer."""
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> ndarray:
        return (rng.normal(size=shape) / np.prod(shape[1:]) ** 0.5).astype(np.float32)

    slopes = rng.uniform(-0.5, 2, (CHANNELS, 1, 1, 1)).astype(np.float32)
    spread = np.exp(rng.normal(0, 1.5, CHANNELS)).astype(np.float32)
    weights = {
        "first": normal(CHANNELS, 3, 3, 3) * 0.02,
        "middle": normal(CHANNELS, CHANNELS, 3, 3),
        "depthwise": normal(CHANNELS, 1, 3, 3) * spread[:, None, None, None],
        "slopes": slopes,
        "pointwise": normal(CHANNELS, CHANNELS, 1, 1) / spread[None, :, None, None],
        "dense": normal(SIDE * SIDE * CHANNELS, OUT) / 10,
        "dense_bias": normal(OUT),
        "zeros": np.zeros(CHANNELS, np.float32),
        "bias": normal(CHANNELS) / 4,
        "flat": np.array([-1, SIDE * SIDE * CHANNELS]),
    }
    same = {"pads": [1, 1, 1, 1]}
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        # The three biases are one tensor: a change for one layer must not reach the others.
        ("Cast", ["image"], "floats", {"to": TensorProto.FLOAT}),
        ("Transpose", ["floats"], "planes", {"perm": [0, 3, 1, 2]}),
        ("Conv", ["planes", "first", "zeros"], "a", same),
        ("Relu", ["a"], "b", {}),
        ("Conv", ["b", "middle", "bias"], "c", same),
        ("Add", ["c", "b"], "d", {}),
        ("Conv", ["d", "depthwise", "bias"], "e", same | {"group": CHANNELS}),
        ("Relu", ["e"], "f", {}),
        ("Conv", ["e", "slopes"], "g", {"group": CHANNELS}),
        ("Add", ["f", "g"], "h", {}),
        ("Conv", ["h", "pointwise", "bias"], "i", {}),
        ("Transpose", ["i"], "j", {"perm": [0, 2, 3, 1]}),
        ("Reshape", ["j", "flat"], "k", {}),
        ("MatMul", ["k", "dense"], "l", {}),
        ("Add", ["l", "dense_bias"], "embedding", {}),
    ]
    half = numpy_helper.from_array(weights.pop("dense").astype(np.float16), "dense_half")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["dense_half"], ["dense"], to=TensorProto.FLOAT),
            *(helper.make_node(kind, given, [out], **attributes) for kind, given, out, attributes in steps),
        ],
        "net",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", OUT])],
        [half, *(numpy_helper.from_array(values, name) for name, values in weights.items())],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    made.metadata_props.add(key=METADATA_KEY, value=SPEC.model_dump_json())
    return made


def images(seed: int, count: int = 24) -> ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def run(model: onnx.ModelProto, crops: ndarray) -> ndarray:
    return OrtSession(Path("net.onnx"), Device("cpu"), content=model.SerializeToString()).run(crops)[
        "embedding"
    ]


def error(made: onnx.ModelProto, model: onnx.ModelProto) -> float:
    expected = run(model, images(1))
    return float(np.linalg.norm(run(made, images(1)) - expected) / np.linalg.norm(expected))


@pytest.fixture(scope="module")
def ranges(model: onnx.ModelProto) -> int8.Ranges:
    return activation_ranges.ranges_of(model, images(0))


def test_ranges_are_minimum_maximum_and_mean_of_images_and_mirror_images(
    model: onnx.ModelProto, ranges: int8.Ranges
) -> None:
    assert set(ranges) == {"b", "c", "h", "i"}
    tapped = onnx.ModelProto.FromString(model.SerializeToString())
    tapped.graph.output.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, None))
    net = OrtSession(Path("net.onnx"), Device("cpu"), content=tapped.SerializeToString())
    maps = net.run(np.concatenate([images(0), images(0)[:, :, ::-1]]))["h"]
    assert ranges["h"].low == pytest.approx(maps.min(axis=(0, 2, 3)), rel=1e-4, abs=1e-4)
    assert ranges["h"].high == pytest.approx(maps.max(axis=(0, 2, 3)), rel=1e-4)
    assert ranges["h"].mean == pytest.approx(maps.mean(axis=(0, 2, 3)), rel=1e-3, abs=1e-3)


@NEEDS_INSTRUCTIONS
def test_the_int8_net_is_near_the_float_net(model: onnx.ModelProto, ranges: int8.Ranges) -> None:
    made = quantise(model, ranges)
    kinds = [node.op_type for node in made.graph.node]
    assert [kinds.count(kind) for kind in ("QuantizeLinear", "MatMul", "Gemm")] == [4, 1, 1]
    integers = [numpy_helper.to_array(t) for t in made.graph.initializer if t.data_type == TensorProto.INT8]
    assert sorted(t.size for t in integers if t.any()) == sorted(
        [CHANNELS * CHANNELS * 9, CHANNELS * CHANNELS, SIDE * SIDE * CHANNELS * OUT]
    )
    assert all(np.abs(t.astype(int)).max() <= 127 for t in integers)
    assert [(p.key, p.value) for p in made.metadata_props] == [(p.key, p.value) for p in model.metadata_props]
    assert 0 < error(made, model) < 0.05


@NEEDS_INSTRUCTIONS
def test_equalisation_lowers_the_error(
    model: onnx.ModelProto, ranges: int8.Ranges, monkeypatch: pytest.MonkeyPatch
) -> None:
    equalised = error(quantise(model, ranges), model)
    monkeypatch.setattr(int8, "_equalise", lambda graph, measured: dict(measured))
    assert equalised < 0.7 * error(quantise(model, ranges), model)


def test_the_result_is_the_same_each_time(model: onnx.ModelProto, ranges: int8.Ranges) -> None:
    before = model.SerializeToString()
    first, second = (quantise(model, ranges).SerializeToString(deterministic=True) for _ in range(2))
    assert first == second
    assert model.SerializeToString() == before


def test_ranges_of_another_graph_are_refused(model: onnx.ModelProto, ranges: int8.Ranges) -> None:
    with pytest.raises(UnknownGraph, match="The ranges of h are missing"):
        quantise(model, {name: ranges[name] for name in set(ranges) - {"h"}})


def test_a_pointwise_convolution_without_a_prelu_before_it_is_refused(
    model: onnx.ModelProto, ranges: int8.Ranges
) -> None:
    other = onnx.ModelProto.FromString(model.SerializeToString())
    next(node for node in other.graph.node if node.output[0] == "h").op_type = "Mul"
    with pytest.raises(UnknownGraph, match="No convolution with a PReLU makes h"):
        quantise(other, ranges)


def test_a_dense_layer_without_a_bias_is_refused(model: onnx.ModelProto, ranges: int8.Ranges) -> None:
    other = onnx.ModelProto.FromString(model.SerializeToString())
    other.graph.node[-1].op_type = "Mul"
    with pytest.raises(UnknownGraph, match="No addition of a bias follows"):
        quantise(other, ranges)


def test_what_a_net_with_few_channels_keeps_in_float(model: onnx.ModelProto) -> None:
    graph = FloatGraph(model)
    assert [n.output[0] for n in graph.convolutions()] == ["c"]
    assert [n.output[0] for n in graph.pointwise()] == ["i"]
    assert [n.output[0] for n in graph.dense()] == ["l"]
    (kernel,) = (n.input[1] for n in graph.pointwise())
    graph.set(kernel, graph.weights[kernel][:, : CHANNELS - 1])
    assert graph.pointwise() == []


@pytest.fixture
def store(model: onnx.ModelProto, ranges: int8.Ranges, tmp_path: Path) -> Path:
    """A model folder with the float file, its golden file and its ranges."""
    (tmp_path / "golden").mkdir()
    onnx.save(model, tmp_path / "net.onnx")
    np.savez(tmp_path / "golden/net.npz", image=images(2, 2))
    cosine = FloatCosine(measured_on="a test", mean=0.9995, percentile_1=0.999, minimum=0.998)
    path = activation_ranges.ranges_path(tmp_path, "net.onnx")
    activation_ranges.write(path, MeasuredRanges(SPEC.source_sha256, ranges, cosine))
    return tmp_path


def test_an_int8_file_has_the_cosine_and_a_golden_file(store: Path) -> None:
    path, cosine = activation_ranges.make_int8(store, "net.onnx")
    assert path.name == int8_name("net.onnx") == "net-int8.onnx"
    net = OrtSession(path, Device("cpu"))
    assert (net.spec, net.cosine) == (SPEC, cosine)
    with np.load(store / "golden/net-int8.npz") as golden:
        assert (
            np.abs(net.run(golden["image"])["embedding"] - golden["embedding"]).max() <= golden["tolerance"]
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source_sha256": "1" * 64}, "has the ranges of other weights than net.onnx"),
        (
            {"cosine": FloatCosine(measured_on="a test", mean=0.99, percentile_1=0.9, minimum=0.8)},
            "the mean cosine of int8 to float vectors is 0.99; the minimum is 0.999",
        ),
    ],
)
def test_ranges_that_do_not_fit_give_no_file(store: Path, change: dict[str, object], message: str) -> None:
    path = activation_ranges.ranges_path(store, "net.onnx")
    activation_ranges.write(path, dataclasses.replace(activation_ranges.read(path), **change))  # type: ignore[arg-type]
    with pytest.raises(RangesMissing, match=message):
        activation_ranges.make_int8(store, "net.onnx")
    assert not (store / "net-int8.onnx").exists()


def test_missing_ranges_name_the_command(store: Path) -> None:
    activation_ranges.ranges_path(store, "net.onnx").unlink()
    with pytest.raises(RangesMissing, match=r"net\.npz is missing.*training\.measure_ranges net"):
        activation_ranges.make_int8(store, "net.onnx")


def test_stored_ranges_are_read_as_they_were(store: Path, ranges: int8.Ranges) -> None:
    stored = activation_ranges.read(activation_ranges.ranges_path(store, "net.onnx")).ranges
    assert set(stored) == set(ranges)
    for name, side in ((name, side) for name in ranges for side in ("low", "high", "mean")):
        assert (getattr(stored[name], side) == getattr(ranges[name], side)).all()
