"""Boxes: overlap, non-maximum suppression (NMS), squares, offsets and voting.

A box is `x1, y1, x2, y2` in pixels of the decoded image, half-open, float32.
"""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int
from numpy import ndarray

Metric = Literal["iou", "iom"]

_BLOCK = 1 << 20
"""Number of pairs of boxes that vote at once. Each needs about 20 bytes."""


def area(boxes: Float32[ndarray, "n 4"]) -> Float32[ndarray, " n"]:
    """Return the areas of boxes in square pixels; 0 for a box with x2 < x1 or y2 < y1."""
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return size[:, 0] * size[:, 1]


def overlap(
    a: Float32[ndarray, "n 4"], b: Float32[ndarray, "m 4"], metric: Metric = "iou"
) -> Float32[ndarray, "n m"]:
    """Return the overlap of each box of `a` with each box of `b`, 0 to 1.

    Args:
        a: boxes.
        b: boxes.
        metric: `iou`, intersection over union; or `iom`, intersection over the area of the smaller box.
    """
    inter = _shared_side(a, b, 0) * _shared_side(a, b, 1)
    area_a, area_b = area(a)[:, None], area(b)[None, :]
    whole = area_a + area_b - inter if metric == "iou" else np.minimum(area_a, area_b)
    return np.divide(inter, whole, out=np.zeros_like(inter), where=whole > 0)


def _shared_side(
    a: Float32[ndarray, "n 4"], b: Float32[ndarray, "m 4"], axis: int
) -> Float32[ndarray, "n m"]:
    """Return the width (axis 0) or height (axis 1) that each pair of boxes shares, in pixels."""
    side = np.minimum(a[:, None, axis + 2], b[None, :, axis + 2])
    side -= np.maximum(a[:, None, axis], b[None, :, axis])
    return np.maximum(side, 0, out=side)


def iou(a: Float32[ndarray, "n 4"], b: Float32[ndarray, "m 4"]) -> Float32[ndarray, "n m"]:
    """Return the intersection over union of each box of `a` with each box of `b`, 0 to 1."""
    return overlap(a, b, "iou")


def nms(
    boxes: Float32[ndarray, "n 4"],
    scores: Float32[ndarray, " n"],
    threshold: float,
    metric: Metric = "iou",
) -> Int[ndarray, " k"]:
    """Return the indices of the boxes that greedy non-maximum suppression keeps, by descending score.

    The metric `iou` uses OpenCV. The metric `iom` uses Cluster-NMS (Zheng et al., 2020), which gives the same
    result as greedy suppression in a few matrix operations.

    Args:
        boxes: boxes.
        scores: their scores.
        threshold: overlap above which the box with the lower score is dropped.
        metric: `iou` or `iom`, see `overlap`.
    """
    if len(boxes) == 0:
        return np.empty(0, np.int64)
    order = np.argsort(-scores, kind="stable")
    ranked = boxes[order]
    if metric == "iou":
        return order[_greedy_iou(ranked, threshold)]
    return order[_fixpoint(np.triu(overlap(ranked, ranked, metric) > threshold, k=1))]


def _greedy_iou(ranked: ndarray, threshold: float) -> ndarray:
    xywh = ranked.astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    descending = np.arange(len(ranked), 0, -1, dtype=np.float32)  # ranks, since OpenCV drops scores of 0
    kept = cv2.dnn.NMSBoxes(xywh.tolist(), descending.tolist(), 0.0, threshold)
    return np.asarray(kept, np.int64).reshape(-1)


def _fixpoint(suppresses: Bool[ndarray, "n n"]) -> Bool[ndarray, " n"]:
    keep: ndarray = np.ones(len(suppresses), bool)
    while True:
        new: ndarray = ~suppresses[keep].any(axis=0)
        if np.array_equal(new, keep):
            return keep
        keep = new


def square(boxes: Float32[ndarray, "n 4"], scale: float = 1.0) -> Float32[ndarray, "n 4"]:
    """Return squares with the centres of the boxes and `scale` times their longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) * np.float32(scale / 2)
    return np.concatenate([centre - half, centre + half], axis=1)


def apply_offsets(
    boxes: Float32[ndarray, "n 4"], offsets: Float32[ndarray, "n 4"]
) -> Float32[ndarray, "n 4"]:
    """Return the boxes moved by offsets, as the nets of MTCNN predict them (Zhang et al., 2016).

    Args:
        boxes: boxes.
        offsets: offsets of x1, y1, x2, y2 in units of the width and height of each box.
    """
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * np.concatenate([size, size], axis=1)


def offsets_to(boxes: Float32[ndarray, "n 4"], targets: Float32[ndarray, "n 4"]) -> Float32[ndarray, "n 4"]:
    """Return the offsets for `apply_offsets` that turn the boxes, none of them empty, into the targets."""
    size = boxes[:, 2:] - boxes[:, :2]
    return (targets - boxes) / np.concatenate([size, size], axis=1)


def interpolate(
    boxes: Float32[ndarray, "n 4"], others: Float32[ndarray, "n 4"], weight: float
) -> Float32[ndarray, "n 4"]:
    """Return the linear interpolation between boxes (weight 0) and others (weight 1)."""
    return others if weight == 1 else boxes + np.float32(weight) * (others - boxes)


def vote(
    kept: Float32[ndarray, "n 4"], all_of_them: Float32[ndarray, "m 4"], threshold: float
) -> Float32[ndarray, "n 4"]:
    """Return the kept boxes, each replaced by the mean of the boxes whose IoU with it exceeds a threshold.

    This is box voting (Gidaris and Komodakis, 2015) without weights. If no box exceeds the threshold, the
    kept box is returned unchanged.

    Args:
        kept: the boxes that non-maximum suppression kept.
        all_of_them: all boxes, the kept ones included.
        threshold: minimum IoU of a vote.
    """
    rows = max(1, _BLOCK // max(1, len(all_of_them)))
    blocks = [kept[start : start + rows] for start in range(0, len(kept), rows)]
    return np.concatenate([kept[:0], *(_vote(block, all_of_them, threshold) for block in blocks)])


def _vote(kept: ndarray, all_of_them: ndarray, threshold: float) -> ndarray:
    near = (iou(kept, all_of_them) > threshold).astype(np.float32)
    votes = near.sum(axis=1, keepdims=True)
    return np.where(votes > 0, near @ all_of_them / np.maximum(votes, 1), kept).astype(np.float32)


def clip(boxes: Float32[ndarray, "n 4"], width: int, height: int) -> Float32[ndarray, "n 4"]:
    """Return the boxes clipped to an image of this width and height in pixels."""
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
