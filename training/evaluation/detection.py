"""Measure a detector on WIDER FACE, on the five points of MTFL, and on images without faces.

A detector is any `DetectFunction`, so that detectors of other libraries are measured in the same way.
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
from training.data.datasets import synthetic_negatives, wider
from training.data.datasets.images import read_image
from training.data.datasets.scenes import Portrait, read_mtfl
from training.metrics.detection import (
    Matches,
    average_precision,
    false_positives_per_image,
    match,
    precision_recall,
    recall,
)

LOW_THRESHOLD = 0.02
"""Score above which detections enter the precision-recall curve."""

MIN_HEIGHT = 20.0
"""Height in pixels below which a labelled face is ignored."""

HEIGHT_BANDS = ((20, 40), (40, 80), (80, 100_000))
BOXES_PER_IMAGE = (1, 2, 5, 10, 20, 50, 100)
CURVE_POINTS = 200


@dataclass(frozen=True)
class Detections:
    """The detections in one image.

    Attributes:
        boxes: x1, y1, x2, y2 in pixels.
        scores: scores.
        points: five points per face in pixels, in the order of `app.vision.points.FIVE`.
    """

    boxes: Float32[ndarray, "n 4"]
    scores: Float32[ndarray, " n"]
    points: Float32[ndarray, "n 5 2"]

    def take(self, index: ndarray) -> "Detections":
        """Return the detections at these indices."""
        return Detections(self.boxes[index], self.scores[index], self.points[index])


DetectFunction = Callable[[AnyImage], Detections]
"""Returns the detections in an RGB image, including those with low scores."""


@dataclass(frozen=True)
class FivePointError:
    """The error of the five points on portraits.

    Attributes:
        nme: mean distance from the labels over the interocular distance, here that of the eye centres.
        shift: median offset of the points from the labels, x and y in pixels.
        nme_without_shift: NME after the shift is subtracted.
        undetected: number of portraits without a detection on the face.
    """

    nme: float
    shift: tuple[float, float]
    nme_without_shift: float
    undetected: int


@dataclass(frozen=True)
class DetectionFigures:
    """The figures of one detector.

    Attributes:
        model: name of the detector.
        images: number of images of WIDER FACE.
        faces: number of their faces that are not ignored.
        average_precision: AP at IoU 0.5.
        recall: recall at `LOW_THRESHOLD`.
        ap_by_height: AP by band of the faces' heights.
        recall_by_boxes: recall with only the n detections with the highest scores in each image, by n.
        threshold: default threshold of the detector; the next three figures are measured at it.
        recall_at_threshold: recall.
        false_positives_per_image: mean number of false positives per image.
        false_positives_without_faces: number of detections in the images without faces.
        points_nme: this and the next three figures are those of `FivePointError`.
        points_shift: see there.
        points_nme_without_shift: see there.
        points_undetected: see there.
        precision_recall: points of the curve, recall and precision.
    """

    model: str
    images: int
    faces: int
    average_precision: float
    recall: float
    ap_by_height: dict[str, float]
    recall_by_boxes: dict[str, float]
    threshold: float
    recall_at_threshold: float
    false_positives_per_image: float
    false_positives_without_faces: int
    points_nme: float
    points_shift: tuple[float, float]
    points_nme_without_shift: float
    points_undetected: int
    precision_recall: list[tuple[float, float]]


def detect_function(detector: Detector) -> DetectFunction:
    """Return a detector of the service as a function with a low threshold."""
    options = DetectOptions(min_face_size=MIN_HEIGHT, threshold=LOW_THRESHOLD)

    def detect(image: AnyImage) -> Detections:
        faces = detector.detect(ImagePyramid(image), options, Timing())
        return Detections(faces.boxes, faces.scores, faces.points)

    return detect


def detect_all(detect: DetectFunction, images: list[wider.LabelledImage]) -> list[Detections]:
    """Return the detections in each image."""
    return [
        detect(read_image(image.path)) for image in tqdm(images, desc="detection", unit="image", disable=None)
    ]


def match_all(
    images: list[wider.LabelledImage],
    detections: list[Detections],
    min_height: float = MIN_HEIGHT,
    max_height: float = np.inf,
) -> list[Matches]:
    """Match the detections in each image with its labels.

    Args:
        images: the labelled images.
        detections: the detections in each image.
        min_height: height in pixels from which a face counts.
        max_height: height in pixels from which a face is ignored.

    Returns:
        The matches in each image. Faces of other heights and faces marked invalid are ignored.
    """
    matches = []
    for image, found in zip(images, detections, strict=True):
        height = image.boxes[:, 3] - image.boxes[:, 1]
        ignore = image.invalid | (height < min_height) | (height >= max_height)
        matches.append(match(found.boxes, found.scores, image.boxes, ignore))
    return matches


def above_threshold(detections: list[Detections], threshold: float) -> list[Detections]:
    """Return the detections in each image with a score above the threshold."""
    return [found.take(np.flatnonzero(found.scores > threshold)) for found in detections]


def highest_scores(detections: list[Detections], count: int) -> list[Detections]:
    """Return the `count` detections with the highest scores in each image."""
    return [found.take(np.argsort(-found.scores, kind="stable")[:count]) for found in detections]


def five_point_error(detect: DetectFunction, portraits: list[Portrait]) -> FivePointError:
    """Return the error of the five points of a detector.

    In each portrait, the detection with the highest score counts whose box contains the centre of the labels.
    Without any such detection the errors are NaN.
    """
    offsets, eye_distances = [], []
    for portrait in tqdm(portraits, desc="five points", unit="image", disable=None):
        found = detect(portrait.picture[0])
        centre = portrait.points.mean(axis=0)
        contains = ((found.boxes[:, :2] < centre) & (found.boxes[:, 2:] > centre)).all(axis=1)
        if contains.any():
            best = np.flatnonzero(contains)[found.scores[contains].argmax()]
            eye_distances.append(np.linalg.norm(portrait.points[0] - portrait.points[1]))
            offsets.append(found.points[best] - portrait.points)
    if not offsets:
        return FivePointError(float("nan"), (float("nan"), float("nan")), float("nan"), len(portraits))
    offset, interocular = np.stack(offsets), np.array(eye_distances)
    shift = np.median(offset.mean(axis=1), axis=0)

    def nme(residual: ndarray) -> float:
        return float((np.linalg.norm(residual, axis=2).mean(axis=1) / interocular).mean())

    return FivePointError(
        nme=nme(offset),
        shift=(float(shift[0]), float(shift[1])),
        nme_without_shift=nme(offset - shift),
        undetected=len(portraits) - len(offsets),
    )


def measure(detect: DetectFunction, model: str, threshold: float, data: Path) -> DetectionFigures:
    """Return the figures of a detector.

    Args:
        detect: the detector.
        model: name of the detector in the report.
        threshold: default threshold of the detector.
        data: the folder with `wider/` and `mtfl5/`.

    Raises:
        FileNotFoundError: a dataset is missing.
    """
    images = list(wider.read(data / "wider", "val"))
    detections = detect_all(detect, images)
    matches = match_all(images, detections)
    at_threshold = match_all(images, above_threshold(detections, threshold))
    negatives = tqdm(synthetic_negatives.images(), desc="no faces", unit="image", disable=None)
    without_faces = above_threshold([detect(image) for image in negatives], threshold)
    points = five_point_error(detect, read_mtfl(data / "mtfl5", "testing"))
    return DetectionFigures(
        model=model,
        images=len(images),
        faces=sum(m.faces for m in matches),
        average_precision=average_precision(matches),
        recall=recall(matches),
        ap_by_height={
            f"{a}-{b}": average_precision(match_all(images, detections, a, b)) for a, b in HEIGHT_BANDS
        },
        recall_by_boxes={
            str(n): recall(match_all(images, highest_scores(detections, n))) for n in BOXES_PER_IMAGE
        },
        threshold=threshold,
        recall_at_threshold=recall(at_threshold),
        false_positives_per_image=false_positives_per_image(at_threshold),
        false_positives_without_faces=sum(len(found.scores) for found in without_faces),
        points_nme=points.nme,
        points_shift=points.shift,
        points_nme_without_shift=points.nme_without_shift,
        points_undetected=points.undetected,
        precision_recall=_curve(matches),
    )


def _curve(matches: list[Matches]) -> list[tuple[float, float]]:
    _, precisions, recalls = precision_recall(matches)
    last = len(recalls) - 1
    index = np.unique(np.linspace(0, last, CURVE_POINTS).astype(int)) if len(recalls) else ()
    return [(round(float(recalls[i]), 4), round(float(precisions[i]), 4)) for i in index]
