"""Augmentation of aligned crops, in numpy and OpenCV: all geometry is one warp, all light one table.

Nothing here belongs to the net, so that the exported graph is the trained one.
"""

import math

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy import ndarray

from app.vision.points import MIRROR, Scheme
from training.config import Augmentation

Picture = UInt8[ndarray, "size size 3"]


def similarity(rng: np.random.Generator, how: Augmentation, size: int) -> Float64[ndarray, "2 3"]:
    """A random turn, scaling, stretch and shift of a `size` x `size` picture about its middle."""
    angle = math.radians(_within(rng, how.rotate))
    scale = 2 ** _within(rng, how.scale)
    wide = 2 ** (_within(rng, how.stretch) / 2)
    shear = _within(rng, how.stretch) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, -sin], [sin, cos]])
    linear = scale * turn @ np.array([[wide, shear], [shear, 1 / wide]])
    middle = np.full(2, (size - 1) / 2)
    shift = np.array([_within(rng, how.shift), _within(rng, how.shift)]) * size
    return np.concatenate([linear, (middle + shift - linear @ middle)[:, None]], axis=1)


def mirrored(matrix: Float64[ndarray, "2 3"], size: int) -> Float64[ndarray, "2 3"]:
    """The matrix, followed by a mirroring of the `size` x `size` picture left to right."""
    out = matrix.copy()
    out[0] = -out[0]
    out[0, 2] += size - 1
    return out


def compose(after: Float64[ndarray, "2 3"], before: Float64[ndarray, "2 3"]) -> Float64[ndarray, "2 3"]:
    """The matrix that does `before`, then `after`."""
    linear = after[:, :2] @ before
    linear[:, 2] += after[:, 2]
    return linear


def geometry(
    rng: np.random.Generator, how: Augmentation, to_input: Float32[ndarray, "2 3"], size: int
) -> tuple[Float64[ndarray, "2 3"], bool]:
    """A random matrix from a crop to the net's picture, and whether it mirrors."""
    matrix = compose(similarity(rng, how, size), to_input.astype(np.float64))
    flip = rng.random() < how.flip_share
    return (mirrored(matrix, size) if flip else matrix), bool(flip)


def place(
    points: Float32[ndarray, "k 2"], matrix: Float64[ndarray, "2 3"], flipped: bool, scheme: Scheme
) -> Float32[ndarray, "k 2"]:
    """The points under the matrix, in the scheme's order: a mirrored face's left eye is the other one."""
    moved = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return moved[MIRROR[scheme]] if flipped else moved


def warp(image: UInt8[ndarray, "h w 3"], matrix: Float64[ndarray, "2 3"], size: int) -> Picture:
    """The net's picture, bilinear as the service cuts it, from the crop."""
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)


def edges(
    rng: np.random.Generator, how: Augmentation, corners: Float32[ndarray, "4 2"]
) -> Float32[ndarray, "4 2"] | None:
    """Where the photograph ends: its own corners, or each edge moved, inwards or thrice as far outwards.

    None is nowhere, as on half of the pictures whose edges are to move.
    """
    if rng.random() >= how.edge_share:
        return corners
    if rng.random() < 0.5:
        return None
    left, top, right, bottom = rng.uniform(-3, 1, 4) * how.edge
    unit = np.array([[left, top], [1 - right, top], [1 - right, 1 - bottom], [left, 1 - bottom]])
    axes = np.stack([corners[1] - corners[0], corners[3] - corners[0]])
    return (corners[0] + unit @ axes).astype(np.float32)


def blacken(image: Picture, corners: Float32[ndarray, "4 2"], matrix: Float64[ndarray, "2 3"]) -> Picture:
    """The picture, black outside the four corners, which are pixels of the crop it was warped from."""
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    mask = np.zeros(image.shape[:2], np.uint8)
    fixed = np.rint(moved * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, 255, shift=4)
    return cv2.bitwise_and(image, image, mask=mask)


def light(rng: np.random.Generator, how: Augmentation, image: Picture) -> Picture:
    """Brightness, contrast, gamma and each channel's gain by one table; or the picture without colour."""
    if rng.random() < how.grey_share:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() >= how.light_share:
        return image
    level = np.linspace(0, 1, 256)[:, None] ** (2 ** _within(rng, how.gamma))
    level = (level - 0.5) * 2 ** _within(rng, how.contrast) + 0.5 + _within(rng, how.brightness)
    gain = 2 ** (rng.uniform(-1, 1, 3) * how.colour)
    table = np.clip(level * gain * 255, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table[None])


def degrade(rng: np.random.Generator, how: Augmentation, image: Picture) -> Picture:
    """Blur, lost resolution, sensor noise and JPEG, each on its share of pictures."""
    if rng.random() < how.blur_share:
        image = cv2.GaussianBlur(image, (0, 0), max(0.1, rng.uniform(0, how.blur)))
    if rng.random() < how.shrink_share:
        side = max(8, round(image.shape[0] * rng.uniform(how.shrink, 1)))
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    if rng.random() < how.noise_share:
        spread = np.float32(rng.uniform(0, how.noise) * 255)
        noise = rng.standard_normal(image.shape, np.float32) * spread
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    if rng.random() < how.jpeg_share:
        quality = int(rng.integers(how.jpeg, 101))
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))
    return image


def occlude(rng: np.random.Generator, how: Augmentation, image: Picture) -> Picture:
    """Covers blocks: with one colour, with noise, or with another part of the picture."""
    if rng.random() >= how.occlude_share:
        return image
    image = image.copy()
    size = image.shape[0]
    for _ in range(rng.integers(1, how.occlude_blocks + 1)):
        height, width = (max(2, int(rng.uniform(0.1, 1) * how.occlude * size)) for _ in range(2))
        top, left = int(rng.integers(0, size - height + 1)), int(rng.integers(0, size - width + 1))
        block = (slice(top, top + height), slice(left, left + width))
        kind = rng.integers(3)
        if kind == 0:
            image[block] = rng.integers(0, 256, 3, np.uint8)
        elif kind == 1:
            image[block] = rng.integers(0, 256, (height, width, 3), np.uint8)
        else:
            y, x = int(rng.integers(0, size - height + 1)), int(rng.integers(0, size - width + 1))
            image[block] = image[y : y + height, x : x + width].copy()
    return image


def appearance(rng: np.random.Generator, how: Augmentation, image: Picture) -> Picture:
    """Everything that moves no point."""
    return degrade(rng, how, light(rng, how, occlude(rng, how, image)))


def _within(rng: np.random.Generator, most: float) -> float:
    return float(rng.uniform(-most, most))
