from pathlib import Path

import numpy as np
import pytest

from app.vision.pyramid import AnyImage, ImagePyramid
from training import detection_report
from training.data.scenes import Portrait
from training.data.wider import LabelledPicture
from training.evaluate_detection import (
    DetectionFigures,
    Found,
    above,
    best,
    false_alarms,
    match_all,
    points_error,
    recall,
)

FACES = np.array([[0, 0, 20, 30], [50, 50, 90, 110], [0, 80, 8, 90]], np.float32)
PICTURE = LabelledPicture(Path("a.jpg"), FACES, np.array([False, False, False]))
POINTS = np.array([[10, 10], [20, 10], [15, 15], [11, 20], [19, 20]], np.float32)


def found(boxes: np.ndarray, scores: list[float], points: np.ndarray | None = None) -> Found:
    five = np.zeros((len(boxes), 5, 2), np.float32) if points is None else points
    return Found(boxes.astype(np.float32), np.array(scores, np.float32), five)


def test_small_faces_count_neither_way_and_bands_go_by_height() -> None:
    everything = [found(FACES, [0.9, 0.8, 0.7])]
    assert recall(match_all([PICTURE], everything)) == 1
    assert match_all([PICTURE], everything)[0].wanted == 2
    assert false_alarms(match_all([PICTURE], everything)) == 0
    small = match_all([PICTURE], everything, 20, 40)
    assert (small[0].wanted, int(small[0].hit.sum())) == (1, 1)


def test_thresholds_and_the_best_boxes() -> None:
    everything = [found(np.concatenate([FACES, [[100, 0, 130, 40]]]), [0.5, 0.8, 0.7, 0.6])]
    assert above(everything, 0.55)[0].scores.tolist() == pytest.approx([0.8, 0.7, 0.6])
    assert recall(match_all([PICTURE], best(everything, 1))) == 0.5
    assert false_alarms(match_all([PICTURE], best(everything, 3))) == 1


def test_points_are_those_of_the_surest_face_around_the_labels() -> None:
    off = POINTS + np.array([1, 0], np.float32)
    boxes = np.array([[0, 0, 30, 30], [0, 0, 40, 40], [60, 60, 80, 80]])
    answer = found(boxes, [0.5, 0.9, 0.99], np.stack([POINTS, off, POINTS]))

    def find(image: AnyImage) -> Found:
        return answer if image.max() else found(boxes[2:], [0.9])

    white, black = (ImagePyramid(np.full((80, 80, 3), v, np.uint8)) for v in (255, 0))
    error = points_error(find, [Portrait("a", white, POINTS), Portrait("b", black, POINTS)])
    assert error.error == pytest.approx(0.1)
    assert error.shift == pytest.approx((1, 0))
    assert error.less_shift == pytest.approx(0, abs=1e-5)
    assert error.missed == 1
    assert np.isnan(points_error(find, [Portrait("b", black, POINTS)]).error)


def test_the_report_names_every_detector(tmp_path: Path) -> None:
    bands = {"20-40": 0.1, "40-80": 0.2, "80-100000": 0.3}
    boxes = dict.fromkeys(["1", "2", "5", "10", "20", "50", "100"], 0.5)
    one = DetectionFigures(
        "one",
        3,
        4,
        0.81234,
        0.9,
        bands,
        boxes,
        0.8,
        0.7,
        0.05,
        2,
        0.0456,
        (1.5, -1),
        0.031,
        1,
        [(0.1, 1), (0.9, 0.4)],
    )
    text = detection_report.tables([one])
    for part in (
        "| one | 0.8123 | 0.1000 | 0.2000 | 0.3000 |",
        "| one | 0.8 | 0.700 | 0.050 | 2 |",
        "| one | 4.56% | 3.10% | 1.5, -1.0 | 1 |",
    ):
        assert part in text
    detection_report.plot([one], tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000
    assert detection_report.rows(one)["MTFL testing, faces not found"] == "1"
