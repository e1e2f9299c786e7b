"""The `boxes` field of a request: JSON to a validated array."""

from typing import Any

import numpy as np
from numpy import ndarray

from app.errors import BadParameter

FIELD = "boxes"

_MAX_COORDINATE = 1e6
_MIN_SIDE = 1.0  # a smaller box contains no pixel
_DECIMALS = 3  # as in answers, whose boxes may be sent back
_FORM = "a list of boxes [x1, y1, x2, y2] in pixels"


def parse(value: Any, limit: int) -> ndarray:
    """Return boxes (n, 4) float32.

    Raises:
        BadParameter: the value is not a list of at most `limit` valid boxes.
    """
    if not isinstance(value, list):
        raise BadParameter(f"The field boxes must be {_FORM}; it is {type(value).__name__}.", FIELD)
    if len(value) > limit:
        raise BadParameter(f"The field boxes has {len(value)} boxes; at most {limit} are accepted.", FIELD)
    for i, box in enumerate(value):
        if not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) for v in box):
            raise BadParameter(f"The field boxes must be {_FORM}; boxes[{i}] is not four numbers.", FIELD)
        if not all(abs(v) <= _MAX_COORDINATE for v in box):  # false for nan, too
            raise BadParameter(
                f"The field boxes must have finite numbers up to {_MAX_COORDINATE:g}; boxes[{i}] does not.",
                FIELD,
            )
    exact = np.array(value, np.float64).reshape(-1, 4)
    sides = (exact[:, 2:] - exact[:, :2]).round(_DECIMALS)
    small = np.flatnonzero((sides < _MIN_SIDE).any(axis=1))
    if len(small):
        raise BadParameter(
            "The field boxes needs x2 > x1 and y2 > y1, by 1 pixel or more; "
            f"boxes[{small[0]}] is {value[small[0]]}.",
            FIELD,
        )
    return exact.astype(np.float32)


def check_overlap(boxes: ndarray, width: int, height: int) -> None:
    """Raise BadParameter if a box lies completely outside the picture."""
    outside = (boxes[:, 2:] <= 0).any(axis=1) | (boxes[:, :2] >= [width, height]).any(axis=1)
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise BadParameter(
            f"The field boxes[{i}] is {boxes[i].tolist()}, completely outside the picture of "
            f"{width} x {height} pixels.",
            FIELD,
        )
