"""Drawing: boxes with texts, the five points and landmarks on an image."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision.mesh_tables import LINES, TRIANGLES
from app.vision.points import IBUG68_EDGES, Scheme
from app.vision.pyramid import Image

Colour = tuple[int, int, int]

_BOX: Colour = (61, 220, 151)
_LANDMARK: Colour = (255, 209, 102)
_MESH: Colour = (120, 200, 230)
_MESH_OPACITY = 0.4
_FIVE: tuple[Colour, ...] = (
    (255, 107, 107),  # right eye
    (77, 171, 247),  # left eye
    (255, 255, 255),  # nose
    (255, 146, 43),  # mouth, right
    (132, 94, 247),  # mouth, left
)
_UNDER: Colour = (16, 20, 24)  # a dark outline, which keeps lines visible on any background

_SHIFT = 4  # fractional bits of OpenCV's fixed-point coordinates: sixteenths of a pixel
_FONT = cv2.FONT_HERSHEY_DUPLEX
_SMALLEST_TEXT = 0.35  # of the font's size, in small images
_MESH_EDGES = tuple(sorted({(t[i], t[j]) for t in TRIANGLES for i, j in ((0, 1), (1, 2), (0, 2))}))
_EDGES: dict[Scheme, tuple[tuple[int, int], ...]] = {
    "ibug68": IBUG68_EDGES,
    "kaggle15": ((2, 3), (4, 5), (6, 7), (8, 9), (11, 13), (13, 12), (12, 14), (14, 11)),
    "mesh468": tuple((a, b) for line in LINES for a, b in pairwise(line)),
}


class Marks(NamedTuple):
    """Landmarks to draw.

    Attributes:
        points: landmarks of every face, in pixels; a depth is not drawn.
        scheme: the landmark scheme, which defines the lines between the points.
    """

    points: Float32[ndarray, "n k d"]
    scheme: Scheme


def draw(
    image: Image,
    boxes: Float32[ndarray, "n 4"],
    texts: Sequence[str],
    points: Float32[ndarray, "n 5 2"],
    marks: Marks | None = None,
) -> Image:
    """Return a copy of the image with the faces drawn on it.

    Line widths depend on the size of the image and of the face. The face with the highest score is on top.

    Args:
        image: the image, RGB.
        boxes: boxes in pixels, by descending score.
        texts: a text per box, such as its score. The font has only the characters of ASCII.
        points: five points per box in pixels, in the order of `points.FIVE`.
        marks: landmarks, if there are any.
    """
    canvas = image.copy()
    whole = float(np.sqrt(image.shape[0] * image.shape[1]))
    for i in reversed(range(len(boxes))):
        face = float(np.sqrt(max(0.0, np.prod(boxes[i, 2:] - boxes[i, :2]))))
        width = float(np.clip(min(whole / 320, face / 40), 1, 24))
        _rectangle(canvas, boxes[i], width)
        if marks is not None:
            _landmarks(canvas, marks.points[i], marks.scheme, width)
        _five(canvas, points[i], width if marks is None else width * 0.75)
    for i in reversed(range(len(boxes))):
        _label(canvas, boxes[i], texts[i], whole)
    return canvas


def _fixed(values: ndarray) -> ndarray:
    # Coordinates far outside of the image, where nothing is visible, would overflow the fixed-point numbers.
    return np.round(np.clip(values, -1e6, 1e6) * (1 << _SHIFT)).astype(np.int32)


def _rectangle(canvas: ndarray, box: ndarray, width: float) -> None:
    radius = min(3 * width, float((box[2:] - box[:2]).min()) / 4)
    outline = _fixed(_rounded(box - 0.5, radius))  # a box is half-open, pixel centres are at integers
    for colour, thickness in ((_UNDER, width * 1.9), (_BOX, width)):
        cv2.polylines(canvas, [outline], True, colour, max(1, round(thickness)), cv2.LINE_AA, _SHIFT)


def _rounded(box: ndarray, radius: float) -> ndarray:
    x1, y1, x2, y2 = box
    quarter = np.linspace(0, np.pi / 2, 9)
    arc = radius * np.stack([np.cos(quarter), np.sin(quarter)], axis=1)
    turn = np.array([[0.0, 1.0], [-1.0, 0.0]])  # rotates by 90 degrees, from one corner to the next
    corners = np.array([[x2 - radius, y2 - radius], [x1 + radius, y2 - radius],
                        [x1 + radius, y1 + radius], [x2 - radius, y1 + radius]])  # fmt: skip
    return np.concatenate(
        [corner + arc @ np.linalg.matrix_power(turn, i) for i, corner in enumerate(corners)]
    )


def _five(canvas: ndarray, points: ndarray, width: float) -> None:
    for point, colour in zip(points, _FIVE, strict=True):
        _dot(canvas, point, 1.9 * width, colour, rim=0.7 * width)


def _landmarks(canvas: ndarray, points: ndarray, scheme: Scheme, width: float) -> None:
    points = points[:, :2]
    if scheme == "mesh468":
        _net(canvas, points, width)
    lines = [_fixed(points[list(edge)]) for edge in _EDGES[scheme]]
    for colour, thickness in ((_UNDER, width), (_LANDMARK, width * 0.5)):
        cv2.polylines(canvas, lines, False, colour, max(1, round(thickness)), cv2.LINE_AA, _SHIFT)
    if scheme != "mesh468":  # its points are where its lines meet
        for point in points:
            _dot(canvas, point, 0.8 * width, _LANDMARK, rim=0.3 * width)


def _net(canvas: ndarray, points: ndarray, width: float) -> None:
    """Draw the triangles of a mesh, half transparent, on the part of the canvas that they cover."""
    margin = math.ceil(width) + 1
    size = np.array(canvas.shape[1::-1])
    left, top = np.clip(np.floor(points.min(axis=0)) - margin, 0, size).astype(int)
    right, bottom = np.clip(np.ceil(points.max(axis=0)) + margin + 1, 0, size).astype(int)
    if right <= left or bottom <= top:
        return
    part = canvas[top:bottom, left:right]
    drawn = part.copy()
    lines = _fixed(points[np.array(_MESH_EDGES)] - np.array([left, top]))
    cv2.polylines(drawn, list(lines), False, _MESH, max(1, round(width * 0.3)), cv2.LINE_AA, _SHIFT)
    part[:] = cv2.addWeighted(drawn, _MESH_OPACITY, part, 1 - _MESH_OPACITY, 0)


def _dot(canvas: ndarray, point: ndarray, radius: float, colour: Colour, rim: float) -> None:
    x, y = _fixed(point).tolist()
    for shade, size in ((_UNDER, radius + max(0.5, rim)), (colour, radius)):
        cv2.circle(
            canvas, (x, y), max(1, round(size * (1 << _SHIFT))), shade, cv2.FILLED, cv2.LINE_AA, _SHIFT
        )


def _label(canvas: ndarray, box: ndarray, text: str, whole: float) -> None:
    size = float(np.clip(min(max(whole / 1100, _SMALLEST_TEXT), (box[2] - box[0]) / 150), 0.0, 4.0))
    if size < 0.3:
        return  # too small to read
    weight = max(1, round(1.4 * size))
    (wide, high), _ = cv2.getTextSize(text, _FONT, size, weight)
    pad = round(8 * size)
    height, width = canvas.shape[:2]
    left = int(np.clip(round(float(box[0])), 0, max(0, width - wide - 2 * pad)))
    above = round(float(box[1])) - high - 3 * pad
    top = (
        above if above >= 0 else int(np.clip(round(float(box[1])) + pad, 0, max(0, height - high - 2 * pad)))
    )
    corner = (left + wide + 2 * pad, top + high + 2 * pad)
    cv2.rectangle(canvas, (left, top), corner, _UNDER, cv2.FILLED)
    cv2.putText(canvas, text, (left + pad, top + pad + high), _FONT, size, _BOX, weight, cv2.LINE_AA)
