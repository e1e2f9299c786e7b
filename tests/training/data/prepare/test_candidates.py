"""Candidates that a detector proposes, and its boxes of portraits."""

import numpy as np
import pytest
from numpy import ndarray

from app.pipeline.detector import Detector
from app.vision.pyramid import ImagePyramid
from training.data.datasets.scenes import Portrait, Scene
from training.data.prepare.candidates import mine, portrait_boxes


class Proposals:
    """Boxes and scores of a stage."""

    def __init__(self, boxes: ndarray, scores: ndarray) -> None:
        self.boxes, self.scores = boxes, scores


class StagedDetector(Detector):
    """Proposes as many boxes as the photo's first pixel says; R-Net keeps the first, moved by 1 pixel."""

    def __init__(self) -> None:
        pass

    def propose(self, picture: ImagePyramid, min_face_size: float) -> Proposals:  # type: ignore[override]
        count = int(picture[0][0, 0, 0])
        boxes = np.arange(4 * count, dtype=np.float32).reshape(count, 4)
        return Proposals(boxes, np.linspace(0.1, 0.9, count, dtype=np.float32))

    def refine(self, picture: ImagePyramid, proposals: Proposals) -> Proposals:  # type: ignore[override]
        return Proposals(proposals.boxes[:1] + 1, proposals.scores[:1])


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
CUT = np.array([[35, 20, 60, 75]], np.float32)
"""A box that does not contain all of `FIVE`."""
AROUND = np.array([[20, 20, 60, 75]], np.float32)


class PortraitDetector(Detector):
    """R-Net returns the given boxes for the pictures whose first pixel is their number."""

    def __init__(self, boxes: dict[int, ndarray]) -> None:
        self.boxes = boxes

    def propose(self, picture: ImagePyramid, min_face_size: float) -> Proposals:  # type: ignore[override]
        return Proposals(np.empty((0, 4), np.float32), np.empty(0, np.float32))

    def refine(self, picture: ImagePyramid, proposals: Proposals) -> Proposals:  # type: ignore[override]
        boxes = self.boxes.get(int(picture[0][0, 0, 0]), np.empty((0, 4), np.float32))
        return Proposals(boxes, np.linspace(0.9, 0.1, len(boxes), dtype=np.float32))


def portraits(count: int) -> list[Portrait]:
    return [
        Portrait(str(i), ImagePyramid(np.full((100, 100, 3), i, np.uint8)), FIVE * (1 + i / 10))
        for i in range(count)
    ]


def test_a_portrait_gets_the_best_box_that_contains_its_points() -> None:
    found = np.concatenate([CUT, AROUND, AROUND + 3])
    boxes = portrait_boxes(PortraitDetector({0: found, 1: AROUND + 4}), portraits(2))
    np.testing.assert_array_equal(boxes, np.concatenate([AROUND, AROUND + 4]))


def test_a_portrait_without_such_a_box_gets_one_that_lies_around_its_points_as_the_others_do() -> None:
    detector = PortraitDetector({i: AROUND * (1 + i / 10) for i in range(3)} | {3: CUT})
    boxes = portrait_boxes(detector, portraits(5))
    for i, box in enumerate(boxes):
        assert box == pytest.approx(AROUND[0] * (1 + i / 10), abs=1e-3)


def test_portraits_in_which_no_face_is_found_are_an_error() -> None:
    with pytest.raises(ValueError, match="found no face in any of the portraits"):
        portrait_boxes(PortraitDetector({0: CUT}), portraits(2))
