"""The layers of `cnn68`, compared with the tutorial's table, and its training on a few samples."""

import keras
import numpy as np
import pytest
from numpy import ndarray

from tests.training.learning import gradients, share_left
from training.losses.landmarks import mean_squared
from training.models.cnn68 import cnn68


@pytest.fixture(scope="module")
def net() -> keras.Model:
    return cnn68()


@pytest.mark.parametrize(
    ("stride", "dense1", "total"),
    [
        (2, 6_554_624, 7_340_808),
        pytest.param(1, 75_760_640, 76_546_824, marks=pytest.mark.slow),  # 300 MB of random numbers
    ],
)
def test_the_net_has_the_parameters_of_the_table(stride: int, dense1: int, total: int) -> None:
    net = cnn68(pool3_stride=stride)
    assert net.get_layer("dense1").count_params() == dense1
    assert net.count_params() == total


def test_layers_have_the_shapes_of_the_table(net: keras.Model) -> None:
    shapes = {layer.name: tuple(layer.output.shape[1:]) for layer in net.layers}
    assert shapes["conv1"] == (126, 126, 32)
    assert shapes["pool1"] == (63, 63, 32)
    assert shapes["conv3"] == (59, 59, 64)
    assert shapes["pool2"] == (29, 29, 64)
    assert shapes["conv5"] == (25, 25, 64)
    assert shapes["pool3"] == (12, 12, 64)
    assert shapes["conv7"] == (8, 8, 128)
    assert shapes["pool4"] == (7, 7, 128)
    assert shapes["conv8"] == (5, 5, 256)
    assert shapes["dense1"] == (1024,)
    assert shapes["points"] == (136,)


def test_the_net_scales_its_input(net: keras.Model) -> None:
    scale = net.get_layer("scale")
    scaled = np.asarray(scale(np.array([[0.0, 255.0]], np.float32)))
    np.testing.assert_allclose(scaled, [[-1, 1]], atol=1e-6)


def batch(count: int) -> tuple[ndarray, ndarray]:
    """Return noise and random points."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (count, 128, 128, 3)).astype(np.float32)
    return images, rng.uniform(0.2, 0.8, (count, 136)).astype(np.float32)


def test_all_weights_have_a_gradient_and_a_few_steps_lower_the_loss() -> None:
    keras.utils.set_random_seed(0)
    net, (images, points) = cnn68(), batch(2)
    assert min(gradients(net, mean_squared, images, points).values()) > 1e-6
    assert share_left(net, mean_squared, images, points, steps=3, rate=5e-4) < 0.85


@pytest.mark.slow
def test_the_net_overfits_eight_faces() -> None:
    keras.utils.set_random_seed(0)
    images, points = batch(8)
    net = cnn68()
    net.compile(keras.optimizers.Adam(5e-4), mean_squared)
    first = float(net.train_on_batch(images, points))
    for _ in range(50):
        net.reset_metrics()
        loss = float(net.train_on_batch(images, points))
    assert first > 0.02
    assert loss < 5e-4
