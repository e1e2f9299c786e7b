"""The study of the smallest face, with a detector whose detections are known."""

from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import Faces
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid
from training.data.datasets.wider import LabelledImage
from training.studies import min_face_size
from training.studies.min_face_size import SIZES, SizeRun, measure, report

BOXES = np.array([[10, 10, 25, 31], [50, 10, 75, 45], [100, 10, 170, 110]], np.float32)  # 21, 35, 100 px high


class Fake:
    """Finds the labelled faces that are at least as high as the smallest face, and a false one at 12."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    def detect(self, picture: ImagePyramid, options: DetectOptions, timing: Timing) -> Faces:
        self.asked.append(options.min_face_size)
        assert options.threshold is None
        boxes = BOXES[BOXES[:, 3] - BOXES[:, 1] >= options.min_face_size]
        if options.min_face_size == 12:
            boxes = np.concatenate([boxes, np.array([[10, 80, 30, 100]], np.float32)])
        return Faces(boxes, np.full(len(boxes), 0.9, np.float32), np.zeros((len(boxes), 5, 2), np.float32))


@pytest.fixture
def images(tmp_path: Path) -> list[LabelledImage]:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((120, 200, 3), np.uint8))
    return [LabelledImage(tmp_path / "a.png", BOXES, np.array([False, False, False]))] * 2


def test_the_values_take_turns_on_each_image(images: list[LabelledImage]) -> None:
    fake = Fake()
    runs = measure(cast(Detector, fake), images, 2)
    assert fake.asked == list(SIZES) * 2 * len(images)
    assert [len(run.detections) for run in runs.values()] == [2] * len(SIZES)
    assert [len(runs[size].detections[0].scores) for size in (12, 20, 24, 80)] == [4, 3, 2, 1]
    assert all((run.milliseconds < 1000).all() for run in runs.values())


def test_the_table_has_recall_by_height(images: list[LabelledImage]) -> None:
    measured = measure(cast(Detector, Fake()), images, 1)
    runs = {size: SizeRun(run.detections, np.array([2000.0, 4000]) / size) for size, run in measured.items()}
    head, _, *rows = report(images, runs).split("\n\n")[0].splitlines()
    assert "| 20 to 24 px (2) |" in head
    assert "| 80 px or more (2) |" in head
    of = {row.split(" | ")[0].strip("| "): row for row in rows}
    assert of["12"] == "| 12 | 250.0 | 1.67 | 0.0% | 100.0% | 0.0% | 100.0% | 0.0% | 100.0% | 1.000 |"
    assert of["40"] == "| 40 | 75.0 | 0.50 | 0.0% | 0.0% | 0.0% | 0.0% | 0.0% | 100.0% | 0.000 |"
    assert "With 20, 100.0% of the faces of 20 px or more are found." in report(images, runs)


def test_missing_data_is_one_line_and_the_page_is_not_changed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- min-face-size -->\nold\n<!-- /min-face-size -->\n")
    with pytest.raises(SystemExit, match=r"wider_face_val_bbx_gt\.txt does not exist"):
        min_face_size.main(tmp_path, page=page)
    assert "old" in page.read_text()


def test_the_page_has_the_place_of_the_table() -> None:
    assert f"<!-- {min_face_size.MARK} -->" in min_face_size.PAGE.read_text()
