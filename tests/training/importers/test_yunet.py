import keras
import numpy as np
import onnx
import pytest
from numpy import ndarray
from onnx import TensorProto, helper, numpy_helper

from training.importers import yunet as importer
from training.importers.yunet import BadYuNet
from training.models.yunet import STRIDES, serve, yunet


def convolutions() -> list[tuple[str, tuple[int, ...]]]:
    """Return name and kernel shape of all convolutions in the published order, those of the points last."""
    net = yunet()
    out = []
    for name in importer._published_order():
        kernel = net.get_layer(name).get_weights()[0].shape
        depth = isinstance(net.get_layer(name), keras.layers.DepthwiseConv2D)
        shape = (kernel[2], 1, *kernel[:2]) if depth else (kernel[3], kernel[2], *kernel[:2])
        out.append((name, shape))
    for stride in STRIDES:
        out += [(f"kps{stride}_point", (10, 64, 1, 1)), (f"kps{stride}_depth", (10, 1, 3, 3))]
    return out


def graph_of(rng: np.random.Generator) -> onnx.GraphProto:
    """Return a graph with the published convolutions and nothing else, which the importer does not read."""
    nodes, tensors = [], []
    for name, shape in convolutions():
        values = {f"{name}_weight": rng.normal(0, 0.2, shape), f"{name}_bias": rng.normal(0, 0.1, shape[0])}
        tensors += [numpy_helper.from_array(v.astype(np.float32), k) for k, v in values.items()]
        source = name.replace("_depth", "_point") if name.endswith("_depth") else f"{name}_before"
        nodes.append(helper.make_node("Conv", [source, *values], [name]))
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, "yunet", [value], [value], tensors)


@pytest.fixture(scope="module")
def graph() -> onnx.GraphProto:
    return graph_of(np.random.default_rng(0))


def weights(graph: onnx.GraphProto, name: str) -> ndarray:
    (tensor,) = [t for t in graph.initializer if t.name == name]
    return numpy_helper.to_array(tensor)


def test_each_convolution_gets_its_weights(graph: onnx.GraphProto) -> None:
    net = yunet()
    importer.fill(net, graph)
    point = net.get_layer("stage3_a_point").get_weights()
    np.testing.assert_array_equal(point[0][0, 0], weights(graph, "stage3_a_point_weight")[:, :, 0, 0].T)
    depth = net.get_layer("bbox16_depth").get_weights()
    np.testing.assert_array_equal(
        depth[0][..., 0], weights(graph, "bbox16_depth_weight")[:, 0].transpose(1, 2, 0)
    )
    np.testing.assert_array_equal(depth[1], weights(graph, "bbox16_depth_bias"))


def test_the_net_takes_rgb_where_the_file_takes_bgr(graph: onnx.GraphProto) -> None:
    net = yunet()
    importer.fill(net, graph)
    kernel = net.get_layer("stem").get_weights()[0]
    np.testing.assert_array_equal(kernel[:, :, 0], weights(graph, "stem_weight")[:, 2].transpose(1, 2, 0))


def test_another_graph_raises_an_error(graph: onnx.GraphProto) -> None:
    short = onnx.GraphProto()
    short.CopyFrom(graph)
    del short.node[3]
    with pytest.raises(BadYuNet, match="convolutions"):
        importer.fill(yunet(), short)
    wrong = onnx.GraphProto()
    wrong.CopyFrom(graph)
    wrong.node[1].input[1] = wrong.node[3].input[1]
    wrong.node[1].input[2] = wrong.node[3].input[2]
    wrong.node[5].input[1] = wrong.node[20].input[1]
    with pytest.raises(BadYuNet, match="does not contain YuNet"):
        importer.fill(yunet(), wrong)


def test_offsets_and_scores_are_decoded_as_in_yunet(graph: onnx.GraphProto) -> None:
    net = yunet()
    importer.fill(net, graph)
    image = np.random.default_rng(1).uniform(0, 1, (1, 64, 96, 3)).astype(np.float32)
    maps, served = net(image), serve(net)(image)
    for stride in STRIDES:
        cls, obj, box = (np.asarray(maps[f"{head}{stride}"]) for head in ("cls", "obj", "bbox"))
        assert served[f"score{stride}"].shape == (1, 64 // stride, 96 // stride)
        score = ((1 / (1 + np.exp(-cls))) ** 0.65 * (1 / (1 + np.exp(-obj))) ** 0.35)[..., 0]
        np.testing.assert_allclose(served[f"score{stride}"], score, rtol=1e-4)
        left, top, right, bottom = np.moveaxis(np.asarray(served[f"offsets{stride}"]), -1, 0)
        np.testing.assert_allclose((left + right + 1) / 2, box[..., 0], atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(right + 1 - left, np.exp(box[..., 2]), rtol=1e-4)
        np.testing.assert_allclose(bottom + 1 - top, np.exp(box[..., 3]), rtol=1e-4)
