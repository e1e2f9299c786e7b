"""MTCNN's three nets, from the package `mtcnn` 1.0.0 (MIT).

A file is a list of arrays in the order of Keras' `set_weights`.
"""

from functools import partial
from importlib import import_module
from pathlib import Path

import joblib
import keras
import numpy as np

from training.importers.packages import PublishedFile, fetch
from training.importers.parity import Images, Outputs, Parity, measure
from training.models import mtcnn, mtcnn_trainable
from training.models.mtcnn import POINT_ORDER
from training.models.mtcnn_serving import serve

PACKAGE, VERSION = "mtcnn", "1.0.0"
SOURCE = "PyPI mtcnn 1.0.0, mtcnn/assets/weights/*.lz4"
LICENCE = "MIT"
SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}

_LIBRARY = {
    "pnet": ("StagePNet", ("offsets", "score")),
    "rnet": ("StageRNet", ("offsets", "score")),
    "onet": ("StageONet", ("offsets", "points", "score")),
}
"""The package's class of each stage, and the outputs of its net in order."""


def load_plain(stage: str, cache: Path) -> keras.Model:
    """Return the net with the published weights; its input is RGB, scaled by (x - 127.5) / 128.

    Args:
        stage: `pnet`, `rnet` or `onet`.
        cache: folder of published files.

    Raises:
        SourceError: the file cannot be fetched.
    """
    file = PublishedFile(PACKAGE, VERSION, f"mtcnn/assets/weights/{stage}.lz4", SHA256[stage])
    net: keras.Model = {"pnet": mtcnn.pnet, "rnet": mtcnn.rnet, "onet": mtcnn.onet}[stage]()
    net.set_weights(joblib.load(fetch(file, cache)))
    return net


def load(stage: str, cache: Path) -> keras.Model:
    """Return the net in its served form: RGB float, 0..255, to named outputs.

    Args:
        stage: `pnet`, `rnet` or `onet`.
        cache: folder of published files.

    Raises:
        SourceError: the file cannot be fetched.
    """
    return serve(load_plain(stage, cache))


def load_into_trainable(net: keras.Model, stage: str, cache: Path) -> None:
    """Set the weights of a net by `mtcnn_trainable.trainable` so that it equals the published net.

    Args:
        net: the net to change.
        stage: `rnet` or `onet`.
        cache: folder of published files.

    Raises:
        SourceError: the file cannot be fetched.
    """
    published = load_plain(stage, cache)
    net.get_layer("trunk").set_weights(mtcnn_trainable.trunk(published).get_weights())
    score, bias = published.get_layer("score").get_weights()
    kernels = [score[:, 1:] - score[:, :1], published.get_layer("offsets").get_weights()[0]]
    biases = [bias[1:] - bias[:1], published.get_layer("offsets").get_weights()[1]]
    if stage == "onet":
        kernel, bias = published.get_layer("points").get_weights()
        kernels, biases = [*kernels, kernel[:, POINT_ORDER]], [*biases, bias[POINT_ORDER]]
    net.get_layer("heads").set_weights([np.concatenate(kernels, 1), np.concatenate(biases)])


def library(stage: str, images: Images) -> Outputs:
    """Return the outputs of the package's own net for RGB images: `offsets`, `score`, of O-Net also `points`.

    Args:
        stage: `pnet`, `rnet` or `onet`.
        images: RGB images.

    Raises:
        ImportError: the package is not installed; `.venv-bench` has it.
    """
    stages, utils = (import_module(f"mtcnn.{name}") for name in ("stages", "utils.images"))
    kind, names = _LIBRARY[stage]
    outputs = getattr(stages, kind)().model(utils.normalize_images(images.astype(np.float32)))
    return {name: np.asarray(value) for name, value in zip(names, outputs, strict=True)}


def parity(stage: str, net: keras.Model, cache: Path) -> Parity:
    """Compare a net by `load` with the package's own.

    Args:
        stage: `pnet`, `rnet` or `onet`.
        net: from `load`.
        cache: folder of published files.

    Returns:
        The largest absolute difference of an output.
    """

    def difference(images: Images, expected: Outputs) -> float:
        outputs = {name: np.asarray(value) for name, value in net(images.astype(np.float32)).items()}
        served = {"offsets": expected["offsets"], "score": expected["score"][..., 1]}
        if "points" in expected:
            served["points"] = expected["points"][:, POINT_ORDER]
        return max(float(np.abs(outputs[name] - value).max()) for name, value in served.items())

    return measure(f"mtcnn-{stage}", f"{PACKAGE} {VERSION}", partial(library, stage), difference)
