"""Degradations move the labels with the image; curves of nets whose output is known."""

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
from training.data.datasets.landmark_sets import Sample
from training.data.prepare.face_matching import bounding_box, raise_top
from training.evaluation import robustness
from training.reports import robustness as report


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


def labels() -> ndarray:
    return np.random.default_rng(0).uniform(40, 90, (68, 2)).astype(np.float32)


def dots(points: ndarray) -> ndarray:
    """Return an image of 120x140 pixels with a white dot at each point."""
    image = np.zeros((140, 120, 3), np.uint8)
    for x, y in np.rint(points).astype(int):
        cv2.circle(image, (int(x), int(y)), 2, (255, 255, 255), cv2.FILLED)
    return image


def _constant(output: ndarray, images: ndarray) -> dict[str, ndarray]:
    return {"points": output}


@pytest.mark.parametrize("degradation", robustness.DEGRADATIONS, ids=lambda d: d.name)
def test_the_first_amount_does_not_change_the_image(degradation: robustness.Degradation) -> None:
    points = labels()
    image, moved = degradation.apply(dots(points), points, degradation.amounts[0], rng())
    np.testing.assert_array_equal(image, dots(points))
    np.testing.assert_allclose(moved, points, atol=1e-4)


@pytest.mark.parametrize("angle", [15, 30, 75, 90])
def test_labels_rotate_with_the_image(angle: float) -> None:
    points = labels()
    image, moved = robustness.rotate(dots(points), points, angle, rng())
    assert image.shape[0] * image.shape[1] >= 140 * 120
    for x, y in np.rint(moved).astype(int):
        assert image[y, x, 0] > 200
    distance = np.linalg.norm(points[0] - points[1])
    assert np.linalg.norm(moved[0] - moved[1]) == pytest.approx(distance, rel=1e-4)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5])
def test_the_block_covers_its_share_of_the_face_box(share: float) -> None:
    points = labels()
    x1, y1, x2, y2 = raise_top(bounding_box(points))
    image, _ = robustness.occlude(np.zeros((140, 120, 3), np.uint8), points, share, rng())
    covered = np.argwhere(image[:, :, 0] == robustness.GREY)
    assert len(covered) == pytest.approx(share * (x2 - x1) * (y2 - y1), rel=0.1)
    assert (covered >= [y1 - 1, x1 - 1]).all()
    assert (covered <= [y2 + 1, x2 + 1]).all()


def test_blur_is_relative_to_the_interocular_distance() -> None:
    points = labels()
    image = np.zeros((140, 120, 3), np.uint8)
    image[70, 60] = 255
    for amount in (0.05, 0.2):
        blurred, _ = robustness.blur(image.astype(np.float32), points, amount, rng())
        weight = blurred[70, :, 0] / blurred[70, :, 0].sum()
        sigma = np.sqrt((weight * (np.arange(120) - 60) ** 2).sum())
        assert sigma == pytest.approx(amount * np.linalg.norm(points[36] - points[45]), rel=0.1)


class KnownFace(Detector):
    """Detects the labelled face in images of the original size, so not in those that are rotated."""

    def __init__(self, points: ndarray) -> None:
        self.points = points

    def detect(self, picture: ImagePyramid, options: DetectOptions, timing: Timing) -> Faces:
        if (picture.height, picture.width) != (140, 120):
            return NO_FACES
        return Faces(
            bounding_box(self.points)[None], np.ones(1, np.float32), five_of_ibug68(self.points[None])
        )


@pytest.fixture(scope="module")
def curves() -> dict[str, robustness.RobustnessCurve]:
    """The curves of two nets on as many faces as a mean needs."""
    points = labels()
    sample = Sample("s", "p", dots(points), points, "ibug68", "test")
    nets = {}
    for name, scheme, count in (("whole", "ibug68", 68), ("few", "kaggle15", 15)):
        spec = LandmarkSpec.model_validate(
            {"model": name, "size": 16, "template": "face", "scheme": scheme, **COMMON}
        )
        output = np.full((1, 2 * count), 0.5, np.float32)
        nets[name] = Landmarker(FakeSession(spec, partial(_constant, output)))
    measured = robustness.measure([sample] * robustness.MIN_FACES, KnownFace(points), nets, 0)
    return {curve.degradation.name: curve for curve in measured}


def test_curves_have_undetected_faces_and_the_error_of_the_others(
    curves: dict[str, robustness.RobustnessCurve],
) -> None:
    assert curves["blur"].undetected == (0.0,) * 7
    assert curves["rotation"].undetected == (0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert curves["rotation"].nme["few"][1] is None
    known = curves["blur"].nme["whole"]
    assert len({figure.value for figure in known if figure is not None}) == 1


def test_the_report_has_a_table_for_each_degradation_and_a_plot(
    curves: dict[str, robustness.RobustnessCurve], tmp_path: Path
) -> None:
    text = report.tables(list(curves.values()))
    assert "| in-plane rotation, degrees | undetected | whole | few |" in text
    assert "| 15 | 100.0% |  |  |" in text
    report.plot(list(curves.values()), tmp_path / "images/curves.png")
    assert (tmp_path / "images/curves.png").read_bytes()[:4] == b"\x89PNG"
