"""Selection of people and the figures of the studies of identities."""

import numpy as np
import pytest

from training.data.storage.identity_crops import IdentityCrops
from training.studies import center_loss_plane, unseen_identities

LABELS = np.array([0, 1, 1, 1, 2, 2])


def test_the_people_with_the_most_images_are_selected() -> None:
    index = unseen_identities.select(LABELS, people=2, images=2)
    assert index.tolist() == [1, 2, 4, 5]
    faces = IdentityCrops(np.arange(6 * 48).reshape(6, 4, 4, 3).astype(np.uint8), LABELS, (*"abcdef",), 4)
    selected = center_loss_plane.select_people(faces, 2)
    assert selected.labels.tolist() == [0, 0, 0, 1, 1]
    assert selected.addresses == ("b", "c", "d", "e", "f")


def test_the_distance_ratio_of_known_features() -> None:
    features = np.array([[0, 1], [0, -1], [4, 1], [4, -1]], np.float32)
    assert center_loss_plane.distance_ratio(features, np.array([0, 0, 1, 1])) == pytest.approx(1 / 4)


def test_the_equal_error_rate_of_separated_people_is_zero() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    assert unseen_identities.equal_error_rate(vectors, np.array([0, 0, 1, 1])) == 0
    assert unseen_identities.equal_error_rate(vectors, np.array([0, 1, 0, 1])) == pytest.approx(0.75)


def test_the_net_of_the_plane_has_two_features() -> None:
    assert center_loss_plane.build().output_shape == (None, 2)
