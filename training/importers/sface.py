"""SFace, from OpenCV Zoo's `face_recognition_sface_2021dec.onnx` (Apache-2.0)."""

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
from training.importers.parity import Images, Outputs, Parity, measure_embedder
from training.models.serving import batch_norm_affine, serving_form
from training.models.sface import BLOCKS, sface
from training.models.sface import INPUT_SIZE as INPUT_SIZE

NAME = "face_recognition_sface_2021dec.onnx"
SOURCE = opencv_zoo.source(NAME)
LICENCE = "Apache-2.0"
SHA256 = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79"
FILE = opencv_zoo.published_file(NAME, SHA256)

Tensors = dict[str, ndarray]


class BadSFace(SourceError):
    """The ONNX file does not contain SFace's graph."""


def read(path: Path) -> tuple[Tensors, dict[str, float]]:
    """Return the initializers of a graph by name, as float64, and the epsilon of each batch normalisation."""
    graph = onnx.load(str(path)).graph
    tensors = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in graph.initializer}
    epsilons = {
        node.name: next(a.f for a in node.attribute if a.name == "epsilon")
        for node in graph.node
        if node.op_type == "BatchNormalization"
    }
    return tensors, epsilons


def norm(tensors: Tensors, epsilons: dict[str, float], name: str) -> tuple[ndarray, ndarray]:
    """Return a batch normalisation as (scale, shift), (c,) each: y = scale * x + shift."""
    parts = ("gamma", "beta", "moving_mean", "moving_var")
    gamma, beta, mean, variance = (tensors[f"{name}_{part}"] for part in parts)
    return batch_norm_affine(gamma, beta, mean, variance, epsilons[name])


def fill(net: keras.Model, tensors: Tensors, epsilons: dict[str, float]) -> None:
    """Set the weights of a net by `sface` to SFace's initializers, with batch normalisations folded.

    Raises:
        BadSFace: a tensor is missing or has another shape.
    """
    blocks = range(2, 2 + len(BLOCKS))
    try:
        for name in ("conv_1", *(f"conv_{i}{part}" for i in blocks for part in ("_dw", ""))):
            scale, shift = norm(tensors, epsilons, f"{name}_batchnorm")
            kernel = tensors[f"{name}_conv2d_weight"] * scale[:, None, None, None]
            net.get_layer(name).set_weights([keras_kernel(kernel, name.endswith("_dw")), shift])
            net.get_layer(f"{name}_relu").set_weights([tensors[f"{name}_relu_gamma"].reshape(1, 1, -1)])
        net.get_layer("embedding").set_weights(_head(tensors, epsilons))
    except (KeyError, ValueError) as error:
        raise BadSFace(f"The file does not contain SFace's graph: {error}.") from error


def _head(tensors: Tensors, epsilons: dict[str, float]) -> list[ndarray]:
    # The dense layer has a batch normalisation before and after it. ONNX flattens its input channels first.
    before, shift_before = norm(tensors, epsilons, "bn1")
    after, shift_after = norm(tensors, epsilons, "fc1")
    weight, bias = tensors["pre_fc1_weight"], tensors["pre_fc1_bias"]
    side = round((weight.shape[1] / len(before)) ** 0.5)
    maps = weight.reshape(len(weight), len(before), side, side)
    bias = (bias + np.einsum("ochw,c->o", maps, shift_before)) * after + shift_after
    maps = maps * before[:, None, None] * after[:, None, None, None]
    return [maps.transpose(2, 3, 1, 0).reshape(-1, len(weight)), bias]


def load_plain(cache: Path = CACHE) -> keras.Model:
    """Return the net with the published weights and PReLU layers.

    Raises:
        SourceError: the file cannot be fetched, or is not SFace.
    """
    net = sface()
    copy_weights(net, cache)
    return net


def copy_weights(net: keras.Model, cache: Path = CACHE) -> None:
    """Set the weights of a net by `sface` to the published ones.

    Raises:
        SourceError: the file cannot be fetched, or is not SFace.
    """
    fill(net, *read(fetch(FILE, cache)))


def load(cache: Path = CACHE) -> keras.Model:
    """Return the net in its served form: RGB float, 0..255, (n, 112, 112, 3) to vectors (n, 128).

    The vectors are not normalised.

    Raises:
        SourceError: the file cannot be fetched, or is not SFace.
    """
    return serving_form(load_plain(cache))


def library(cache: Path, images: Images) -> Outputs:
    """Return the outputs of OpenCV with the published file for RGB crops: `vectors` (n, 128)."""
    source = cv2.FaceRecognizerSF.create(str(fetch(FILE, cache)), "")
    # OpenCV takes BGR.
    vectors = [source.feature(np.ascontiguousarray(image[:, :, ::-1])) for image in images]
    return {"vectors": np.concatenate(vectors)}


def parity(net: keras.Model, cache: Path = CACHE) -> Parity:
    """Compare a net with OpenCV's SFace: the largest difference of a component over the vector's length.

    Args:
        net: from `load`, with a dict of `embedding` as output.
        cache: folder of published files.

    Returns:
        The result of `parity.measure_embedder`.
    """
    return measure_embedder("sface", f"OpenCV {cv2.__version__}", partial(library, cache), net)
