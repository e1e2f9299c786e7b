from pathlib import Path

import cv2
import numpy as np
import pytest

from app.pipeline.faces import NO_FACES, Faces
from app.vision.points import five_of_ibug68, mirror
from app.vision.pyramid import ImagePyramid
from training.data import taught
from training.data.crops import Crops

FACE = np.random.default_rng(0).uniform(20, 60, (1, 68, 2)).astype(np.float32)
WIDTH = 80
IMAGE = np.zeros((64, WIDTH, 3), np.uint8)
IMAGE[:, 0] = 255


class Teacher:
    """Marks the face, wherever it lies in the picture or in the mirrored one, `off` pixels to the right."""

    def __init__(self, off: float = 0.0) -> None:
        self.off = off
        self.five: list[np.ndarray] = []

    def __call__(self, picture: ImagePyramid, five: np.ndarray) -> np.ndarray:
        self.five.append(five)
        mirrored = picture[0][0, 0, 0] == 0
        return (mirror(FACE, WIDTH, "ibug68") if mirrored else FACE) + np.array([self.off, 0], np.float32)


class Detector:
    def __init__(self, *scores: float) -> None:
        self.scores = scores

    def detect(self, *_: object) -> Faces:
        n = len(self.scores)
        five = np.repeat(five_of_ibug68(FACE), n, axis=0)
        return Faces(np.zeros((n, 4), np.float32), np.array(self.scores, np.float32), five) if n else NO_FACES


def test_people_gives_each_no_more_than_asked_spread_over_their_pictures(tmp_path: Path) -> None:
    for person, count in (("set/a", 9), ("set/b", 2)):
        (tmp_path / person).mkdir(parents=True)
        for i in range(count):
            (tmp_path / person / f"{i}.jpg").touch()
    (tmp_path / "set/a/notes.txt").touch()
    found = [path.relative_to(tmp_path).as_posix() for path in taught.people(tmp_path, 3)]
    assert found == ["set/a/0.jpg", "set/a/4.jpg", "set/a/8.jpg", "set/b/0.jpg", "set/b/1.jpg"]


def test_the_mirrored_reading_comes_back_in_place() -> None:
    teacher = Teacher()
    first, second = taught.readings(IMAGE, five_of_ibug68(FACE), teacher)  # type: ignore[arg-type]
    np.testing.assert_allclose(second, first, atol=1e-4)
    np.testing.assert_allclose(teacher.five[1], five_of_ibug68(mirror(FACE, WIDTH, "ibug68")), atol=1e-4)


def test_the_mean_of_the_readings_cancels_what_the_mirror_turns_round(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "face.png"), IMAGE)
    found = taught.label(tmp_path / "face.png", "face", Detector(0.99), Teacher(3.0))  # type: ignore[arg-type]
    assert found is not None
    sample, apart = found
    np.testing.assert_allclose(sample.points, FACE[0], atol=1e-4)
    span = np.linalg.norm(FACE[0, 36] - FACE[0, 45])
    assert apart == pytest.approx(6.0 / span, rel=1e-3)


@pytest.mark.parametrize("scores", [(), (0.9,), (0.99, 0.98)])
def test_a_picture_without_one_sure_face_is_left_out(scores: tuple[float, ...], tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "face.png"), IMAGE)
    assert taught.label(tmp_path / "face.png", "face", Detector(*scores), Teacher()) is None  # type: ignore[arg-type]


def crops_of(side: int, *names: str) -> Crops:
    n = len(names)

    def zeros(*shape: int) -> np.ndarray:
        return np.zeros((n, *shape), np.float32)

    images, found = np.zeros((n, side, side, 3), np.uint8), np.ones(n, bool)
    tables = zeros(68, 2), zeros(5, 2), zeros(2, 3), zeros(4, 2)
    return Crops(images, *tables, found, names, names, side)


def test_crops_are_put_together_in_order_and_only_of_one_size() -> None:
    both = taught.together(crops_of(8, "a", "b"), crops_of(8, "c"))
    assert both.names == both.photos == ("a", "b", "c")
    assert len(both) == len(both.images) == 3
    with pytest.raises(ValueError, match="crops of 8 and of 16 pixels"):
        taught.together(crops_of(8, "a"), crops_of(16, "c"))
