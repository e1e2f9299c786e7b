"""Quarter turns of images, and the positions of faces in the image before its turn.

A rotation is the angle in degrees by which an image is turned clockwise.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

Rotation = Literal[0, 90, 180, 270]
"""Angle in degrees, clockwise."""

TURNS: tuple[Rotation, ...] = (90, 180, 270)
"""The rotations that turn an image at all."""

Size = tuple[int, int]
"""Width and height of an image in pixels."""


def turn(images: UInt8[ndarray, "*n h w 3"], rotation: Rotation) -> UInt8[ndarray, "*n height width 3"]:
    """Return one or more images, RGB, turned clockwise."""
    return np.ascontiguousarray(np.rot90(images, -rotation // 90, axes=(-3, -2)))


def points_before_turn(
    points: Float32[ndarray, "n k 2"], rotation: Rotation, size: Size
) -> Float32[ndarray, "n k 2"]:
    """Return points in the pixels of an image, from those in the turned image.

    Args:
        points: points in the turned image; pixel centres are at integers.
        rotation: the rotation of the turned image.
        size: size of the image before the turn.
    """
    return _before_turn(points, rotation, (size[0] - 1, size[1] - 1))


def boxes_before_turn(
    boxes: Float32[ndarray, "n 4"], rotation: Rotation, size: Size
) -> Float32[ndarray, "n 4"]:
    """Return boxes in the pixels of an image, from those in the turned image.

    Args:
        boxes: half-open boxes in the turned image.
        rotation: the rotation of the turned image.
        size: size of the image before the turn.
    """
    corners = _before_turn(boxes.reshape(-1, 2, 2), rotation, size)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def boxes_after_turn(
    boxes: Float32[ndarray, "n 4"], rotation: Rotation, size: Size
) -> Float32[ndarray, "n 4"]:
    """Return boxes in the pixels of the turned image, from those in the image.

    Args:
        boxes: half-open boxes in the image.
        rotation: the rotation of the turned image.
        size: size of the image before the turn.
    """
    turned: Size = size if rotation in {0, 180} else (size[1], size[0])
    back: dict[Rotation, Rotation] = {0: 0, 90: 270, 180: 180, 270: 90}
    return boxes_before_turn(boxes, back[rotation], turned)


def angle_to_upright(points: Float32[ndarray, "*n 5 2"]) -> Float32[ndarray, "*n"]:
    """Return by how many degrees each face has to be turned clockwise to be upright, -180 to 180.

    Args:
        points: five points per face, in the order of `points.FIVE`.
    """
    down = points[..., 3:, :].mean(axis=-2) - points[..., :2, :].mean(axis=-2)  # from the eyes to the mouth
    return np.degrees(np.arctan2(down[..., 0], down[..., 1])).astype(np.float32)


def angle_between(a: Float32[ndarray, "..."], b: Float32[ndarray, "..."]) -> Float32[ndarray, "..."]:
    """Return the differences of angles in degrees, 0 to 180. The arrays are broadcast."""
    return np.abs((a - b + 180) % 360 - 180)


def _before_turn(points: ndarray, rotation: Rotation, far: tuple[float, float]) -> ndarray:
    """Return points before a turn, where the corner opposite of the origin is at `far`."""
    x, y = points[..., 0], points[..., 1]
    match rotation:
        case 0:
            return points
        case 90:
            x, y = y, far[1] - x
        case 180:
            x, y = far[0] - x, far[1] - y
        case 270:
            x, y = far[0] - y, x
    return np.stack([x, y], axis=-1).astype(np.float32)
