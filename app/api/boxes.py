"""The `boxes` field: JSON to an array, checked."""

from typing import Any

import numpy as np
from numpy import ndarray

from app.errors import BadParameter

FIELD = "boxes"

_FAR = 1e6
_LEAST = 1.0  # a smaller box holds no pixel to look at
_DECIMALS = 3  # of a pixel, as answers have them: their boxes may be sent back
_FORM = "a list of boxes [x1, y1, x2, y2] in pixels"


def parse(value: Any, most: int) -> ndarray:
    """Boxes (n, 4) float32. Raises BadParameter where the value is no list of at most `most` proper boxes."""
    if not isinstance(value, list):
        raise BadParameter(f"The field boxes must be {_FORM}; it is {type(value).__name__}.", FIELD)
    if len(value) > most:
        raise BadParameter(f"The field boxes holds {len(value)} boxes; at most {most} are taken.", FIELD)
    for i, box in enumerate(value):
        if not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) for v in box):
            raise BadParameter(f"The field boxes must be {_FORM}; boxes[{i}] is not four numbers.", FIELD)
        if not all(abs(v) <= _FAR for v in box):  # false for nan, too
            raise BadParameter(f"The field boxes must hold finite pixels; boxes[{i}] does not.", FIELD)
    exact = np.array(value, np.float64).reshape(-1, 4)
    sides = (exact[:, 2:] - exact[:, :2]).round(_DECIMALS)
    small = np.flatnonzero((sides < _LEAST).any(axis=1))
    if len(small):
        raise BadParameter(
            "The field boxes needs x2 > x1 and y2 > y1, by 1 pixel or more; "
            f"boxes[{small[0]}] is {value[small[0]]}.",
            FIELD,
        )
    return exact.astype(np.float32)


def check_overlap(boxes: ndarray, width: int, height: int) -> None:
    """Raises BadParameter where a box lies wholly outside the picture."""
    outside = (boxes[:, 2:] <= 0).any(axis=1) | (boxes[:, :2] >= [width, height]).any(axis=1)
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise BadParameter(
            f"boxes[{i}] is {boxes[i].tolist()}, wholly outside the picture of {width} x {height} pixels.",
            FIELD,
        )
