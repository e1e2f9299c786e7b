"""Metrics of detection: matching with the labels, precision, recall and average precision at one IoU.

The protocol is that of WIDER FACE (Yang et al., 2016): a labelled face may be ignored. It is then neither a
hit nor a miss, and a detection on it is not a false positive.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from app.vision.boxes import iou


@dataclass(frozen=True)
class Matches:
    """The detections of one image after matching.

    Attributes:
        scores: scores of the detections.
        hits: whether a detection is a true positive.
        ignored: whether a detection lies on an ignored face.
        faces: number of labelled faces that are not ignored.
    """

    scores: Float[ndarray, " n"]
    hits: Bool[ndarray, " n"]
    ignored: Bool[ndarray, " n"]
    faces: int


def match(
    boxes: Float[ndarray, "n 4"],
    scores: Float[ndarray, " n"],
    labels: Float[ndarray, "m 4"],
    ignore: Bool[ndarray, " m"],
    min_iou: float = 0.5,
) -> Matches:
    """Assign each labelled face to the detection with the highest score that overlaps it enough.

    Further detections of an assigned face are false positives.

    Args:
        boxes: detected boxes x1, y1, x2, y2 in pixels.
        scores: scores of the detections.
        labels: labelled boxes.
        ignore: whether a labelled face is ignored.
        min_iou: minimum IoU of a detection and its face.

    Returns:
        The detections in descending order of score.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    overlaps = iou(boxes.astype(np.float32), labels.astype(np.float32))
    assigned = np.zeros(len(labels), bool)
    hits = np.zeros(len(boxes), bool)
    ignored = np.zeros(len(boxes), bool)
    for d in range(len(boxes) if len(labels) else 0):
        best = int(overlaps[d].argmax())
        if overlaps[d, best] < min_iou:
            continue
        if ignore[best]:
            ignored[d] = True
        elif not assigned[best]:
            assigned[best] = hits[d] = True
    return Matches(scores, hits, ignored, int((~ignore).sum()))


def precision_recall(
    matches: Sequence[Matches],
) -> tuple[Float[ndarray, " n"], Float[ndarray, " n"], Float[ndarray, " n"]]:
    """Return descending scores, and precision and recall at each of them, over all images."""
    scores = np.concatenate([m.scores[~m.ignored] for m in matches])
    hits = np.concatenate([m.hits[~m.ignored] for m in matches])
    order = np.argsort(-scores, kind="stable")
    true_positives = np.cumsum(hits[order])
    faces = max(1, sum(m.faces for m in matches))
    precision = true_positives / np.arange(1, len(true_positives) + 1)
    return scores[order], precision, true_positives / faces


def average_precision(matches: Sequence[Matches]) -> float:
    """Return the area under the precision-recall curve.

    Precision is first made monotone, as in PASCAL VOC since 2010 and in WIDER FACE.
    """
    _, precisions, recalls = precision_recall(matches)
    if len(precisions) == 0:
        return 0.0
    envelope = np.maximum.accumulate(precisions[::-1])[::-1]
    return float(np.sum(np.diff(recalls, prepend=0.0) * envelope))


def false_positive_rate(
    scores: Float[ndarray, " n"], positive: Bool[ndarray, " n"], min_recall: float
) -> float:
    """Return the share of the negatives that score at least as high as a share of the positives.

    Args:
        scores: scores of the samples.
        positive: whether a sample is positive.
        min_recall: share of the positives that the threshold keeps, above 0.

    Returns:
        The rate at the highest threshold that keeps them; 1 if there are no positives.
    """
    if not positive.any():
        return 1.0
    descending = np.sort(scores[positive])[::-1]
    threshold = descending[int(np.ceil(min_recall * len(descending))) - 1]
    return float((scores[~positive] >= threshold).sum() / max(1, (~positive).sum()))


def recall(matches: Sequence[Matches]) -> float:
    """Return the share of faces that are detected."""
    return sum(int(m.hits.sum()) for m in matches) / max(1, sum(m.faces for m in matches))


def false_positives_per_image(matches: Sequence[Matches]) -> float:
    """Return the mean number of false positives per image."""
    return sum(int((~m.hits & ~m.ignored).sum()) for m in matches) / max(1, len(matches))
