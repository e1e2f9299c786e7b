"""What a net finds on samples and prepared crops, with nets whose answer is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray

from app.errors import BadModel
from app.pipeline.landmarks import Landmarker
from app.vision import align
from app.vision.points import COUNTS, Scheme, fifteen_of_ibug68, five_of_ibug68
from app.vision.spec import LandmarkSpec, ONetSpec
from tests.fakes import COMMON, FIVE_IN_BOX, FakeDetector, FakeSession
from training import landmark_errors
from training.data import crops
from training.data.sources import READERS, Sample

SIZE = 16
BOX = np.array([5, 16, 45, 144], np.float32)
"""What the fake detector finds on the left of a picture of 100 x 160."""


def session(scheme: Scheme) -> FakeSession:
    """Every point in the middle of the crop."""
    spec = LandmarkSpec(model="middle", size=SIZE, template="arcface", scheme=scheme, **COMMON)
    width = 2 * COUNTS[scheme]
    return FakeSession(spec, lambda images: {"points": np.full((len(images), width), 0.5, np.float32)})


def detector() -> FakeDetector:
    spec = ONetSpec(model="d", size=48, crop=1.0, threshold=0.7, nms=0.7, nms_metric="iom", **COMMON)
    return FakeDetector(spec)


def sample(light: int = 255) -> Sample:
    """A face whose points fill the box that the fake detector finds."""
    points = np.random.default_rng(0).uniform(BOX[:2], BOX[2:], (68, 2)).astype(np.float32)
    points[0], points[1] = BOX[:2], BOX[2:]
    return Sample("s", "p", np.full((160, 100, 3), light, np.uint8), points, "ibug68", "test")


def middle() -> ndarray:
    """Where the middle of the crop lies for the detector's face."""
    five = BOX[:2] + FIVE_IN_BOX * (BOX[2:] - BOX[:2])
    back = align.invert(align.umeyama(five[None], align.template("arcface", SIZE)))
    return align.apply(back, np.full((1, 1, 2), (SIZE - 1) / 2, np.float32))[0, 0]


@pytest.mark.parametrize("scheme", ["ibug68", "kaggle15"])
def test_points_are_found_end_to_end_and_from_given_boxes(scheme: Scheme) -> None:
    one = sample()
    found = landmark_errors.measure([one, sample(light=0)], detector(), Landmarker(session(scheme)))
    assert found.seen.tolist() == [True, False]
    np.testing.assert_allclose(found.detected[0], np.tile(middle(), (COUNTS[scheme], 1)), rtol=1e-4)
    assert np.isfinite(found.given).all()
    expected = one.points if scheme == "ibug68" else fifteen_of_ibug68(one.points[None])[0]
    np.testing.assert_array_equal(found.truth[0], expected)


def test_a_net_of_68_points_is_measured_on_its_own_labels_alone(tmp_path: Path) -> None:
    def read(data: Path) -> list[Sample]:
        fifteen = replace(sample(), scheme="kaggle15", points=np.zeros((15, 2), np.float32))
        return [sample(), fifteen, replace(sample(), split="train")]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(READERS, "mixed", read)
        assert [s.scheme for s in landmark_errors.samples_of(tmp_path, "mixed", "ibug68")] == ["ibug68"]
        both = landmark_errors.samples_of(tmp_path, "mixed", "kaggle15")
    assert [s.scheme for s in both] == ["ibug68", "kaggle15"]


def test_a_prepared_set_is_measured_in_pixels_of_its_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(20, 60, (3, 68, 2)).astype(np.float32)
    transforms = np.tile(np.array([[2, 0, 3], [0, 2, -5]], np.float32), (3, 1, 1))
    in_crop = align.apply(transforms, truth)
    faces = crops.Crops(
        images=np.zeros((3, 140, 140, 3), np.uint8),
        points=in_crop,
        five=five_of_ibug68(in_crop),
        transforms=transforms,
        corners=np.zeros((3, 4, 2), np.float32),
        detected=np.ones(3, bool),
        names=("a", "b", "c"),
        photos=("a", "b", "c"),
        span=80,
    )
    crops.save(tmp_path / "validation.tfrecord", faces)
    found, labels = landmark_errors.on_prepared(tmp_path / "validation.tfrecord", session("ibug68"))
    np.testing.assert_allclose(labels, truth, atol=1e-3)
    expected = (69.5 - np.array([3, -5])) / 2  # the crop's middle, in the picture
    np.testing.assert_allclose(found, np.tile(expected, (3, 68, 1)), atol=1e-3)


def test_an_embedder_is_no_landmark_net() -> None:
    with pytest.raises(BadModel, match="sface is no landmark net"):
        landmark_errors.load_session(Path("models"), "sface")
