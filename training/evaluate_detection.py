"""Detection measured on WIDER FACE, on MTFL's five points and on pictures without a face.

What is measured is a `Finder`, so that other libraries' detectors can stand beside the service's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.runtime.timing import Timing
from app.vision.pyramid import AnyImage, ImagePyramid
from training.average_precision import Matched, average_precision, curve, match
from training.data import faceless, wider
from training.data.images import read_image
from training.data.scenes import Portrait, read_mtfl

LOW_THRESHOLD = 0.02
LEAST_HEIGHT = 20.0
BANDS = ((20, 40), (40, 80), (80, 100_000))
BOXES_A_PICTURE = (1, 2, 5, 10, 20, 50, 100)
CURVE_POINTS = 200


@dataclass(frozen=True)
class Found:
    """A picture's detections at a low threshold: boxes (n, 4), scores (n,), points (n, 5, 2) as `FIVE`."""

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    points: Float32[ndarray, "n 5 2"]

    def take(self, index: ndarray) -> "Found":
        """Those at `index`."""
        return Found(self.boxes[index], self.scores[index], self.points[index])


Finder = Callable[[AnyImage], Found]


@dataclass(frozen=True)
class DetectionFigures:
    """What there is to say of one detector. Rates and counts at the threshold are at its default one."""

    model: str
    pictures: int
    faces: int
    average_precision: float
    recall: float
    by_height: dict[str, float]
    recall_by_boxes: dict[str, float]
    threshold: float
    recall_at_threshold: float
    false_alarms_at_threshold: float
    alarms_without_faces: int
    points_error: float
    points_shift: tuple[float, float]
    points_error_less_shift: float
    points_missed: int
    precision_recall: list[tuple[float, float]]


def served(detector: Detector) -> Finder:
    """The service's own detector."""
    options = DetectOptions(min_face_size=LEAST_HEIGHT, threshold=LOW_THRESHOLD)

    def find(image: AnyImage) -> Found:
        faces = detector.detect(ImagePyramid(image), options, Timing())
        return Found(faces.boxes, faces.scores, faces.points)

    return find


def detect_all(find: Finder, pictures: list[wider.LabelledPicture]) -> list[Found]:
    """What is found in every picture."""
    return [
        find(read_image(picture.path))
        for picture in tqdm(pictures, desc="detection", unit="picture", disable=None)
    ]


def match_all(
    pictures: list[wider.LabelledPicture],
    found: list[Found],
    least: float = LEAST_HEIGHT,
    most: float = np.inf,
) -> list[Matched]:
    """Every picture's detections against its labels; faces invalid or of another height are ignored."""
    matched = []
    for picture, of in zip(pictures, found, strict=True):
        height = picture.boxes[:, 3] - picture.boxes[:, 1]
        ignore = picture.invalid | (height < least) | (height >= most)
        matched.append(match(of.boxes, of.scores, picture.boxes, ignore))
    return matched


def above(found: list[Found], threshold: float) -> list[Found]:
    """The detections with a greater score."""
    return [of.take(np.flatnonzero(of.scores > threshold)) for of in found]


def best(found: list[Found], most: int) -> list[Found]:
    """The best-scored of each picture, so many at most."""
    return [of.take(np.argsort(-of.scores, kind="stable")[:most]) for of in found]


def recall(matched: list[Matched]) -> float:
    """The share of wanted faces that were found."""
    return sum(int(m.hit.sum()) for m in matched) / max(1, sum(m.wanted for m in matched))


def false_alarms(matched: list[Matched]) -> float:
    """Detections of nothing, a picture."""
    return sum(int((~m.hit & ~m.ignored).sum()) for m in matched) / max(1, len(matched))


@dataclass(frozen=True)
class PointsError:
    """Five points on portraits: mean distance over that of the eyes, and the same less a common shift.

    `shift` is the median of where the found points lie from the labels, in pixels; `missed` are the faces
    that were not found.
    """

    error: float
    shift: tuple[float, float]
    less_shift: float
    missed: int


def points_error(find: Finder, portraits: list[Portrait]) -> PointsError:
    """How far the five points are off.

    Of several faces the surest whose box holds the middle of the labels counts. NaN where none was found.
    """
    off, apart = [], []
    for portrait in tqdm(portraits, desc="five points", unit="picture", disable=None):
        found = find(portrait.picture[0])
        middle = portrait.points.mean(axis=0)
        around = ((found.boxes[:, :2] < middle) & (found.boxes[:, 2:] > middle)).all(axis=1)
        if around.any():
            chosen = np.flatnonzero(around)[found.scores[around].argmax()]
            apart.append(np.linalg.norm(portrait.points[0] - portrait.points[1]))
            off.append(found.points[chosen] - portrait.points)
    if not off:
        return PointsError(float("nan"), (float("nan"), float("nan")), float("nan"), len(portraits))
    each, eyes = np.stack(off), np.array(apart)
    shift = np.median(each.mean(axis=1), axis=0)

    def error(of: ndarray) -> float:
        return float((np.linalg.norm(of, axis=2).mean(axis=1) / eyes).mean())

    return PointsError(
        error(each), (float(shift[0]), float(shift[1])), error(each - shift), len(portraits) - len(off)
    )


def measure(find: Finder, model: str, threshold: float, data: Path) -> DetectionFigures:
    """All figures of a detector: AP at IoU 0.5 for faces of 20 pixels or more, and the rest."""
    pictures = list(wider.read(data / "wider", "val"))
    found = detect_all(find, pictures)
    matched, sure = match_all(pictures, found), match_all(pictures, above(found, threshold))
    without = [find(image) for image in tqdm(faceless.pictures(), desc="no faces", disable=None)]
    points = points_error(find, read_mtfl(data / "mtfl5", "testing"))
    return DetectionFigures(
        model,
        len(pictures),
        sum(m.wanted for m in matched),
        average_precision(matched),
        recall(matched),
        {f"{low}-{high}": average_precision(match_all(pictures, found, low, high)) for low, high in BANDS},
        {str(most): recall(match_all(pictures, best(found, most))) for most in BOXES_A_PICTURE},
        threshold,
        recall(sure),
        false_alarms(sure),
        sum(len(of.scores) for of in above(without, threshold)),
        points.error,
        points.shift,
        points.less_shift,
        points.missed,
        _thinned(matched),
    )


def _thinned(matched: list[Matched]) -> list[tuple[float, float]]:
    _, precision, found = curve(matched)
    chosen = np.unique(np.linspace(0, len(found) - 1, CURVE_POINTS).astype(int)) if len(found) else ()
    return [(round(float(found[i]), 4), round(float(precision[i]), 4)) for i in chosen]
