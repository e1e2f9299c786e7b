"""Center loss: the update of the centers, and the term that it adds to the loss."""

import numpy as np
import pytest
from numpy import ndarray

from training.losses.center import CenterLoss, updated_centers

CENTERS = np.array([[0, 0], [1, 1], [5, 5]], np.float32)
FEATURES = np.array([[2, 0], [4, 2], [1, 3]], np.float32)
LABELS = np.array([0, 0, 1], np.int32)


def step(alpha: float) -> ndarray:
    return np.asarray(updated_centers(CENTERS, FEATURES, LABELS, alpha))


def test_a_center_moves_by_its_own_features_over_one_more_than_their_number() -> None:
    # Person 0: differences (2, 0) and (4, 2), together (6, 2), over 3. Person 1: (0, 2) over 2.
    np.testing.assert_allclose(step(0.0), np.array([[2, 2 / 3], [1, 2], [5, 5]]), rtol=1e-6)


def test_alpha_is_the_share_of_the_distance_that_remains() -> None:
    np.testing.assert_allclose(step(0.75) - CENTERS, 0.25 * (step(0.0) - CENTERS), rtol=1e-5)


def test_the_center_of_a_person_without_images_in_the_batch_stays() -> None:
    np.testing.assert_array_equal(step(0.5)[2], CENTERS[2])


def test_the_layer_adds_the_loss_and_moves_the_centers_only_in_training() -> None:
    layer = CenterLoss(3, weight=0.1, alpha=0.0)
    labels = LABELS[:, None]
    out = layer((FEATURES, labels))  # the centers are at 0
    np.testing.assert_array_equal(np.asarray(out), FEATURES)
    expected = 0.1 * 0.5 * np.mean([4, 20, 10])
    assert float(layer.losses[0]) == pytest.approx(expected)
    np.testing.assert_array_equal(np.asarray(layer.centers), np.zeros((3, 2)))
    layer((FEATURES, labels), training=True)
    expected_centers = np.array([[2, 2 / 3], [0.5, 1.5], [0, 0]])
    np.testing.assert_allclose(np.asarray(layer.centers), expected_centers, rtol=1e-6)
