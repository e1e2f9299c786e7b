"""Geometry of the 468 points of MediaPipe's face mesh: the region of a face, iBUG's 68 points, the pose.

A mesh has x, y in pixels of the image, and z, the depth, in the same unit: it grows away from the camera and
is 0 about at the centre of the head's front. The vertices below are numbered as in the published mesh.
"""

import cv2
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision import align
from app.vision.mesh_tables import IBUG68_INNER, MIRRORED_PAIRS

RIGHT_EYE, LEFT_EYE = 33, 263
"""The outer corners of the eyes."""

CHIN, FOREHEAD = 152, 10

_NOSE, _MOUTH_RIGHT, _MOUTH_LEFT = 4, 61, 291

NEUTRAL_PITCH = 9.0
"""Degrees of the line from forehead to chin in a head that looks straight ahead."""

_JAW_ENDS = ((127, 34), (356, 264))
"""The ends of the jaw: means of two vertices at the subject's right and left temple."""

JAW_OFFSET = 0.041
"""How far the chin lies outside of the mesh, in distances of the outer eye corners."""

_EYES = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
"""The lids of the subject's right and left eye."""

_FIVE_MEAN = ((-0.5, 0), (0.5, 0), (0, 0.558), (-0.428, 1.054), (0.428, 1.054))
_FIVE_OFFSET = ((0.003, -0.01), (-0.003, -0.01), (0, 0.037), (-0.013, 0.01), (0.013, 0.01))
"""The five points of a mean mesh, and how far the detector's points lie from them, in eye distances. Measured
on the photographs of LFW's View 1 and of CelebA."""

_JAW_POINTS = 17
_CONTOUR = 256
"""Number of positions on the visible contour."""


def regions(meshes: Float32[ndarray, "n 468 3"], extent: float, size: int) -> Float32[ndarray, "n 2 3"]:
    """Return the transforms from the image to square crops of the faces, in which the eyes are level.

    Args:
        meshes: the meshes.
        extent: side of the crop over the longer side of the mesh.
        size: side of the crop in pixels.
    """
    eyes = meshes[:, LEFT_EYE, :2] - meshes[:, RIGHT_EYE, :2]
    length = np.maximum(np.linalg.norm(eyes, axis=1, keepdims=True), 1e-6)
    cos, sin = np.split(eyes / length, 2, axis=1)
    level = np.stack([np.hstack([cos, sin]), np.hstack([-sin, cos])], axis=1)
    turned = meshes[:, :, :2] @ level.transpose(0, 2, 1)
    low, high = turned.min(axis=1), turned.max(axis=1)
    scale = size / np.maximum(extent * (high - low).max(axis=1), 1e-6)
    shift = (size - 1) / 2 - scale[:, None] * (low + high) / 2
    return np.concatenate([scale[:, None, None] * level, shift[:, :, None]], axis=2).astype(np.float32)


def five_points(meshes: Float32[ndarray, "n 468 3"]) -> Float32[ndarray, "n 5 2"]:
    """Return the five points of meshes, in pixels, where the detector would place them."""
    flat = meshes[:, :, :2]
    eyes = [flat[:, list(lids)].mean(axis=1) for lids in _EYES]
    points = np.stack([*eyes, flat[:, _NOSE], flat[:, _MOUTH_RIGHT], flat[:, _MOUTH_LEFT]], axis=1)
    transforms = align.umeyama(points, np.array(_FIVE_MEAN, np.float32))
    moved = align.apply(transforms, points) + np.array(_FIVE_OFFSET, np.float32)
    return align.apply(align.invert(transforms), moved)


def rotations(meshes: Float32[ndarray, "n 468 3"]) -> Float32[ndarray, "n 3 3"]:
    """Return the axes of heads, as rows of length 1: to the subject's left, down, and to the back.

    The first axis is the mean of the lines between mirrored vertices, the second that from forehead to chin.
    """
    right, left = np.array(MIRRORED_PAIRS).T
    across = _unit((meshes[:, left] - meshes[:, right]).mean(axis=1))
    down = meshes[:, CHIN] - meshes[:, FOREHEAD]
    down = _unit(down - (down * across).sum(axis=1, keepdims=True) * across)
    return np.stack([across, down, np.cross(across, down)], axis=1).astype(np.float32)


def pose(meshes: Float32[ndarray, "n 468 3"]) -> Float32[ndarray, "n 3"]:
    """Return yaw, pitch and roll of heads in degrees; all are 0 for an upright head that faces the camera.

    Yaw is positive if the subject turns to the own left, pitch if it looks up, and roll if the head tilts
    clockwise in the image. A rotation of the image changes roll alone.
    """
    across, down, back = np.moveaxis(rotations(meshes).astype(np.float64), 1, 0)
    yaw = np.arcsin(np.clip(across[:, 2], -1, 1))
    pitch = np.arctan2(down[:, 2], back[:, 2])
    roll = np.arctan2(across[:, 1], across[:, 0])
    degrees = np.degrees(np.stack([yaw, -pitch, roll], axis=1))
    degrees[:, 1] += NEUTRAL_PITCH
    return degrees.astype(np.float32)


def _unit(vectors: ndarray) -> ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-6)


def ibug68(meshes: Float32[ndarray, "n 468 3"], jaw_offset: float = JAW_OFFSET) -> Float32[ndarray, "n 68 2"]:
    """Return iBUG's 68 points of meshes, in pixels.

    Brows, nose, eyes and mouth are vertices or means of vertices. The jaw divides the visible contour of the
    mesh below the temples: from each temple to the chin into eight equal parts, moved outward most at the
    chin. The table and the offset were chosen on the training parts of 300-W
    (`training.studies.mesh_points`).

    Args:
        meshes: the meshes.
        jaw_offset: how far the chin lies outside of the mesh, in distances of the outer eye corners.
    """
    inner = [meshes[:, list(vertices), :2].mean(axis=1) for vertices in IBUG68_INNER]
    jaws = [_jaw(mesh, jaw_offset) for mesh in meshes]
    jaw = np.stack(jaws) if jaws else np.empty((0, _JAW_POINTS, 2), np.float32)
    return np.concatenate([jaw, np.stack(inner, axis=1)], axis=1).astype(np.float32)


def _jaw(mesh: Float32[ndarray, "468 3"], jaw_offset: float) -> Float32[ndarray, "17 2"]:
    contour = _lower_contour(mesh[:, :2])
    chin = int(np.linalg.norm(contour - mesh[CHIN, :2], axis=1).argmin())
    half = _JAW_POINTS // 2
    place = np.concatenate([np.linspace(0, chin, half + 1), np.linspace(chin, _CONTOUR - 1, half + 1)[1:]])
    along = np.gradient(contour, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    width = np.linalg.norm(mesh[LEFT_EYE] - mesh[RIGHT_EYE])
    offset = jaw_offset * width * np.sin(np.linspace(0, np.pi, _JAW_POINTS)) ** 2
    return (_at(contour, place) + offset[:, None] * _at(normal, place)).astype(np.float32)


def _lower_contour(points: Float32[ndarray, "468 2"]) -> Float32[ndarray, "256 2"]:
    """Return the convex outline of the points below the temples, evenly spaced, from the right temple."""
    right, left = (points[list(ends)].mean(axis=0) for ends in _JAW_ENDS)
    across = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)
    down = np.array([-across[1], across[0]], np.float32)
    hull = cv2.convexHull(np.ascontiguousarray(points, np.float32))[:, 0]
    u, v = (hull - right) @ across, (hull - right) @ down
    u_next, v_next = np.roll(u, -1), np.roll(v, -1)
    crossing = np.flatnonzero((v > 0) != (v_next > 0))
    if len(crossing) < 2:  # all points lie on a line
        return np.linspace(right, left, _CONTOUR, dtype=np.float32)
    share = v[crossing] / (v[crossing] - v_next[crossing])
    ends = u[crossing] + share * (u_next[crossing] - u[crossing])
    below = v > 0
    u, v = np.concatenate([u[below], ends]), np.concatenate([v[below], np.zeros_like(ends)])
    # The outline is convex, so its points are in order by their angle at the middle between the ends.
    order = np.argsort(-np.arctan2(v, u - (ends.min() + ends.max()) / 2))
    chain = right + u[order, None] * across + v[order, None] * down
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(chain, axis=0), axis=1))])
    even = np.linspace(0, length[-1], _CONTOUR)
    return np.stack([np.interp(even, length, chain[:, axis]) for axis in (0, 1)], axis=1).astype(np.float32)


def _at(values: ndarray, place: ndarray) -> ndarray:
    """Return values (256, 2) at fractional indices, interpolated."""
    index = np.arange(_CONTOUR)
    return np.stack([np.interp(place, index, values[:, axis]) for axis in (0, 1)], axis=1)
