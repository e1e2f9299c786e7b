"""JSON bodies: an object with images in base64."""

import re
from typing import Any

from numpy import ndarray
from pydantic_core import from_json

from app.api import base64_text
from app.api.body_guess import guess
from app.api.fields import Fields
from app.errors import BadParameter
from app.service.boxes import FIELD as BOXES
from app.service.boxes import ONE_FIELD, json_type, parse_one

_MAX_VALUES = 256 << 10
_VALUE_MARKS = (b",", b"[", b"{")
"""Bytes that precede a value in JSON. Base64 contains none of them."""

_MAX_BOX_BYTES = 4096
_BOX_EXAMPLE = "[10, 20, 110, 140]"

_BOM = b"\xef\xbb\xbf"
_WIDE = re.compile(rb"\xff\xfe|\xfe\xff|.\0|\0.", re.DOTALL)
"""The start of a text in UTF-16 or UTF-32."""


def parse(body: bytes, fields: Fields) -> dict[str, Any]:
    """Return the fields of a body by name: images as bytes, others as parsed JSON.

    Args:
        body: the body.
        fields: the fields that the route takes.

    Raises:
        BadParameter: the body is not a valid JSON object, or a field is unknown, missing or invalid.
    """
    try:
        found = values(body)
    except ValueError as error:
        raise BadParameter(_fault(body, error)) from error
    if not isinstance(found, dict):
        example = ", ".join(f'"{name}": "BASE64"' for name in fields.images)
        raise BadParameter(f"The body must be a JSON object, {{{example}}}; it is {json_type(found)}.")
    fields.check(name for name in found for _ in range(_times(name, body) if name in fields.known else 1))
    return {name: _image(value, name) if name in fields.images else value for name, value in found.items()}


def values(text: bytes, partial: bool = False) -> Any:
    """Return parsed JSON.

    A parsed value takes up to forty times the memory of its text, so the values are counted before parsing.

    Args:
        text: the text in UTF-8, with or without a byte order mark.
        partial: whether the text may end too early.

    Raises:
        BadParameter: the text has more values than any valid request.
    """
    if sum(text.count(mark) for mark in _VALUE_MARKS) > _MAX_VALUES:
        raise BadParameter("The JSON has more values than a valid request can have. Send fewer boxes.")
    return from_json(text.removeprefix(_BOM), allow_partial="trailing-strings" if partial else False)


def parse_boxes(text: bytes) -> Any:
    """Return the JSON of the field `boxes` of a form; None if it is empty.

    Raises:
        BadParameter: the text is not valid JSON.
    """
    if not text.strip():
        return None
    try:
        return values(text)
    except ValueError as error:
        example = "[[10, 20, 110, 140]]"
        raise BadParameter(
            f"The field boxes is not valid JSON: {error}. Send a list of boxes, such as {example}.", BOXES
        ) from error


def parse_box(text: bytes | None) -> ndarray | None:
    """Return the box (1, 4) in the field `box` of a form; None if it is empty or null.

    Args:
        text: the text; None if it was too large to be kept.

    Raises:
        BadParameter: the text is not valid JSON, or not a box.
    """
    if text is None or len(text) > _MAX_BOX_BYTES:
        raise BadParameter(
            f"The field box is too large for a box: it has more than {_MAX_BOX_BYTES} bytes. Send "
            f"{_BOX_EXAMPLE}.",
            ONE_FIELD,
        )
    if not text.strip():
        return None
    try:
        value = values(text)
    except ValueError as error:
        raise BadParameter(
            f"The field box is not valid JSON: {error}. Send a box, such as {_BOX_EXAMPLE}.", ONE_FIELD
        ) from error
    return parse_one(value)


def _times(name: str, body: bytes) -> int:
    """Return how often an object has a name. JSON allows that; the last value would replace the others.

    Texts in base64 have no quotation marks, so only names match.
    """
    return max(1, len(re.findall(rb'"%s"\s*:' % name.encode(), body)))


def _fault(body: bytes, error: ValueError) -> str:
    """Return what is wrong with a body that is not JSON, and what to do, as full sentences."""
    found = guess(body)
    if not body.strip():
        reason = "it is empty. Send an object with the image in base64"
    elif _WIDE.match(body):
        reason = "it is not in UTF-8. Encode it in UTF-8"
    elif found is not None and found.media not in (None, "application/json"):
        reason = f"it is {found.what}. Send it with the content type {found.media}"
    elif found is not None and found.media is None:
        reason = f"it is {found.what}. Send an object with the image in base64"
    elif re.match(rb"\s*[{\[]\s*'", body):
        reason = f"{error}. Write names and texts in double quotation marks"
    else:
        reason = f"{error}. Let a library write the JSON"
    return f"The body is not valid JSON: {reason}."


def _image(value: Any, name: str) -> bytes:
    if not isinstance(value, str):
        raise BadParameter(
            f"The field {name} must be a string with the image in base64; it is {json_type(value)}.", name
        )
    return base64_text.decode(value, name)
