"""MTCNN's three nets, from PyPI `mtcnn` 1.0.0 (MIT): flat lists in Keras `set_weights` order."""

from functools import partial
from importlib import import_module
from pathlib import Path

import joblib
import keras
import numpy as np

from training.importers.packages import fetch
from training.importers.parity import Images, Outputs, Parity, measure
from training.models import mtcnn
from training.models.mtcnn_serving import serve

PACKAGE, VERSION = "mtcnn", "1.0.0"
SOURCE = "PyPI mtcnn 1.0.0, mtcnn/assets/weights/*.lz4"
LICENCE = "MIT"
SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}

LIMIT = 2e-5
"""Largest difference of an output from the package's. The served form rounds otherwise."""

_LIBRARY = {
    "pnet": ("StagePNet", ("offsets", "score")),
    "rnet": ("StageRNet", ("offsets", "score")),
    "onet": ("StageONet", ("offsets", "points", "score")),
}
"""The package's class for each stage, and its net's outputs in order."""


def load_plain(stage: str, cache: Path) -> keras.Model:
    """The net as published. `stage` is `pnet`, `rnet` or `onet`; input RGB, (x - 127.5) / 128."""
    path = fetch(PACKAGE, VERSION, f"mtcnn/assets/weights/{stage}.lz4", SHA256[stage], cache)
    net: keras.Model = {"pnet": mtcnn.pnet, "rnet": mtcnn.rnet, "onet": mtcnn.onet}[stage]()
    net.set_weights(joblib.load(path))
    return net


def load(stage: str, cache: Path) -> keras.Model:
    """The net in its served form; input RGB 0..255, outputs by name."""
    return serve(load_plain(stage, cache))


def library(stage: str, images: Images) -> Outputs:
    """Return what the package's own net returns for RGB images: `offsets`, `score`, and O-Net's `points`.

    Raises ImportError where the package is not installed; `.venv-bench` has it.
    """
    stages, utils = (import_module(f"mtcnn.{name}") for name in ("stages", "utils.images"))
    kind, names = _LIBRARY[stage]
    found = getattr(stages, kind)().model(utils.normalize_images(images.astype(np.float32)))
    return {name: np.asarray(value) for name, value in zip(names, found, strict=True)}


def parity(stage: str, net: keras.Model, cache: Path) -> Parity:
    """Compare a net by `load` with the package's own: the largest absolute difference in any output."""

    def difference(images: Images, expected: Outputs) -> float:
        found = {name: np.asarray(value) for name, value in net(images.astype(np.float32)).items()}
        wanted = {"offsets": expected["offsets"], "score": expected["score"][..., 1]}
        if "points" in expected:
            # Five x, then five y; served as x and y in turn.
            wanted["points"] = expected["points"].reshape(-1, 2, 5).transpose(0, 2, 1).reshape(-1, 10)
        return max(float(np.abs(found[name] - value).max()) for name, value in wanted.items())

    return measure(f"mtcnn-{stage}", f"{PACKAGE} {VERSION}", partial(library, stage), difference, LIMIT)
