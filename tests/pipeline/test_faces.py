import numpy as np

from app.pipeline.faces import NO_FACES, Faces


def faces(*boxes: tuple[float, float, float, float]) -> Faces:
    n = len(boxes)
    return Faces(
        np.array(boxes, np.float32),
        np.linspace(1, 0.5, n, dtype=np.float32),
        np.zeros((n, 5, 2), np.float32),
        landmarks=np.arange(n * 4, dtype=np.float32).reshape(n, 2, 2),
    )


def test_the_largest_face_wins_wherever_it_is() -> None:
    found = faces((45, 45, 55, 55), (0, 0, 20, 20))
    assert found.largest(100, 100).boxes.tolist() == [[0, 0, 20, 20]]


def test_of_faces_about_as_large_the_one_in_the_middle_wins() -> None:
    found = faces((0, 40, 20, 60), (41, 41, 59, 59), (80, 40, 99, 60))
    assert found.largest(100, 100).boxes.tolist() == [[41, 41, 59, 59]]


def test_of_faces_side_by_side_the_largest_wins() -> None:
    found = faces((20, 40, 38, 58), (60, 40, 80, 60))
    assert found.largest(100, 100).boxes.tolist() == [[60, 40, 80, 60]]


def test_the_largest_of_none_is_none() -> None:
    assert len(NO_FACES.largest(10, 10)) == 0


def test_take_keeps_what_belongs_together() -> None:
    found = faces((0, 0, 1, 1), (2, 2, 3, 3)).take(np.array([1]))
    assert found.boxes.tolist() == [[2, 2, 3, 3]]
    assert found.landmarks is not None
    assert found.landmarks.tolist() == [[[4, 5], [6, 7]]]
    assert found.embeddings is None
