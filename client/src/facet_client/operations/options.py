"""Keyword arguments that several operations share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypedDict

from facet_client.calls import Value
from facet_client.models.base import JsonObject
from facet_client.models.faces import Box

Orientation: TypeAlias = Literal["upright", "auto"]
"""`upright` finds upright faces; `auto` also searches turned images if there is no upright face."""

Boxes: TypeAlias = Sequence[Box | Sequence[float]]
"""Boxes of faces in pixels, each as `Box` or as `x1, y1, x2, y2`."""


class DetectOptions(TypedDict, total=False):
    """Options of detection, landmarks and embedding. Those that are left out have the service's defaults.

    Attributes:
        model: name of a model for the task; see `Facet.models`.
        min_face_size: side of the smallest face to search for, in pixels.
        threshold: minimum score of a face, 0 to 1.
        max_faces: maximum number of faces, those with the highest scores.
        orientation: `auto` also searches images turned by 90, 180 and 270 degrees.
        pose: whether to add the pose of each head.
        quality: whether to add the quality of each face for recognition.
    """

    model: str | None
    min_face_size: float | None
    threshold: float | None
    max_faces: int | None
    orientation: Orientation | None
    pose: bool
    quality: bool


class FaceOptions(TypedDict, total=False):
    """Options of the detection before a face is stored. See `DetectOptions`.

    Attributes:
        min_face_size: side of the smallest face to search for, in pixels.
        threshold: minimum score of a face, 0 to 1.
        orientation: `auto` also searches images turned by 90, 180 and 270 degrees.
    """

    min_face_size: float | None
    threshold: float | None
    orientation: Orientation | None


class PersonDetails(TypedDict, total=False):
    """What a caller says about a person.

    Attributes:
        name: name of the person, at most 200 characters. It need not be unique.
        external_id: id of the person in your own system, unique in the collection.
        metadata: a JSON object of at most 4,096 bytes.
        expires: when the person and their faces are deleted automatically; with a time zone.
    """

    name: str | None
    external_id: str | None
    metadata: JsonObject | None
    expires: datetime | None


def query_of(options: Mapping[str, Any]) -> dict[str, Value]:
    """Return options as query parameters."""
    return dict(options)


def boxes_field(boxes: Boxes | None) -> dict[str, str | list[str]]:
    """Return the field `boxes` of a form; nothing without boxes.

    Args:
        boxes: the boxes.
    """
    return {} if boxes is None else {"boxes": json.dumps([_corners(box) for box in boxes])}


def box_fields(
    boxes: Sequence[Box | Sequence[float] | None] | None, images: int
) -> dict[str, str | list[str]]:
    """Return the fields `box` of a form, one for each image; nothing without boxes.

    Args:
        boxes: a box for each image; None for the largest face of an image.
        images: number of images.

    Raises:
        ValueError: there are more or fewer boxes than images.
    """
    if boxes is None:
        return {}
    if len(boxes) != images:
        raise ValueError(
            f"There are {len(boxes)} boxes for {images} images. Pass a box for each image, and None for an "
            "image whose largest face is meant."
        )
    return {"box": ["null" if box is None else json.dumps(_corners(box)) for box in boxes]}


def _corners(box: Box | Sequence[float]) -> list[float]:
    if isinstance(box, Box):
        return [box.x1, box.y1, box.x2, box.y2]
    return [float(value) for value in box]
