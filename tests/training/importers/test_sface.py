from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import onnx
import pytest
from keras import layers
from numpy import ndarray
from onnx import TensorProto, helper, numpy_helper

from training.importers import sface as importer
from training.importers.sface import BadSFace
from training.models.serving import serving_form
from training.models.sface import BLOCKS, sface

EPSILON = 1e-3


def normalisation(rng: np.random.Generator, name: str, channels: int) -> Iterator[tuple[str, ndarray]]:
    yield f"{name}_gamma", rng.uniform(0.5, 1.5, channels)
    yield f"{name}_beta", rng.normal(0, 0.2, channels)
    yield f"{name}_moving_mean", rng.normal(0, 0.2, channels)
    yield f"{name}_moving_var", rng.uniform(0.5, 1.5, channels)


def random_tensors() -> dict[str, ndarray]:
    rng = np.random.default_rng(1)
    out: dict[str, ndarray] = {}

    def convolution(name: str, *shape: int) -> None:
        out[f"{name}_conv2d_weight"] = rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape)
        out.update(normalisation(rng, f"{name}_batchnorm", shape[0]))
        out[f"{name}_relu_gamma"] = rng.uniform(-0.6, 0.98, (shape[0], 1, 1))

    convolution("conv_1", channels := 32, 3, 3, 3)
    for i, (filters, _) in enumerate(BLOCKS, start=2):
        convolution(f"conv_{i}_dw", channels, 1, 3, 3)
        convolution(f"conv_{i}", filters, channels, 1, 1)
        channels = filters
    out.update(normalisation(rng, "bn1", channels))
    out["pre_fc1_weight"] = rng.normal(0, 0.01, (128, channels * 7 * 7))
    out["pre_fc1_bias"] = rng.normal(0, 0.1, 128)
    out.update(normalisation(rng, "fc1", 128))
    return out


def epsilons(tensors: dict[str, ndarray]) -> dict[str, float]:
    return {name.removesuffix("_moving_var"): EPSILON for name in tensors if name.endswith("_moving_var")}


@pytest.fixture(scope="module")
def tensors() -> dict[str, ndarray]:
    return random_tensors()


@pytest.fixture(scope="module")
def filled(tensors: dict[str, ndarray]) -> keras.Model:
    net = sface()
    importer.fill(net, tensors, epsilons(tensors))
    return net


def as_published(tensors: dict[str, ndarray], crop: ndarray) -> ndarray:
    """Return the vectors as in the file: separate normalisations, channels first, explicit padding."""

    def normalise(x: ndarray, name: str) -> ndarray:
        gamma, beta, mean, var = (
            tensors[f"{name}_{part}"] for part in ("gamma", "beta", "moving_mean", "moving_var")
        )
        return (x - mean) / np.sqrt(var + EPSILON) * gamma + beta

    def convolve(x: ndarray, name: str, stride: int, pad: int) -> ndarray:
        kernel = tensors[f"{name}_conv2d_weight"]
        x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        size = kernel.shape[2]
        side = (x.shape[1] - size) // stride + 1
        total = 0
        for row in range(size):
            for column in range(size):
                part = x[:, row : row + stride * side : stride, column : column + stride * side : stride]
                tap = kernel[:, :, row, column]
                total = total + (part * tap[:, 0] if name.endswith("_dw") else part @ tap.T)
        y = normalise(np.asarray(total), f"{name}_batchnorm")
        return np.where(y > 0, y, y * tensors[f"{name}_relu_gamma"][:, 0, 0])

    x = convolve((crop - 127.5) * 0.0078125, "conv_1", 1, 1)
    for i, (_, stride) in enumerate(BLOCKS, start=2):
        x = convolve(convolve(x, f"conv_{i}_dw", stride, 1), f"conv_{i}", 1, 0)
    x = normalise(x, "bn1").transpose(0, 3, 1, 2).reshape(len(x), -1)
    return normalise(x @ tensors["pre_fc1_weight"].T + tensors["pre_fc1_bias"], "fc1")


def test_the_folded_net_equals_the_published_one(tensors: dict[str, ndarray], filled: keras.Model) -> None:
    crop = np.random.default_rng(2).integers(0, 256, (1, 112, 112, 3)).astype(np.float64)
    expected = as_published(tensors, crop)
    vectors = np.asarray(filled(crop.astype(np.float32)))
    assert vectors.shape == (1, 128)
    assert vectors == pytest.approx(expected, abs=1e-4 * float(np.abs(expected).max()))


def test_the_served_net_equals_the_plain_one_and_has_no_prelu(filled: keras.Model) -> None:
    served = serving_form(filled)
    crops = np.random.default_rng(3).integers(0, 256, (2, 112, 112, 3)).astype(np.float32)
    expected = np.asarray(filled(crops))
    assert np.asarray(served(crops)) == pytest.approx(expected, abs=1e-5 * float(np.abs(expected).max()))
    assert not any(isinstance(layer, layers.PReLU) for layer in served.layers)
    assert served.count_params() == filled.count_params()  # the next layer takes each factor


def test_a_missing_tensor_or_another_shape_raises_an_error(tensors: dict[str, ndarray]) -> None:
    net = sface()
    without = {name: value for name, value in tensors.items() if name != "conv_9_dw_relu_gamma"}
    with pytest.raises(BadSFace, match="conv_9_dw_relu_gamma"):
        importer.fill(net, without, epsilons(tensors))
    wrong = tensors | {"conv_2_conv2d_weight": np.zeros((64, 16, 1, 1))}
    with pytest.raises(BadSFace, match="conv_2"):
        importer.fill(net, wrong, epsilons(tensors))


def test_read_returns_initializers_and_epsilons_of_a_graph(tmp_path: Path) -> None:
    names = ["bn_gamma", "bn_beta", "bn_moving_mean", "bn_moving_var"]
    values = [np.array([2.0, 3.0]), np.array([0.5, 1.0]), np.array([1.0, -1.0]), np.array([3.0, 0.0])]
    graph = helper.make_graph(
        [helper.make_node("BatchNormalization", ["x", *names], ["y"], "bn", epsilon=1.0)],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(v.astype(np.float32), n) for n, v in zip(names, values, strict=True)],
    )
    onnx.save(helper.make_model(graph), str(tmp_path / "one.onnx"))
    tensors, epsilons = importer.read(tmp_path / "one.onnx")
    assert set(tensors) == set(names)
    scale, shift = importer.norm(tensors, epsilons, "bn")
    assert scale.tolist() == [1.0, 3.0]
    assert shift.tolist() == [-0.5, 4.0]
