"""The labelled face among the detected ones."""

import numpy as np

from app.pipeline.faces import NO_FACES, Faces
from training.data.prepare.face_matching import bounding_box, labelled_face, raise_top

POINTS = np.array([[10, 20], [50, 20], [30, 60], [np.nan, np.nan]], np.float32)


def faces(*boxes: tuple[float, float, float, float]) -> Faces:
    n = len(boxes)
    return Faces(np.array(boxes, np.float32), np.ones(n, np.float32), np.zeros((n, 5, 2), np.float32))


def test_box_of_the_labelled_points() -> None:
    np.testing.assert_array_equal(bounding_box(POINTS), [10, 20, 50, 60])
    np.testing.assert_allclose(raise_top(bounding_box(POINTS)), [10, 14, 50, 60])


def test_the_best_overlap_is_taken() -> None:
    assert labelled_face(faces((100, 100, 140, 150), (0, 0, 60, 70), (8, 10, 52, 62)), POINTS) == 2


def test_a_neighbour_is_not_the_face() -> None:
    assert labelled_face(faces((45, 20, 85, 60)), POINTS) is None
    assert labelled_face(NO_FACES, POINTS) is None
