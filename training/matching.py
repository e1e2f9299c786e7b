"""Which of the detector's faces is the labelled one."""

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.pipeline.faces import Faces
from app.vision.boxes import iou

LEAST_IOU = 0.3
LEAST_INSIDE = 0.5


def box_of(points: Float32[ndarray, "k 2"]) -> Float32[ndarray, " 4"]:
    """The points' bounding box (points without a label, NaN, do not count)."""
    return np.concatenate([np.nanmin(points, axis=0), np.nanmax(points, axis=0)])


def raised(box: Float32[ndarray, " 4"], share: float = 0.15) -> Float32[ndarray, " 4"]:
    """The box with its top raised by a share of its height, as a detector's box holds the forehead."""
    return box - np.array([0, share * (box[3] - box[1]), 0, 0], np.float32)


def labelled(faces: Faces, points: Float32[ndarray, "k 2"]) -> int | None:
    """The index of the face that overlaps the labelled points' box most, None where none is that face.

    It must reach IoU 0.3 with their box and hold half of the points. A detector's box is not the points' box,
    so more would throw right faces away; a neighbour's face reaches neither.
    """
    if len(faces) == 0:
        return None
    overlaps = iou(faces.boxes, box_of(points)[None])[:, 0]
    best = int(overlaps.argmax())
    low, high = faces.boxes[best, :2], faces.boxes[best, 2:]
    known = points[np.isfinite(points).all(axis=1)]
    inside = ((known >= low) & (known <= high)).all(axis=1).mean()
    return best if overlaps[best] >= LEAST_IOU and inside >= LEAST_INSIDE else None
