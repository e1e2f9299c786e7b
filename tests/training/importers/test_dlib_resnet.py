import keras
import numpy as np
import pytest
from numpy import ndarray

from training.importers import dlib_resnet as importer
from training.importers.dlib_resnet import BadDat, Reader, Weights
from training.models.dlib_resnet import STAGES, dlib_resnet


def integer(value: int) -> bytes:
    """Return dlib's encoding, written from its description."""
    size = max(1, (abs(value).bit_length() + 7) // 8)
    return bytes([size | (0x80 if value < 0 else 0)]) + abs(value).to_bytes(size, "little")


def number(value: float) -> bytes:
    mantissa, exponent = np.frexp(value)
    return integer(int(mantissa * 2**24)) + integer(int(exponent) - 24)


def text(value: str) -> bytes:
    return integer(len(value)) + value.encode()


def integers(*values: int) -> bytes:
    return b"".join(map(integer, values))


def numbers(*values: float) -> bytes:
    return b"".join(map(number, values))


def tensor(*sizes: int, fill: ndarray | None = None) -> bytes:
    values = np.zeros(sizes) if fill is None else fill
    return integers(2, *sizes) + values.astype("<f4").tobytes()


EMPTY = tensor(0, 0, 0, 0)
STATE = b"110" + 3 * EMPTY


def convolution(filters: ndarray, bias: ndarray) -> bytes:
    params = np.concatenate([filters.ravel(), bias])
    return b"".join(
        [
            text("con_4") + tensor(params.size, 1, 1, 1, fill=params),
            integers(len(bias), *filters.shape[2:], 1, 1, 0, 0),
            integers(1, *filters.shape) + integers(1, 1, len(bias), 1, 1),
            numbers(1, 1, 1, 0),
        ]
    )


def affine(gamma: ndarray, beta: ndarray) -> bytes:
    count = len(gamma)
    params = tensor(2 * count, 1, 1, 1, fill=np.concatenate([gamma, beta]))
    return text("affine_") + params + integers(1, 1, count, 1, 1, 1, 1, count, 1, 1, 0)


def dat(*details: bytes, tail: bytes = b"") -> bytes:
    """Return the file of a net: a convolution, a tag, further layers, and the metric loss."""
    head = (
        integers(1) + text("loss_metric_2") + numbers(0.04, 0.6) + integers(*[2] * (len(details) - 1), 1, 3)
    )
    image = text("input_rgb_image_sized") + numbers(122.782, 117.001, 104.298) + integers(150, 150)
    first, *others = details
    return head + image + first + STATE + integers(1) + b"".join(d + STATE for d in others) + tail


@pytest.mark.parametrize("value", [0, 1, -1, 127, 255, 256, -256, 4736, 2**31, -(2**62)])
def test_integers_are_a_control_byte_and_little_endian_bytes(value: int) -> None:
    reader = Reader(integer(value))
    assert reader.integer() == value
    assert reader.left == 0


def test_the_first_numbers_of_the_file_have_their_documented_values() -> None:
    margin = bytes.fromhex("03 0a d7 a3 81 1c")
    blue = bytes.fromhex("03 62 90 f5 81 11")
    reader = Reader(margin + blue + integers(16) + integers(-4))
    assert reader.numbers(3) == pytest.approx([0.04, 122.782, 1.0])


def test_text_flags_tensors_and_aliases_are_read() -> None:
    data = text("con_4") + b"10" + tensor(1, 2, 1, 3, fill=np.arange(6.0)) + integers(1, 32, 3, 7, 7)
    reader = Reader(data)
    assert (reader.text(), reader.flag(), reader.flag()) == ("con_4", True, False)
    assert reader.tensor().tolist() == [[[[0, 1, 2]], [[3, 4, 5]]]]
    assert reader.alias() == [32, 3, 7, 7]


@pytest.mark.parametrize(
    ("data", "method"),
    [
        (b"", "integer"),
        (b"\x00", "integer"),
        (b"\x09" + bytes(9), "integer"),
        (b"\x42\x00\x00", "integer"),
        (b"\x02\x00", "integer"),
        (integers(0, 32000), "number"),
        (b"2", "flag"),
        (text("con_4")[:-1], "text"),
        (integers(3, 1, 1, 1, 1), "tensor"),
        (tensor(1, 1, 1, 2)[:-1], "tensor"),
        (integers(2), "alias"),
    ],
)
def test_malformed_bytes_raise_an_error(data: bytes, method: str) -> None:
    with pytest.raises(BadDat):
        getattr(Reader(data), method)()


def small() -> tuple[ndarray, ndarray, ndarray, ndarray]:
    rng = np.random.default_rng(1)
    return rng.normal(size=(4, 3, 7, 7)), rng.normal(size=4), rng.normal(size=4), rng.normal(size=4)


def test_read_returns_all_weights_with_affine_layers_folded() -> None:
    filters, bias, gamma, beta = small()
    matrix = np.arange(8.0).reshape(4, 2, 1, 1)
    dense = text("fc_2") + integers(2, 4) + tensor(4, 2, 1, 1, fill=matrix) + integers(1, 4, 2, 1, 1)
    dense += integers(1, 0, 0, 0, 0, 1) + numbers(1, 1, 1, 0)
    pool = text("max_pool_2") + integers(3, 3, 2, 2, 0, 0)
    weights = importer.read(dat(convolution(filters, bias), affine(gamma, beta), text("relu_"), pool, dense))
    assert weights.mean == pytest.approx([122.782, 117.001, 104.298])
    assert weights.filters[0] == pytest.approx(filters * gamma[:, None, None, None], rel=1e-5)
    assert weights.biases[0] == pytest.approx(bias * gamma + beta, abs=1e-5)
    assert weights.matrix.tolist() == matrix[:, :, 0, 0].tolist()


def test_another_net_raises_an_error() -> None:
    filters, bias, _, _ = small()
    first = convolution(filters, bias)
    with pytest.raises(BadDat, match="sig_"):
        importer.parse(dat(first, text("sig_")))
    with pytest.raises(BadDat, match="3 bytes follow"):
        importer.parse(dat(first, tail=b"abc"))
    with pytest.raises(BadDat, match="metric loss"):
        importer.parse(integers(1) + text("loss_binary_log_"))
    with pytest.raises(BadDat, match="1 convolutions"):
        importer.parse(dat(first))


def random_weights() -> Weights:
    rng = np.random.default_rng(2)
    channels, weights = 3, Weights(np.array([122.782, 117.001, 104.298]))
    plan = [(32, 7)] + [(filters, 3) for filters, blocks, _ in STAGES for _ in range(2 * blocks)]
    for filters, size in plan:
        scale = (2 / (channels * size * size)) ** 0.5
        weights.filters.append(rng.normal(0, scale, (filters, channels, size, size)))
        weights.biases.append(rng.normal(0, 0.1, filters))
        channels = filters
    weights.matrix = rng.normal(size=(256, 128))
    return weights


def test_the_net_has_dlibs_size_and_the_first_convolution_scales_the_input() -> None:
    net, weights = dlib_resnet(), random_weights()
    importer.fill(net, weights)
    assert net.output_shape == (None, 128)
    # 29 convolutions with bias, and the matrix: dlib's count with affine layers folded.
    assert net.count_params() == sum(w.size for w in [*weights.filters, *weights.biases, weights.matrix])
    crop = np.random.default_rng(3).integers(0, 256, (1, 150, 150, 3)).astype(np.float32)
    conv = net.get_layer("conv00")
    scaled = ((crop - weights.mean) / 256).astype(np.float32)
    kernel = weights.filters[0].transpose(2, 3, 1, 0).astype(np.float32)
    plain = keras.ops.relu(keras.ops.conv(scaled, kernel, 2, "valid") + weights.biases[0].astype(np.float32))
    assert np.asarray(conv(crop)) == pytest.approx(np.asarray(plain), abs=2e-5)


def test_shortcuts_pad_missing_channels_rows_and_columns_with_zeros() -> None:
    # All convolutions except the first return zero, so only the shortcuts pass the image on.
    net, weights = dlib_resnet(), random_weights()
    for kernel, bias in zip(weights.filters[1:], weights.biases[1:], strict=True):
        kernel[:], bias[:] = 0, 0
    weights.matrix = np.eye(256, 128)
    importer.fill(net, weights)
    crop = np.random.default_rng(4).integers(0, 256, (1, 150, 150, 3)).astype(np.float32)
    vector = np.asarray(net(crop))[0]
    assert np.all(vector[32:] == 0)
    maps = keras.ops.max_pool(net.get_layer("conv00")(crop), 3, 2)
    for _ in range(4):
        maps = keras.ops.average_pool(maps, 2, 2)
    assert maps.shape[1:3] == (2, 2)
    assert vector[:32] == pytest.approx(np.asarray(maps).mean(axis=(0, 1, 2)), rel=1e-5)
