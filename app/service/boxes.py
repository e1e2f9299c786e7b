"""The fields `boxes` and `box` of a request: from JSON to a validated array."""

from typing import Any

import numpy as np
from numpy import ndarray

from app.errors import BadParameter

FIELD = "boxes"
"""The field with the boxes of all faces of an image."""

ONE_FIELD = "box"
"""The field with the box of the one face of an image that is meant."""

_MAX_COORDINATE = 1e6
_MIN_SIDE = 1.0  # a smaller box contains no pixel
_DECIMALS = 3  # as in responses, so that a box of a response is valid in a request
_FORM = "a list of boxes [x1, y1, x2, y2] in pixels"
_ONE_FORM = "[x1, y1, x2, y2] in pixels"
_EDGES = ("x1", "y1", "x2", "y2")


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
        _check(box, FIELD, _FORM, f"boxes[{i}]")
    return np.array(value, np.float64).reshape(-1, 4).astype(np.float32)


def parse_one(value: Any) -> ndarray | None:
    """Return the box of a request as an array.

    Args:
        value: the parsed JSON value of the field: a list of four numbers, or an object as in a response.

    Returns:
        The box (1, 4) float32, `x1, y1, x2, y2` in pixels; None if the value is null.

    Raises:
        BadParameter: the value is neither a valid box nor null.
    """
    if value is None:
        return None
    if isinstance(value, dict):
        if set(value) != set(_EDGES):
            raise BadParameter(
                f"The field box must be {_ONE_FORM}, or an object with exactly {', '.join(_EDGES)}. The "
                "object has other names.",
                ONE_FIELD,
            )
        value = [value[name] for name in _EDGES]
    _check(value, ONE_FIELD, _ONE_FORM, "it")
    return np.array([value], np.float64).astype(np.float32)


def _check(box: Any, field: str, form: str, name: str) -> None:
    """Check that a box has four finite coordinates and two sides of 1 pixel or more.

    Args:
        box: the parsed JSON value of the box.
        field: name of the field.
        form: what the field must be, for messages.
        name: name of the box in messages.

    Raises:
        BadParameter: the box is not valid.
    """
    if not isinstance(box, list) or len(box) != 4 or not all(type(v) in (int, float) for v in box):
        raise BadParameter(
            f"The field {field} must be {form}; {name} is not four numbers but {_shown(box)}.", field
        )
    if not all(abs(v) <= _MAX_COORDINATE for v in box):  # also false for nan
        whose = "they" if name == "it" else f"those of {name}"
        raise BadParameter(
            f"The coordinates in the field {field} must be finite and at most {_MAX_COORDINATE:g}; "
            f"{whose} are not.",
            field,
        )
    x1, y1, x2, y2 = box
    if min(round(x2 - x1, _DECIMALS), round(y2 - y1, _DECIMALS)) < _MIN_SIDE:
        raise BadParameter(
            f"A box in the field {field} must have x2 > x1 and y2 > y1, by 1 pixel or more; {name} is {box}.",
            field,
        )


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


def check_overlap(boxes: ndarray, width: int, height: int, field: str = FIELD) -> None:
    """Check that every box overlaps the image.

    Args:
        boxes: (n, 4) float32, in pixels of the image.
        width: width of the image in pixels.
        height: height of the image in pixels.
        field: name of the field with the boxes.

    Raises:
        BadParameter: a box lies completely outside the image.
    """
    outside = (boxes[:, 2:] <= 0).any(axis=1) | (boxes[:, :2] >= [width, height]).any(axis=1)
    if outside.any():
        i = int(np.flatnonzero(outside)[0])
        name = "it" if field == ONE_FIELD else f"{field}[{i}]"
        raise BadParameter(
            f"A box in the field {field} must overlap the image; {name} is {boxes[i].tolist()}, "
            f"completely outside the image of {width} x {height} pixels.",
            field,
        )
