"""Detection measured through the service's own detector on WIDER FACE."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import Timing
from app.vision.image import decode
from app.vision.pyramid import Octaves
from training.average_precision import Matched, average_precision, curve, match
from training.data import wider

MAX_PIXELS = 50_000_000
LOW_THRESHOLD = 0.02
BANDS = ((20, 40), (40, 80), (80, 100_000))


@dataclass(frozen=True)
class DetectionFigures:
    """What `python -m training.evaluate detection` prints for one detector."""

    model: str
    pictures: int
    faces: int
    average_precision: float
    recall: float
    by_height: dict[str, float]
    threshold: float
    recall_at_threshold: float
    false_alarms_at_threshold: float
    milliseconds: dict[str, float]


def detect_all(
    detector: Detector, pictures: list[wider.LabelledPicture], min_face_size: float
) -> tuple[list[tuple[ndarray, ndarray]], Timing]:
    """Boxes and scores at a low threshold for every picture, and the time by stage."""
    timing = Timing()
    options = DetectOptions(min_face_size=min_face_size, threshold=LOW_THRESHOLD)
    found = []
    for picture in tqdm(pictures, desc="detection", unit="picture", disable=None):
        image = decode(picture.path.read_bytes(), MAX_PIXELS, "image")
        faces = detector.detect(Octaves(image), options, timing)
        found.append((faces.boxes, faces.scores))
    return found, timing


def match_all(
    pictures: list[wider.LabelledPicture],
    found: list[tuple[ndarray, ndarray]],
    least: float = 20,
    most: float = np.inf,
) -> list[Matched]:
    """Every picture's detections against its labels; faces invalid or of another height are ignored."""
    matched = []
    for picture, (boxes, scores) in zip(pictures, found, strict=True):
        height = picture.boxes[:, 3] - picture.boxes[:, 1]
        ignore = picture.invalid | (height < least) | (height >= most)
        matched.append(match(boxes, scores, picture.boxes, ignore))
    return matched


def measure(detector: Detector, model: str, root: Path, split: str = "val") -> DetectionFigures:
    """Average precision at IoU 0.5 for faces 20 pixels tall or more, whole and by height."""
    pictures = list(wider.read(root, split))
    found, timing = detect_all(detector, pictures, 20)
    matched = match_all(pictures, found)
    _, _, recall = curve(matched)
    threshold = detector.spec.threshold
    sure = [(boxes[scores > threshold], scores[scores > threshold]) for boxes, scores in found]
    alarms = match_all(pictures, sure)
    false = sum(int((~m.hit & ~m.ignored).sum()) for m in alarms)
    return DetectionFigures(
        model,
        len(pictures),
        sum(m.wanted for m in matched),
        average_precision(matched),
        float(recall[-1]) if len(recall) else 0.0,
        {f"{low}-{high}": average_precision(match_all(pictures, found, low, high)) for low, high in BANDS},
        threshold,
        sum(int(m.hit.sum()) for m in alarms) / max(1, sum(m.wanted for m in alarms)),
        false / max(1, len(pictures)),
        {stage: ms / max(1, len(pictures)) for stage, ms in timing.ms.items()},
    )
