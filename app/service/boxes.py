"""The field `boxes` of a request: from JSON to a validated array."""

from typing import Any

import numpy as np
from numpy import ndarray

from app.errors import BadParameter

FIELD = "boxes"

_MAX_COORDINATE = 1e6
_MIN_SIDE = 1.0  # a smaller box contains no pixel
_DECIMALS = 3  # as in responses, so that a box of a response is valid in a request
_FORM = "a list of boxes [x1, y1, x2, y2] in pixels"


def parse(value: Any, limit: int) -> ndarray:
    """Return the boxes of a request as an array.

    Args:
        value: the parsed JSON value of the field.
        limit: maximum number of boxes.

    Returns:
        Boxes (n, 4) float32, `x1, y1, x2, y2` in pixels.

    Raises:
        BadParameter: the value is not a list of at most `limit` valid boxes.
    """
    if not isinstance(value, list):
        raise BadParameter(f"The field boxes must be {_FORM}; it is {json_type(value)}.", FIELD)
    if len(value) > limit:
        raise BadParameter(f"The field boxes has {len(value)} boxes; at most {limit} are accepted.", FIELD)
    for i, box in enumerate(value):
        if not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) for v in box):
            raise BadParameter(
                f"The field boxes must be {_FORM}; boxes[{i}] is not four numbers but {_shown(box)}.", FIELD
            )
        if not all(abs(v) <= _MAX_COORDINATE for v in box):  # also false for nan
            raise BadParameter(
                f"The coordinates in the field boxes must be finite and at most {_MAX_COORDINATE:g}; "
                f"those of boxes[{i}] are not.",
                FIELD,
            )
    exact = np.array(value, np.float64).reshape(-1, 4)
    sides = (exact[:, 2:] - exact[:, :2]).round(_DECIMALS)
    small = np.flatnonzero((sides < _MIN_SIDE).any(axis=1))
    if len(small):
        raise BadParameter(
            "Each box in the field boxes must have x2 > x1 and y2 > y1, by 1 pixel or more; "
            f"boxes[{small[0]}] is {value[small[0]]}.",
            FIELD,
        )
    return exact.astype(np.float32)


def json_type(value: Any) -> str:
    """Return the type of a parsed JSON value in words."""
    names = {type(None): "null", bool: "a boolean", str: "a string", list: "a list", dict: "an object"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "a number")


def _shown(box: Any) -> str:
    """Return what stands in place of a box, in words."""
    if not isinstance(box, list):
        return json_type(box)
    if len(box) != 4:
        return f"a list of {len(box)} values"
    return f"a list with {next(json_type(v) for v in box if type(v) not in (int, float))}"


def check_overlap(boxes: ndarray, width: int, height: int) -> None:
    """Check that every box overlaps the image.

    Args:
        boxes: (n, 4) float32, in pixels of the image.
        width: width of the image in pixels.
        height: height of the image in pixels.

    Raises:
        BadParameter: a box lies completely outside the image.
    """
    outside = (boxes[:, 2:] <= 0).any(axis=1) | (boxes[:, :2] >= [width, height]).any(axis=1)
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        raise BadParameter(
            f"Each box in the field boxes must overlap the image; boxes[{i}] is {boxes[i].tolist()}, "
            f"completely outside the image of {width} x {height} pixels.",
            FIELD,
        )
