"""YuNet, from OpenCV Zoo's `face_detection_yunet_2023mar.onnx` (MIT)."""

from functools import partial
from pathlib import Path

import cv2
import keras
import numpy as np
import onnx
from numpy import ndarray
from onnx import numpy_helper

from training.importers import opencv_zoo
from training.importers.opencv_zoo import keras_kernel
from training.importers.packages import CACHE, SourceError, fetch
from training.importers.parity import Images, Outputs, Parity, measure
from training.models import yunet
from training.models.yunet import CLASS_SHARE, STRIDES

NAME = "face_detection_yunet_2023mar.onnx"
SOURCE = opencv_zoo.source(NAME)
LICENCE = "MIT"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
FILE = opencv_zoo.published_file(NAME, SHA256)


class BadYuNet(SourceError):
    """The ONNX file does not contain YuNet's graph."""


def fill(net: keras.Model, graph: onnx.GraphProto) -> None:
    """Set the weights of a net by `yunet` to those of a graph, without the heads of the five points.

    Raises:
        BadYuNet: the convolutions of the graph are not YuNet's.
    """
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    published = [
        [tensors[name] for name in node.input[1:]]
        for node in graph.node
        if node.op_type == "Conv" and not any("kps" in name for name in _weight_names(graph, node))
    ]
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    convolutions = [net.get_layer(name) for name in _published_order()]
    if len(published) != len(convolutions) or not all(isinstance(layer, kinds) for layer in convolutions):
        raise BadYuNet(
            f"The file does not contain YuNet's graph: it has {len(published)} convolutions, "
            f"{len(convolutions)} are expected."
        )
    try:
        for layer, (weights, bias) in zip(convolutions, published, strict=True):
            kernel = keras_kernel(weights, isinstance(layer, keras.layers.DepthwiseConv2D))
            # The published graph takes BGR.
            layer.set_weights([kernel[:, :, ::-1] if layer.name == "stem" else kernel, bias])
    except ValueError as error:
        raise BadYuNet(f"The file does not contain YuNet's graph: {error}.") from error


def _weight_names(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[str]:
    """Return the names of the weights of a convolution, and of the convolution before it."""
    before = [n for n in graph.node if n.op_type == "Conv" and n.output[0] == node.input[0]]
    return [name for n in (node, *before) for name in n.input[1:]]


def _published_order() -> list[str]:
    """Return the names of the convolutions in the order of the published graph."""
    units = ["stage0_b", *(f"stage{i}_{part}" for i in range(1, 6) for part in "ab")]
    units += ["lateral2", "lateral1", "lateral0"]
    units += [f"{head}{stride}" for head in ("cls", "bbox", "obj") for stride in STRIDES]
    return ["stem", *(f"{unit}_{part}" for unit in units for part in ("point", "depth"))]


def load_plain(cache: Path = CACHE) -> keras.Model:
    """Return the net with the published weights.

    Raises:
        SourceError: the file cannot be fetched, or is not YuNet.
    """
    net = yunet.yunet()
    fill(net, onnx.load(str(fetch(FILE, cache))).graph)
    return net


def load(cache: Path = CACHE) -> keras.Model:
    """Return the net in its served form, see `training.models.yunet.serve`.

    Raises:
        SourceError: the file cannot be fetched, or is not YuNet.
    """
    return yunet.serve(load_plain(cache))


def library(cache: Path, images: Images) -> Outputs:
    """Return the outputs of OpenCV with the published file for RGB images: `cls_8`, `obj_8`, `bbox_8`, ...

    Their shapes are (n, cells, 1 or 4), with cells row by row.
    """
    source = cv2.dnn.readNetFromONNX(str(fetch(FILE, cache)))
    names = [f"{head}_{stride}" for stride in STRIDES for head in ("cls", "obj", "bbox")]
    outputs: dict[str, list[ndarray]] = {name: [] for name in names}
    for image in images:
        # OpenCV takes BGR, and the published graph a batch of one.
        source.setInput(cv2.dnn.blobFromImage(np.ascontiguousarray(image[:, :, ::-1])))
        for name, value in zip(names, source.forward(names), strict=True):
            outputs[name].append(value)
    return {name: np.concatenate(values) for name, values in outputs.items()}


def parity(net: keras.Model, cache: Path = CACHE) -> Parity:
    """Compare a net by `load` with OpenCV's outputs of the published file.

    Args:
        net: from `load`.
        cache: folder of published files.

    Returns:
        The largest difference over all cells: of scores absolute, of boxes relative to their longer side, or
        to the cell if that is larger.
    """

    def difference(images: Images, expected: Outputs) -> float:
        outputs = net(images.astype(np.float32))
        return max(_difference(outputs, expected, stride) for stride in STRIDES)

    return measure("yunet", f"OpenCV {cv2.__version__}", partial(library, cache), difference)


def _difference(outputs: dict[str, keras.KerasTensor], expected: Outputs, stride: int) -> float:
    of_class, of_object = expected[f"cls_{stride}"], expected[f"obj_{stride}"]
    score = (of_class**CLASS_SHARE * of_object ** (1 - CLASS_SHARE)).reshape(-1)
    box = expected[f"bbox_{stride}"].reshape(-1, 4)
    half = np.exp(box[:, 2:]) / 2
    edges = np.concatenate([box[:, :2] - half, box[:, :2] + half - 1], axis=1)
    side = np.maximum(1, 2 * half.max(axis=1))[:, None]
    return max(
        float(np.abs(np.asarray(outputs[f"score{stride}"]).reshape(-1) - score).max()),
        float((np.abs(np.asarray(outputs[f"offsets{stride}"]).reshape(-1, 4) - edges) / side).max()),
    )
