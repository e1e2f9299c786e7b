"""Average precision of detections at one IoU, with faces that are neither right nor wrong to find."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from app.vision.boxes import iou


@dataclass(frozen=True)
class Matched:
    """One picture's detections: scores, whether each found a wanted face, whether it does not count."""

    scores: ndarray
    hit: ndarray
    ignored: ndarray
    wanted: int


def match(
    boxes: ndarray, scores: ndarray, truth: ndarray, ignore: ndarray, least_iou: float = 0.5
) -> Matched:
    """Gives each labelled face to the best-scored detection that overlaps it enough (WIDER's protocol).

    A detection on an `ignore` face counts neither way; a second one on a taken face is a false alarm.
    """
    order = np.argsort(-scores, kind="stable")
    boxes, scores = boxes[order], scores[order]
    overlaps = iou(boxes.astype(np.float32), truth.astype(np.float32))
    taken = np.zeros(len(truth), bool)
    hit = np.zeros(len(boxes), bool)
    ignored = np.zeros(len(boxes), bool)
    for d in range(len(boxes)):
        if len(truth) == 0:
            break
        best = int(overlaps[d].argmax())
        if overlaps[d, best] < least_iou:
            continue
        if ignore[best]:
            ignored[d] = True
        elif not taken[best]:
            taken[best] = hit[d] = True
    return Matched(scores, hit, ignored, int((~ignore).sum()))


def curve(matched: Sequence[Matched]) -> tuple[ndarray, ndarray, ndarray]:
    """Scores (falling), precision and recall over all pictures."""
    scores = np.concatenate([m.scores[~m.ignored] for m in matched])
    hits = np.concatenate([m.hit[~m.ignored] for m in matched])
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(hits[order])
    wanted = max(1, sum(m.wanted for m in matched))
    return scores[order], found / np.arange(1, len(found) + 1), found / wanted


def average_precision(matched: Sequence[Matched]) -> float:
    """Area under the precision-recall curve, precision made to fall (PASCAL VOC since 2010, WIDER)."""
    _, precision, recall = curve(matched)
    if len(precision) == 0:
        return 0.0
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
