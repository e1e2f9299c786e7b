"""Damages that move the labels with the picture, and curves of nets whose answer is known."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy import ndarray

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import NO_FACES, Faces
from app.pipeline.landmarks import Landmarker
from app.runtime.timing import Timing
from app.vision.points import five_of_ibug68
from app.vision.pyramid import ImagePyramid
from app.vision.spec import LandmarkSpec
from tests.fakes import COMMON, FakeSession
from training import damage
from training.data.sources import Sample
from training.matching import box_of, raised


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def labels() -> ndarray:
    return np.random.default_rng(0).uniform(40, 90, (68, 2)).astype(np.float32)


def dots(points: ndarray) -> ndarray:
    image = np.zeros((140, 120, 3), np.uint8)
    for x, y in np.rint(points).astype(int):
        cv2.circle(image, (int(x), int(y)), 2, (255, 255, 255), cv2.FILLED)
    return image


def _always(answer: ndarray, images: ndarray) -> dict[str, ndarray]:
    return {"points": answer}


@pytest.mark.parametrize("way", damage.DAMAGES, ids=lambda way: way.name)
def test_the_first_amount_leaves_the_picture_as_it_is(way: damage.Damage) -> None:
    points = labels()
    image, moved = way.apply(dots(points), points, way.amounts[0], rng())
    np.testing.assert_array_equal(image, dots(points))
    np.testing.assert_allclose(moved, points, atol=1e-4)


@pytest.mark.parametrize("angle", [15, 30, 75, 90])
def test_labels_turn_with_the_picture(angle: float) -> None:
    points = labels()
    image, moved = damage.turned(dots(points), points, angle, rng())
    assert image.shape[0] * image.shape[1] >= 140 * 120
    for x, y in np.rint(moved).astype(int):
        assert image[y, x, 0] > 200
    assert np.linalg.norm(moved[0] - moved[1]) == pytest.approx(
        np.linalg.norm(points[0] - points[1]), rel=1e-4
    )


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_the_block_covers_its_share_of_the_faces_box(share: float) -> None:
    points = labels()
    x1, y1, x2, y2 = raised(box_of(points))
    image, _ = damage.covered(np.zeros((140, 120, 3), np.uint8), points, share, rng())
    assert (image[:, :, 0] == damage.GREY).sum() == pytest.approx(share * (x2 - x1) * (y2 - y1), rel=0.1)
    covered = np.argwhere(image[:, :, 0] == damage.GREY)
    assert (covered >= [y1 - 1, x1 - 1]).all()
    assert (covered <= [y2 + 1, x2 + 1]).all()


def test_blur_is_in_units_of_the_face() -> None:
    points = labels()
    image = np.zeros((140, 120, 3), np.uint8)
    image[70, 60] = 255
    for amount in (0.05, 0.2):
        spread, _ = damage.blurred(image.astype(np.float32), points, amount, rng())
        weight = spread[70, :, 0] / spread[70, :, 0].sum()
        sigma = np.sqrt((weight * (np.arange(120) - 60) ** 2).sum())
        assert sigma == pytest.approx(amount * np.linalg.norm(points[36] - points[45]), rel=0.1)


class Knows(Detector):
    """Finds the labelled face in pictures of its size, so not in those that are turned askew."""

    def __init__(self, points: ndarray) -> None:
        self.points = points

    def detect(self, picture: ImagePyramid, options: DetectOptions, timing: Timing) -> Faces:
        if (picture.height, picture.width) != (140, 120):
            return NO_FACES
        return Faces(box_of(self.points)[None], np.ones(1, np.float32), five_of_ibug68(self.points[None]))


def test_curves_tables_and_plot(tmp_path: Path) -> None:
    points = labels()
    sample = Sample("s", "p", dots(points), points, "ibug68", "test")
    nets = {}
    for name, scheme, count in (("whole", "ibug68", 68), ("few", "kaggle15", 15)):
        spec = LandmarkSpec.model_validate(
            {"model": name, "size": 16, "template": "face", "scheme": scheme, **COMMON}
        )
        answer = np.full((1, 2 * count), 0.5, np.float32)
        nets[name] = Landmarker(FakeSession(spec, partial(_always, answer)))
    curves = {
        curve.damage.name: curve for curve in damage.measure([sample] * damage.LEAST, Knows(points), nets, 0)
    }
    assert curves["blur"].missed == (0.0,) * 7
    assert curves["turn"].missed == (0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert curves["turn"].errors["few"][1] is None
    known = curves["blur"].errors["whole"]
    assert len({figure.value for figure in known if figure is not None}) == 1
    text = damage.tables(list(curves.values()))
    assert "| 15 | 100.0% |  |  |" in text
    damage.plot(list(curves.values()), tmp_path / "images/curves.png")
    assert (tmp_path / "images/curves.png").read_bytes()[:4] == b"\x89PNG"
