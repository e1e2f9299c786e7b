"""Figures of detectors whose detections are known."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from app.vision.pyramid import AnyImage, ImagePyramid
from tests.fakes import FakeDetector, fake_analyzer
from training.data.datasets.scenes import Portrait
from training.data.datasets.wider import LabelledImage
from training.evaluation.detection import (
    BOXES_PER_IMAGE,
    HEIGHT_BANDS,
    Detections,
    above_threshold,
    detect_function,
    five_point_error,
    highest_scores,
    match_all,
    measure,
)
from training.metrics.detection import false_positives_per_image, recall

FACES = np.array([[0, 0, 20, 30], [50, 50, 90, 110], [0, 80, 8, 90]], np.float32)
IMAGE = LabelledImage(Path("a.jpg"), FACES, np.array([False, False, False]))
POINTS = np.array([[10, 10], [20, 10], [15, 15], [11, 20], [19, 20]], np.float32)


def detections(boxes: np.ndarray, scores: list[float], points: np.ndarray | None = None) -> Detections:
    five = np.zeros((len(boxes), 5, 2), np.float32) if points is None else points
    return Detections(boxes.astype(np.float32), np.array(scores, np.float32), five)


def test_faces_outside_the_height_band_are_ignored() -> None:
    all_faces = [detections(FACES, [0.9, 0.8, 0.7])]
    assert recall(match_all([IMAGE], all_faces)) == 1
    assert match_all([IMAGE], all_faces)[0].faces == 2
    assert false_positives_per_image(match_all([IMAGE], all_faces)) == 0
    small = match_all([IMAGE], all_faces, 20, 40)
    assert (small[0].faces, int(small[0].hits.sum())) == (1, 1)


def test_detections_above_a_threshold_and_those_with_the_highest_scores() -> None:
    found = [detections(np.concatenate([FACES, [[100, 0, 130, 40]]]), [0.5, 0.8, 0.7, 0.6])]
    assert above_threshold(found, 0.55)[0].scores.tolist() == pytest.approx([0.8, 0.7, 0.6])
    assert recall(match_all([IMAGE], highest_scores(found, 1))) == 0.5
    assert false_positives_per_image(match_all([IMAGE], highest_scores(found, 3))) == 1


def test_five_points_are_those_of_the_highest_score_around_the_labels() -> None:
    shifted = POINTS + np.array([1, 0], np.float32)
    boxes = np.array([[0, 0, 30, 30], [0, 0, 40, 40], [60, 60, 80, 80]])
    found = detections(boxes, [0.5, 0.9, 0.99], np.stack([POINTS, shifted, POINTS]))

    def detect(image: AnyImage) -> Detections:
        return found if image.max() else detections(boxes[2:], [0.9])

    white, black = (ImagePyramid(np.full((80, 80, 3), v, np.uint8)) for v in (255, 0))
    error = five_point_error(detect, [Portrait("a", white, POINTS), Portrait("b", black, POINTS)])
    assert error.nme == pytest.approx(0.1)
    assert error.shift == pytest.approx((1, 0))
    assert error.nme_without_shift == pytest.approx(0, abs=1e-5)
    assert error.undetected == 1
    assert np.isnan(five_point_error(detect, [Portrait("b", black, POINTS)]).nme)


def write_datasets(data: Path) -> None:
    """Write a validation set of WIDER FACE and a test set of MTFL, with one white image each."""
    wider, mtfl = data / "wider", data / "mtfl5"
    (wider / "wider_face_split").mkdir(parents=True)
    (wider / "WIDER_val/images").mkdir(parents=True)
    (wider / "wider_face_split/wider_face_val_bbx_gt.txt").write_text(
        "a.png\n1\n5 16 40 128 0 0 0 0 0 0\n"  # the left box of the fake detector
    )
    cv2.imwrite(str(wider / "WIDER_val/images/a.png"), np.full((160, 100, 3), 255, np.uint8))
    mtfl.mkdir()
    (mtfl / "testing.txt").write_text("b.png 17 33 25 19 31 67 67 93 119 119\n")
    cv2.imwrite(str(mtfl / "b.png"), np.full((160, 100, 3), 255, np.uint8))


def test_all_figures_of_a_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [np.full((100, 100, 3), v, np.uint8) for v in (0, 255)]
    monkeypatch.setattr("training.data.datasets.synthetic_negatives.images", lambda: iter(images))
    write_datasets(tmp_path)
    detector = fake_analyzer().detector(None)
    assert isinstance(detector, FakeDetector)
    figures = measure(detect_function(detector), "fake", 0.85, tmp_path)
    assert (figures.model, figures.images, figures.faces, figures.threshold) == ("fake", 1, 1, 0.85)
    assert figures.average_precision == pytest.approx(1)
    assert figures.recall == figures.recall_at_threshold == 1
    assert figures.false_positives_per_image == 0  # the second box has a score of 0.8
    assert figures.false_positives_without_faces == 1  # one box above the threshold in the bright image
    assert list(figures.recall_by_boxes) == [str(n) for n in BOXES_PER_IMAGE]
    assert list(figures.ap_by_height) == [f"{low}-{high}" for low, high in HEIGHT_BANDS]
    assert (figures.points_undetected, figures.precision_recall[0]) == (0, (1.0, 1.0))
