"""Find the labelled face among the faces that the detector found."""

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.pipeline.faces import Faces
from app.vision.boxes import iou

MIN_IOU = 0.3
MIN_POINTS_INSIDE = 0.5
"""Minimum IoU with the box of the labelled points, and minimum share of the points inside the detected box.

A detected box differs from the box of the points, so greater minima would reject correct detections. The
face of a neighbour reaches neither.
"""


def bounding_box(points: Float32[ndarray, "k 2"]) -> Float32[ndarray, " 4"]:
    """Return the bounding box x1, y1, x2, y2 of points; points without a label (NaN) are left out."""
    return np.concatenate([np.nanmin(points, axis=0), np.nanmax(points, axis=0)])


def raise_top(box: Float32[ndarray, " 4"], share: float = 0.15) -> Float32[ndarray, " 4"]:
    """Return the box with its top raised by a share of its height: a detected box contains the forehead."""
    return box - np.array([0, share * (box[3] - box[1]), 0, 0], np.float32)


def labelled_face(faces: Faces, points: Float32[ndarray, "k 2"]) -> int | None:
    """Return the index of the face that matches the labelled points, or None if no face does.

    The face with the greatest IoU with the box of the points is the candidate. It must reach `MIN_IOU`, and
    its box must contain `MIN_POINTS_INSIDE` of the points.

    Args:
        faces: the detected faces.
        points: the labelled points in pixels of the same image; NaN without a label.
    """
    if len(faces) == 0:
        return None
    overlaps = iou(faces.boxes, bounding_box(points)[None])[:, 0]
    best = int(overlaps.argmax())
    low, high = faces.boxes[best, :2], faces.boxes[best, 2:]
    known = points[np.isfinite(points).all(axis=1)]
    inside = ((known >= low) & (known <= high)).all(axis=1).mean()
    return best if overlaps[best] >= MIN_IOU and inside >= MIN_POINTS_INSIDE else None
