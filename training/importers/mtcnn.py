"""MTCNN's three nets, from PyPI `mtcnn` 1.0.0 (MIT): flat lists in Keras `set_weights` order."""

import importlib
from pathlib import Path

import joblib
import keras
import numpy as np

from training.importers.packages import fetch
from training.models import mtcnn
from training.models.mtcnn_serving import serve_crop_net, serve_pnet

PACKAGE, VERSION = "mtcnn", "1.0.0"
SOURCE = "PyPI mtcnn 1.0.0, mtcnn/assets/weights/*.lz4"
LICENCE = "MIT"
SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}


def load_plain(stage: str, cache: Path) -> keras.Model:
    """The net as published. `stage` is `pnet`, `rnet` or `onet`; input RGB, (x - 127.5) / 128."""
    path = fetch(PACKAGE, VERSION, f"mtcnn/assets/weights/{stage}.lz4", SHA256[stage], cache)
    net: keras.Model = {"pnet": mtcnn.pnet, "rnet": mtcnn.rnet, "onet": mtcnn.onet}[stage]()
    net.set_weights(joblib.load(path))
    return net


def load(stage: str, cache: Path) -> keras.Model:
    """The net in its served form; input RGB 0..255, outputs by name."""
    plain = load_plain(stage, cache)
    return serve_pnet(plain) if stage == "pnet" else serve_crop_net(plain)


def parity(stage: str, cache: Path) -> tuple[float, float]:
    """Greatest differences on two pictures: plain net from the package's own, served net from plain.

    The package must be importable: `.venv-bench` has it.
    """
    network = importlib.import_module("mtcnn.network." + stage)
    plain, served = load_plain(stage, cache), load(stage, cache)
    source = {"pnet": "PNet", "rnet": "RNet", "onet": "ONet"}[stage]
    theirs = getattr(network, source)()
    theirs.build()
    theirs.set_weights(plain.get_weights())
    shape = [side or 64 for side in plain.input_shape[1:]]
    image = np.random.default_rng(0).uniform(0, 255, (2, *shape)).astype(np.float32)
    scaled = (image - mtcnn.MEAN) * mtcnn.SCALE
    ours = [np.asarray(out) for out in plain(scaled)]
    published = [np.asarray(out) for out in theirs(scaled)]
    form = served(image)
    return (
        max(float(np.abs(a - b).max()) for a, b in zip(ours, published, strict=True)),
        max(
            float(np.abs(np.asarray(form["offsets"]) - ours[0]).max()),
            float(np.abs(np.asarray(form["score"]) - ours[-1][..., 1]).max()),
        ),
    )
