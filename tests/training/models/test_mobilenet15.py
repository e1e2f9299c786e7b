"""The layers of `mobilenet15`, compared with the tutorial."""

from pathlib import Path

import keras
import numpy as np
import pytest

from training.config.registry import find, with_pretrained_backbone
from training.models.mobilenet15 import MOMENTUM, mobilenet15


@pytest.fixture(scope="module")
def net() -> keras.Model:
    return mobilenet15()


def test_layers_have_the_shapes_of_the_tutorial(net: keras.Model) -> None:
    shapes = {layer.name: tuple(layer.output.shape[1:]) for layer in net.layers}
    assert shapes["resize"] == (96, 96, 3)
    assert shapes["backbone"] == (3, 3, 1280)
    assert shapes["flatten"] == (11520,)
    assert shapes["dense1"] == (1024,)
    assert shapes["dense2"] == (256,)
    assert shapes["points"] == (30,)
    assert net.get_layer("dropout").rate == 0.1
    assert [float(net.get_layer(f"dense{i}").kernel_regularizer.l2) for i in (1, 2)] == [1e-3, 1e-3]
    assert net.get_layer("backbone").count_params() == 2_257_984
    moving = [v for v in net.get_layer("backbone").layers if isinstance(v, keras.layers.BatchNormalization)]
    assert {layer.momentum for layer in moving} == {MOMENTUM}


def test_the_input_becomes_grey_between_minus_1_and_1(net: keras.Model) -> None:
    scale = keras.Model(net.input, net.get_layer("scale").output)
    image = np.zeros((1, 96, 96, 3), np.float32)
    image[0, 0] = 255
    image[0, 1, :, 1] = 255
    scaled = np.asarray(scale(image))
    expected = np.repeat(np.array([[1], [2 * 0.587 - 1], [-1]]), 3, axis=1)
    np.testing.assert_allclose(scaled[0, :3, 0], expected, atol=1e-3)


def test_keras_weights_fit_the_backbone(tmp_path: Path) -> None:
    path = tmp_path / "no_top.weights.h5"
    published = keras.applications.MobileNetV2((96, 96, 3), include_top=False, weights=None)
    published.save_weights(path)
    net = with_pretrained_backbone(find("mobilenet15"), path).build()
    for ours, theirs in zip(net.get_layer("backbone").weights, published.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_the_run_sets_the_penalty() -> None:
    net = find("mobilenet15").build()
    assert [float(net.get_layer(f"dense{i}").kernel_regularizer.l2) for i in (1, 2)] == [1e-6, 1e-6]
