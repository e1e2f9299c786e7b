"""`landmarks68` with fewer channels, on synthetic faces."""

import cv2
import keras
import numpy as np
import pytest
from keras import ops
from numpy import ndarray

from app.vision.points import fifteen_of_ibug68
from tests.training.learning import gradients, share_left
from training.importers import face_mesh as importer
from training.losses.landmarks import wing
from training.models.face_mesh import face_mesh
from training.models.landmarks68 import (
    MESH_SIZE,
    CentreOfMass,
    fifteen_net,
    landmark_net,
    mesh_landmark_net,
)

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


def test_all_weights_of_the_net_on_the_trunk_of_the_mesh_have_a_gradient() -> None:
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).uniform(0, 255, (2, MESH_SIZE, MESH_SIZE, 3)).astype(np.float32)
    labels = np.random.default_rng(1).uniform(0.2, 0.8, (2, 2 * POINTS)).astype(np.float32)
    net = mesh_landmark_net(POINTS, "narrow", widths=(8, 8))
    assert net.output_shape == (None, 2 * POINTS)
    # Without the scaling of the published first layer, the colours are large.
    stem = net.get_layer("stem")
    stem.set_weights([stem.get_weights()[0] / 255, stem.get_weights()[1]])
    without = {path for path, size in gradients(net, wing, images, labels).items() if size == 0}
    assert without == set()


def test_the_trunk_gets_the_published_weights_and_the_decoder_none(monkeypatch: pytest.MonkeyPatch) -> None:
    published, net = face_mesh(), mesh_landmark_net(POINTS, "narrow", widths=(8, 8))
    monkeypatch.setattr(importer, "load", lambda cache: published)
    decoder = net.get_layer("up0_out").get_weights()[0].copy()
    importer.copy_trunk(net)
    for name in ("stem", "stem_prelu", "stage1_0_point", "stage4_2_depth", "stage4_2_prelu"):
        for found, expected in zip(
            net.get_layer(name).get_weights(), published.get_layer(name).get_weights(), strict=True
        ):
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(net.get_layer("up0_out").get_weights()[0], decoder)


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
    read = fifteen_net(landmark_net(68, "whole", widths=(8, 12, 16, 20, 24)), "read")
    read.set_weights(whole.get_weights())
    images, _ = faces(2)
    expected = fifteen_of_ibug68(np.asarray(whole(images)).reshape(2, 68, 2))
    np.testing.assert_allclose(np.asarray(read(images)).reshape(2, 15, 2), expected, atol=1e-6)
