"""Settings applied to stored outputs of a cascade, on candidates whose figures are known."""

from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from numpy import ndarray

from app.pipeline.detector import Detector
from app.pipeline.faces import Faces
from training.data.datasets.wider import LabelledImage
from training.metrics.detection import Matches
from training.studies import cascade_settings
from training.studies.cascade_settings import Setting, StageOutputs

SIZE = (200, 200)
FACE = np.array([[20, 20, 70, 80]], np.float32)
IMAGE = LabelledImage(Path("a.jpg"), FACE, np.array([False]))


def outputs() -> StageOutputs:
    """Return a face, a second box on it, and a false positive that only P-Net finds likely."""
    boxes = np.concatenate([FACE, FACE + np.float32(2), FACE + np.float32(90)])
    return StageOutputs(
        proposed=boxes,
        proposal_scores=np.array([0.9, 0.6, 0.95], np.float32),
        proposal_logits=np.array([2, 1, 3], np.float32),
        rnet_logits=np.array([2, 1, -1], np.float32),
        onet_logits=np.array([3, 2, -2], np.float32),
        refined=boxes,
        final=boxes,
    )


def test_nms_keeps_the_face_and_scores_fuse_the_weighted_logits() -> None:
    setting = Setting(pnet_threshold=0.5, rnet_threshold=0.5, proposal_weight=1, rnet_weight=1)
    detections = cascade_settings.apply(outputs(), setting, SIZE)
    np.testing.assert_array_equal(detections.boxes, [FACE[0], FACE[0] + 90])
    fused = (np.array([3 + 2 + 2, -2 + 3 - 1]) / 3).astype(np.float32)
    np.testing.assert_allclose(detections.scores, 1 / (1 + np.exp(-fused)), rtol=1e-5)


def test_without_weights_the_threshold_of_rnet_applies_to_its_own_score() -> None:
    setting = Setting(pnet_threshold=0.5, rnet_threshold=0.5, proposal_weight=0, rnet_weight=0)
    detections = cascade_settings.apply(outputs(), setting, SIZE)
    np.testing.assert_array_equal(detections.boxes, FACE)
    assert detections.scores[0] == pytest.approx(1 / (1 + np.exp(-3)))


def test_the_threshold_of_pnet_drops_candidates() -> None:
    setting = Setting(pnet_threshold=0.93, rnet_threshold=0.01, proposal_weight=0, rnet_weight=0)
    detections = cascade_settings.apply(outputs(), setting, SIZE)
    np.testing.assert_array_equal(detections.boxes, FACE + 90)


def test_recall_is_counted_after_each_stage() -> None:
    away = LabelledImage(Path("b.jpg"), FACE + np.float32(60), np.array([False]))
    rows = cascade_settings.recall_by_stage([outputs(), outputs()], [IMAGE, away]).splitlines()
    assert rows[2].startswith(
        "| P-Net, 100 highest scores (mean of the lowest of them 0.60) | 0.500 |  | 0.500 |  |"
    )
    assert rows[-1].startswith("| O-Net, all | 0.500 |")


def test_settings_are_compared_by_falling_average_precision() -> None:
    rows = cascade_settings.compare([outputs()], [IMAGE], [SIZE], [0.0])
    precisions = [float(row[0]) for row in rows]
    assert precisions == sorted(precisions, reverse=True)
    assert precisions[0] == 1
    assert len(rows) == 7 * 5 * 1 * 4 * 3
    assert {row[5] for row in rows} == {"0"}


def test_the_difference_of_two_detectors_is_resampled_over_the_images() -> None:
    hit, miss = (Matches(np.array([0.9]), np.array([right]), np.array([False]), 1) for right in (True, False))
    same = cascade_settings.bootstrap_differences([hit, miss], [hit, miss])
    better = cascade_settings.bootstrap_differences([hit, miss], [hit, hit])
    assert len(same) == len(better) == cascade_settings.RESAMPLES
    assert not same.any()
    assert set(better.round(6)) <= {0.0, 0.5, 0.75, 1.0}
    assert 0.2 < better.mean() < 0.7


def test_variants_are_compared_with_the_first_detector(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.zeros((200, 200, 3), np.uint8))
    detectors = {"finds": FakeDetector(FACE), "does not find": FakeDetector(FACE + np.float32(90))}
    photo = LabelledImage(path, FACE, np.array([False]))
    rows = cascade_settings.compare_variants(cast(dict[str, Detector], detectors), [photo])
    assert [row[:3] for row in rows] == [
        ["finds", "1.0000", "+0.0000 (+0.0000 to +0.0000)"],
        ["does not find", "0.0000", "-1.0000 (-1.0000 to -1.0000)"],
    ]


class FakeDetector:
    """A detector that finds one box in every image."""

    def __init__(self, box: ndarray) -> None:
        self._box = box

    def detect(self, *_: object) -> Faces:
        return Faces(self._box, np.array([0.9], np.float32), np.zeros((1, 5, 2), np.float32))
