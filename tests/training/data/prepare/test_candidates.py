"""Candidates that a detector proposes, and estimated boxes of portraits."""

import numpy as np
import pytest
from numpy import ndarray

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import NO_FACES, Faces
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from training.data.datasets.scenes import Portrait, Scene
from training.data.prepare.candidates import PORTRAIT_STEP, mine, portrait_boxes


class Proposals:
    """Boxes and scores of a stage."""

    def __init__(self, boxes: ndarray, scores: ndarray) -> None:
        self.boxes, self.scores = boxes, scores


class StagedDetector(Detector):
    """Proposes as many boxes as the photo's first pixel says; R-Net keeps the first, moved by 1 pixel."""

    def __init__(self, faces: Faces = NO_FACES) -> None:
        self.faces = faces
        self.detections = 0

    def propose(self, picture: ImagePyramid, min_face_size: float) -> Proposals:  # type: ignore[override]
        count = int(picture[0][0, 0, 0])
        boxes = np.arange(4 * count, dtype=np.float32).reshape(count, 4)
        return Proposals(boxes, np.linspace(0.1, 0.9, count, dtype=np.float32))

    def refine(self, picture: ImagePyramid, proposals: Proposals) -> Proposals:  # type: ignore[override]
        return Proposals(proposals.boxes[:1] + 1, proposals.scores[:1])

    def detect(self, picture: ImagePyramid, options: DetectOptions, timing: Timing) -> Faces:
        self.detections += 1
        return self.faces


def photo(count: int) -> Scene:
    image = np.full((20, 20, 3), count, np.uint8)
    return Scene(f"{count}.png", ImagePyramid(image), np.empty((0, 4), np.float32), np.empty(0, bool))


def test_the_proposals_of_all_photos_are_candidates() -> None:
    candidates = mine(StagedDetector(), [photo(2), photo(0), photo(3)], refined=False)
    assert candidates.photo.tolist() == [0, 0, 2, 2, 2]
    assert candidates.boxes[:3].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]
    np.testing.assert_allclose(candidates.scores[:2], [0.1, 0.9])


def test_behind_rnet_its_boxes_are_candidates() -> None:
    candidates = mine(StagedDetector(), [photo(2), photo(3)], refined=True)
    assert candidates.photo.tolist() == [0, 1]
    assert candidates.boxes.tolist() == [[1, 2, 3, 4]] * 2


FIVE = np.array([[30, 40], [50, 40], [40, 52], [33, 62], [47, 62]], np.float32)


def portraits(count: int) -> list[Portrait]:
    image = ImagePyramid(np.zeros((100, 100, 3), np.uint8))
    return [Portrait(str(i), image, FIVE * (1 + i / 10)) for i in range(count)]


def test_a_portrait_gets_a_box_around_its_points_as_the_detectors_box_lies() -> None:
    box = np.array([[20, 20, 60, 75]], np.float32)
    around = np.concatenate([np.array([[90, 90, 99, 99]], np.float32), box])  # the first holds no centre
    detector = StagedDetector(Faces(around, np.ones(2, np.float32), np.zeros((2, 5, 2), np.float32)))
    boxes = portrait_boxes(detector, portraits(PORTRAIT_STEP))
    assert detector.detections == 1
    assert boxes[0] == pytest.approx(box[0], abs=1e-3)
    for i, scaled in enumerate(boxes):
        assert scaled == pytest.approx(box[0] * (1 + i / 10), abs=1e-3)


def test_portraits_in_which_no_face_is_found_are_an_error() -> None:
    with pytest.raises(ValueError, match="found no face in any of the portraits"):
        portrait_boxes(StagedDetector(), portraits(2))
