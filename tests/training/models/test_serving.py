"""Rewrites for serving: the same function in other operators."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from training.models.serving import batch_norm_affine, channel_prelu, fold_scaling, serving_form


@pytest.mark.parametrize("mean", [127.5, np.array([122.8, 117.0, 104.3])])
def test_folded_scaling_equals_scaled_input(mean: float | np.ndarray) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (2, 9, 9, 3)).astype(np.float32)
    kernel, bias = rng.normal(size=(3, 3, 3, 4)), rng.normal(size=4)
    scaled = ((image - mean) / 128).astype(np.float32)
    expected = ops.conv(scaled, kernel.astype(np.float32), 1, "valid") + bias
    folded_kernel, folded_bias = fold_scaling(kernel, bias, mean, 1 / 128)
    outputs = ops.conv(image, folded_kernel, 1, "valid") + folded_bias
    assert np.asarray(outputs) == pytest.approx(np.asarray(expected), abs=1e-4)


def test_a_batch_normalisation_is_scale_and_shift() -> None:
    norm = layers.BatchNormalization(epsilon=1e-2)
    norm.build((None, 3))
    gamma, beta, mean, variance = np.array([[2, 3, 4], [0.5, 1, 2], [1, -1, 0], [3, 0, 0.5]], np.float32)
    norm.set_weights([gamma, beta, mean, variance])
    scale, shift = batch_norm_affine(gamma, beta, mean, variance, norm.epsilon)
    x = np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)
    assert np.asarray(norm(x, training=False)) == pytest.approx(scale * x + shift, rel=1e-5)


def prelu(name: str) -> layers.PReLU:
    return layers.PReLU(shared_axes=[1, 2], name=name)


@pytest.mark.parametrize("factored", [False, True])
def test_channel_prelu_equals_prelu(factored: bool) -> None:
    alpha = np.array([-0.5, 0.0, 0.25, 0.99, 1.5])
    x = np.random.default_rng(4).normal(size=(2, 3, 4, 5)).astype(np.float32)
    image = keras.Input((None, None, 5))
    outputs = np.asarray(keras.Model(image, channel_prelu(image, alpha, "p", factored))(x))
    expected = np.where(x > 0, x, alpha * x) / ((1 - alpha) if factored else 1)
    assert outputs == pytest.approx(expected, rel=1e-5, abs=1e-6)


SLOPES = {
    "of_one": [0.2, 1.0, -0.4],
    "twice": [0.1, 0.5, 1.7],
    "alone": [0.3, -0.6, 0.9],
    "end": [0.5, 0.6, 0.7, 0.8],
    "flat": [2.0, 0.0, 0.3],
}


def branching() -> keras.Model:
    """Return a net with PReLUs of slope 1, with two consumers, as output, and before a dense layer."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 3, name="a")(prelu("of_one")(image))
    twice = prelu("twice")(x)
    x = layers.Add()([layers.Conv2D(3, 1, name="b")(twice), twice])
    padded = layers.ZeroPadding2D(1)(prelu("alone")(x))
    end = prelu("end")(layers.Conv2D(4, 3, strides=2, name="c")(padded))
    flat = layers.Flatten()(prelu("flat")(layers.DepthwiseConv2D(3, name="d")(twice)))
    dense = layers.PReLU(name="of_units")(layers.Dense(5, name="e")(flat))
    net = keras.Model(image, [end, dense])
    for name, slopes in SLOPES.items():
        net.get_layer(name).set_weights([np.reshape(slopes, (1, 1, -1))])
    return net


def test_the_serving_form_equals_the_net_and_does_not_change_it() -> None:
    net = branching()
    before = net.get_weights()
    x = np.random.default_rng(5).normal(size=(3, 8, 8, 3)).astype(np.float32)
    served = serving_form(net)
    for output, expected in zip(served(x), net(x), strict=True):
        assert np.asarray(output) == pytest.approx(np.asarray(expected), rel=1e-4, abs=1e-5)
    assert all(np.array_equal(a, b) for a, b in zip(before, net.get_weights(), strict=True))
    names = {layer.name for layer in served.layers}
    assert {name for name in names if name.endswith("_rise")} == {"of_one_rise", "twice_rise", "end_rise"}
    assert isinstance(served.get_layer("of_units"), layers.PReLU)
