"""Predictions on samples and on prepared crops, of nets whose output is known."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy import ndarray

from app.errors import UnknownModel
from app.pipeline.landmarks import Landmarker
from app.vision import align
from app.vision.points import COUNTS, Scheme, fifteen_of_ibug68, five_of_ibug68
from app.vision.spec import LandmarkSpec, ONetSpec
from tests.fakes import COMMON, FIVE_IN_BOX, FakeDetector, FakeSession
from training.data.datasets.landmark_sets import READERS, Sample
from training.data.storage import landmark_crops
from training.evaluation import landmarks as landmark_evaluation
from training.evaluation.user_errors import UserError

SIZE = 16
BOX = np.array([5, 16, 45, 144], np.float32)
"""The left box of the fake detector in an image of 100x160 pixels."""


def session(scheme: Scheme) -> FakeSession:
    """Return a net whose points all lie at the centre of the crop."""
    spec = LandmarkSpec(model="middle", size=SIZE, template="arcface", scheme=scheme, **COMMON)
    width = 2 * COUNTS[scheme]
    return FakeSession(spec, lambda images: {"points": np.full((len(images), width), 0.5, np.float32)})


def detector() -> FakeDetector:
    spec = ONetSpec(model="d", size=48, crop=1.0, threshold=0.7, nms=0.7, nms_metric="iom", **COMMON)
    return FakeDetector(spec)


def sample(brightness: int = 255) -> Sample:
    """Return a face whose points fill the left box of the fake detector."""
    points = np.random.default_rng(0).uniform(BOX[:2], BOX[2:], (68, 2)).astype(np.float32)
    points[0], points[1] = BOX[:2], BOX[2:]
    return Sample("s", "p", np.full((160, 100, 3), brightness, np.uint8), points, "ibug68", "test")


def crop_centre() -> ndarray:
    """Return the centre of the crop of the detected face, in pixels of the image."""
    five = BOX[:2] + FIVE_IN_BOX * (BOX[2:] - BOX[:2])
    to_image = align.invert(align.umeyama(five[None], align.template("arcface", SIZE)))
    return align.apply(to_image, np.full((1, 1, 2), (SIZE - 1) / 2, np.float32))[0, 0]


@pytest.mark.parametrize("scheme", ["ibug68", "kaggle15"])
def test_predictions_end_to_end_and_from_ground_truth_boxes(scheme: Scheme) -> None:
    bright, dark = sample(), replace(sample(brightness=0), name="dark")
    predictions = landmark_evaluation.measure([bright, dark], detector(), Landmarker(session(scheme)))
    assert predictions.detected.tolist() == [True, False]
    assert predictions.undetected == ["dark"]
    expected = np.tile(crop_centre(), (COUNTS[scheme], 1))
    np.testing.assert_allclose(predictions.end_to_end[0], expected, rtol=1e-4)
    assert np.isfinite(predictions.ground_truth).all()
    labels = bright.points if scheme == "ibug68" else fifteen_of_ibug68(bright.points[None])[0]
    np.testing.assert_array_equal(predictions.labels[0], labels)


def test_a_net_of_68_points_is_measured_only_on_68_labels(tmp_path: Path) -> None:
    def read(data: Path) -> list[Sample]:
        fifteen = replace(sample(), scheme="kaggle15", points=np.zeros((15, 2), np.float32))
        return [sample(), fifteen, replace(sample(), split="train")]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(READERS, "mixed", read)
        only = landmark_evaluation.read_test_samples(tmp_path, "mixed", "ibug68")
        both = landmark_evaluation.read_test_samples(tmp_path, "mixed", "kaggle15")
    assert [s.scheme for s in only] == ["ibug68"]
    assert [s.scheme for s in both] == ["ibug68", "kaggle15"]


def test_a_missing_or_unknown_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"300w in .* has no test faces with labels for the scheme ibug68"):
        landmark_evaluation.read_test_samples(tmp_path, "300w", "ibug68")
    with pytest.raises(UserError, match=r"no dataset 'celeba'\. The datasets are: 300w, kaggle15"):
        landmark_evaluation.read_test_samples(tmp_path, "celeba", "ibug68")


def test_prepared_crops_are_measured_in_pixels_of_their_images(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.uniform(20, 60, (3, 68, 2)).astype(np.float32)
    transforms = np.tile(np.array([[2, 0, 3], [0, 2, -5]], np.float32), (3, 1, 1))
    in_crop = align.apply(transforms, labels)
    faces = landmark_crops.LandmarkCrops(
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
    landmark_crops.save(tmp_path / "validation.tfrecord", faces)
    predicted, read = landmark_evaluation.predict_prepared(
        tmp_path / "validation.tfrecord", session("ibug68")
    )
    np.testing.assert_allclose(read, labels, atol=1e-3)
    centre = (69.5 - np.array([3, -5])) / 2  # of the crop, in pixels of the image
    np.testing.assert_allclose(predicted, np.tile(centre, (3, 68, 1)), atol=1e-3)


def test_a_model_of_another_task_is_an_error_that_names_the_landmark_nets() -> None:
    with pytest.raises(UnknownModel, match=r"No model for landmarks is named 'sface'.*landmarks68"):
        landmark_evaluation.load_session(Path("models"), "sface")
    with pytest.raises(UnknownModel, match=r"No model for detect is named 'sface'"):
        landmark_evaluation.load_detector(Path("models"), "sface")


@pytest.mark.parametrize(("name", "run"), [(None, None), ("cnn68", Path("runs/cnn68"))])
def test_either_a_model_or_a_run_is_needed(name: str | None, run: Path | None) -> None:
    with pytest.raises(UserError, match="Give either --model or --run"):
        landmark_evaluation.open_session(Path("models"), name, run)
