"""Boxes: overlap, non-maximum suppression, squares, offsets, voting.

A box is `x1, y1, x2, y2` in pixels of the decoded image, half-open, float32.
"""

from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int
from numpy import ndarray

Metric = Literal["iou", "iom"]


def area(boxes: Float32[ndarray, "n 4"]) -> Float32[ndarray, " n"]:
    """Return areas in square pixels; 0 for a box with x2 < x1 or y2 < y1."""
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 0)
    return size[:, 0] * size[:, 1]


def overlap(
    a: Float32[ndarray, "n 4"], b: Float32[ndarray, "m 4"], metric: Metric = "iou"
) -> Float32[ndarray, "n m"]:
    """Return the pairwise overlap in [0, 1]: intersection over union, or over the smaller box (`iom`)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    side = np.maximum(high - low, 0)
    inter = side[..., 0] * side[..., 1]
    area_a, area_b = area(a)[:, None], area(b)[None, :]
    whole = area_a + area_b - inter if metric == "iou" else np.minimum(area_a, area_b)
    return np.divide(inter, whole, out=np.zeros_like(inter), where=whole > 0)


def iou(a: Float32[ndarray, "n 4"], b: Float32[ndarray, "m 4"]) -> Float32[ndarray, "n m"]:
    """Return the pairwise intersection over union."""
    return overlap(a, b, "iou")


def nms(
    boxes: Float32[ndarray, "n 4"],
    scores: Float32[ndarray, " n"],
    threshold: float,
    metric: Metric = "iou",
) -> Int[ndarray, " k"]:
    """Return the indices of the boxes that greedy non-maximum suppression keeps, by descending score.

    Of two boxes that overlap by more than `threshold`, the lower-scored one is dropped. OpenCV implements the
    `iou` metric. `iom` uses Cluster-NMS (Zheng et al., 2020), which gives the greedy result in a few matrix
    operations.
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
    descending = np.arange(len(ranked), 0, -1, dtype=np.float32)  # ranks: OpenCV drops scores of 0
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
    """Return squares with the same centres, with `scale` times the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) * np.float32(scale / 2)
    return np.concatenate([centre - half, centre + half], axis=1)


def apply_offsets(
    boxes: Float32[ndarray, "n 4"], offsets: Float32[ndarray, "n 4"]
) -> Float32[ndarray, "n 4"]:
    """Return boxes moved by offsets in units of the box's width and height (MTCNN, Zhang et al., 2016)."""
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * np.concatenate([size, size], axis=1)


def offsets_to(boxes: Float32[ndarray, "n 4"], targets: Float32[ndarray, "n 4"]) -> Float32[ndarray, "n 4"]:
    """Return the offsets with which `apply_offsets` turns boxes into targets. Boxes must not be empty."""
    size = boxes[:, 2:] - boxes[:, :2]
    return (targets - boxes) / np.concatenate([size, size], axis=1)


def interpolate(
    boxes: Float32[ndarray, "n 4"], others: Float32[ndarray, "n 4"], weight: float
) -> Float32[ndarray, "n 4"]:
    """Return boxes moved towards others: 0 returns the boxes, 1 the others."""
    return others if weight == 1 else boxes + np.float32(weight) * (others - boxes)


def vote(
    kept: Float32[ndarray, "n 4"], all_of_them: Float32[ndarray, "m 4"], threshold: float
) -> Float32[ndarray, "n 4"]:
    """Return each kept box as the mean of the boxes whose IoU with it exceeds the threshold.

    This is box voting (Gidaris and Komodakis, 2015) without weights. The kept boxes should be among
    `all_of_them`. A box without votes is returned as it is.
    """
    near = (iou(kept, all_of_them) > threshold).astype(np.float32)
    votes = near.sum(axis=1, keepdims=True)
    return np.where(votes > 0, near @ all_of_them / np.maximum(votes, 1), kept).astype(np.float32)


def clip(boxes: Float32[ndarray, "n 4"], width: int, height: int) -> Float32[ndarray, "n 4"]:
    """Return boxes limited to the picture."""
    return np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
