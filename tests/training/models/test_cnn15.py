"""The layers and initial weights of `cnn15`, compared with the tutorial."""

import keras
import numpy as np
import pytest

from training.models.cnn15 import cnn15


@pytest.fixture(scope="module")
def net() -> keras.Model:
    keras.utils.set_random_seed(0)
    return cnn15()


def test_layers_have_the_shapes_of_the_tutorial(net: keras.Model) -> None:
    shapes = {layer.name: tuple(layer.output.shape[1:]) for layer in net.layers}
    assert shapes["conv1"] == (94, 94, 32)
    assert shapes["pool1"] == (47, 47, 32)
    assert shapes["conv2"] == (46, 46, 64)
    assert shapes["pool2"] == (23, 23, 64)
    assert shapes["conv3"] == (22, 22, 128)
    assert shapes["pool3"] == (11, 11, 128)
    assert shapes["dense1"] == shapes["dense2"] == (500,)
    assert shapes["points"] == (30,)
    assert net.get_layer("dropout").rate == 0.5
    assert net.count_params() == 8_051_502


def test_initial_weights_have_the_distribution_of_the_tutorial(net: keras.Model) -> None:
    for layer in net.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            assert np.abs(kernel).max() <= 0.2 + 1e-6  # truncated at two standard deviations
            assert 0.07 < kernel.std() < 0.1
            np.testing.assert_array_equal(bias, np.float32(0.1))


def test_the_input_becomes_grey_between_0_and_1(net: keras.Model) -> None:
    scale = keras.Model(net.input, net.get_layer("scale").output)
    image = np.zeros((1, 96, 96, 3), np.float32)
    image[0, 0] = 255
    image[0, 1, :, 0] = 255
    scaled = np.asarray(scale(image))
    assert scaled.shape == (1, 96, 96, 1)
    np.testing.assert_allclose(scaled[0, :3, 0, 0], [1, 0.299, 0], atol=1e-3)
