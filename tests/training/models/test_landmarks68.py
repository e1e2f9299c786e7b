"""`landmarks68` with fewer channels, on synthetic faces."""

import cv2
import keras
import numpy as np
import pytest
from keras import ops
from numpy import ndarray

from app.vision.points import fifteen_of_ibug68
from tests.training.learning import gradients, share_left
from training.losses.landmarks import wing
from training.models.landmarks68 import CentreOfMass, fifteen_net, landmark_net

POINTS = 5


def faces(count: int) -> tuple[ndarray, ndarray]:
    """Return ovals on noise with a disc of one colour at each point, and the points in unit coordinates."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 256, (POINTS, 3)).tolist()
    images = rng.integers(90, 120, (count, 128, 128, 3), np.uint8)
    shape = np.array([[45, 50], [83, 50], [64, 68], [50, 88], [78, 88]], np.float32)
    places = shape + rng.uniform(-14, 14, (count, 1, 2)) + rng.uniform(-5, 5, (count, POINTS, 2))
    for image, place in zip(images, places, strict=True):
        middle = np.rint(place.mean(axis=0)).astype(int).tolist()
        cv2.ellipse(image, (middle, (70, 90), 0), (200, 170, 150), cv2.FILLED)
        for (x, y), colour in zip(np.rint(place).astype(int).tolist(), colours, strict=True):
            cv2.circle(image, (x, y), 4, colour, cv2.FILLED)
    return images.astype(np.float32), ((places + 0.5) / 128).reshape(count, -1).astype(np.float32)


def test_all_weights_have_a_gradient_and_a_few_steps_lower_the_loss() -> None:
    keras.utils.set_random_seed(0)
    images, labels = faces(2)
    net = landmark_net(POINTS, "narrow", widths=(8, 12, 16, 20, 24))
    without = {path for path, size in gradients(net, wing, images, labels).items() if size < 1e-6}
    assert without == {"maps/bias"}  # the softmax does not depend on it
    assert share_left(net, wing, images, labels, steps=3, rate=1e-2) < 0.85


@pytest.mark.slow
def test_the_net_overfits_eight_faces() -> None:
    keras.utils.set_random_seed(0)
    images, labels = faces(8)
    net = landmark_net(POINTS, "narrow", widths=(8, 12, 16, 20, 24))
    steps = 80
    net.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, steps)), wing)

    def error() -> float:
        return float(np.abs(np.asarray(net(images, training=True)) - labels).mean())

    first = error()
    for _ in range(steps):
        net.train_on_batch(images, labels)
    assert first > 0.04
    assert error() < 0.004  # half a pixel


def test_points_are_the_centres_of_mass_of_the_heatmaps() -> None:
    logits = np.full((1, 4, 8, 2), -50, np.float32)
    logits[0, 1, 2, 0] = 50
    logits[0, 3, 6:8, 1] = 50
    points = np.asarray(CentreOfMass()(ops.convert_to_tensor(logits)))
    np.testing.assert_allclose(points, [[2.5 / 8, 1.5 / 4, 7 / 8, 3.5 / 4]], rtol=1e-5)


@pytest.mark.parametrize("points", [15, 68])
def test_outputs_are_unit_coordinates(points: int) -> None:
    net = landmark_net(points, "narrow", widths=(8, 12, 16, 20, 24))
    assert net.input_shape == (None, 128, 128, 3)
    outputs = np.asarray(net(np.zeros((2, 128, 128, 3), np.float32)))
    assert outputs.shape == (2, 2 * points)
    assert ((outputs > 0) & (outputs < 1)).all()


def test_the_net_of_15_points_has_the_weights_of_the_net_of_68() -> None:
    keras.utils.set_random_seed(0)
    whole = landmark_net(68, "whole", widths=(8, 12, 16, 20, 24))
    read = fifteen_net("read", widths=(8, 12, 16, 20, 24))
    read.set_weights(whole.get_weights())
    images, _ = faces(2)
    expected = fifteen_of_ibug68(np.asarray(whole(images)).reshape(2, 68, 2))
    np.testing.assert_allclose(np.asarray(read(images)).reshape(2, 15, 2), expected, atol=1e-6)
