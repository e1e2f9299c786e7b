"""Augmentation of aligned crops, in numpy and OpenCV: one warp for the geometry, then changes of appearance.

It is not a part of the net, so the exported graph is the trained one.
"""

import math

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8
from numpy import ndarray

from app.vision.points import MIRROR, Scheme
from training.config.schema import Augmentation

Image = UInt8[ndarray, "size size 3"]


def random_affine(rng: np.random.Generator, config: Augmentation, size: int) -> Float64[ndarray, "2 3"]:
    """Return a random rotation, scaling, stretch and shift of an image about its centre.

    Args:
        rng: source of randomness.
        config: ranges of the augmentation.
        size: side of the image in pixels.
    """
    angle = math.radians(_uniform(rng, config.rotate))
    scale = 2 ** _uniform(rng, config.scale)
    stretch = 2 ** (_uniform(rng, config.stretch) / 2)
    shear = _uniform(rng, config.stretch) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    rotation = np.array([[cos, -sin], [sin, cos]])
    linear = scale * rotation @ np.array([[stretch, shear], [shear, 1 / stretch]])
    centre = np.full(2, (size - 1) / 2)
    shift = np.array([_uniform(rng, config.shift), _uniform(rng, config.shift)]) * size
    return np.concatenate([linear, (centre + shift - linear @ centre)[:, None]], axis=1)


def mirrored(matrix: Float64[ndarray, "2 3"], size: int) -> Float64[ndarray, "2 3"]:
    """Return the matrix followed by a mirroring of the image of `size` x `size` pixels left to right."""
    out = matrix.copy()
    out[0] = -out[0]
    out[0, 2] += size - 1
    return out


def compose(after: Float64[ndarray, "2 3"], before: Float64[ndarray, "2 3"]) -> Float64[ndarray, "2 3"]:
    """Return the matrix that applies `before`, then `after`."""
    linear = after[:, :2] @ before
    linear[:, 2] += after[:, 2]
    return linear


def random_transform(
    rng: np.random.Generator, config: Augmentation, to_input: Float32[ndarray, "2 3"], size: int
) -> tuple[Float64[ndarray, "2 3"], bool]:
    """Return a random matrix from a crop to the input of a net, and whether it mirrors.

    Args:
        rng: source of randomness.
        config: ranges of the augmentation.
        to_input: the matrix without augmentation.
        size: side of the input in pixels.
    """
    matrix = compose(random_affine(rng, config, size), to_input.astype(np.float64))
    flip = rng.random() < config.flip_share
    return (mirrored(matrix, size) if flip else matrix), bool(flip)


def move_points(
    points: Float32[ndarray, "k 2"], matrix: Float64[ndarray, "2 3"], flipped: bool, scheme: Scheme
) -> Float32[ndarray, "k 2"]:
    """Return the points under the matrix, in the order of the scheme.

    Args:
        points: points in pixels.
        matrix: the transformation.
        flipped: whether the matrix mirrors, which exchanges left and right points.
        scheme: the scheme of the points.
    """
    moved = (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return moved[MIRROR[scheme]] if flipped else moved


def warp(image: UInt8[ndarray, "h w 3"], matrix: Float64[ndarray, "2 3"], size: int) -> Image:
    """Return the input of a net from a crop, with bilinear interpolation as in serving."""
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)


def photo_corners(
    rng: np.random.Generator, config: Augmentation, corners: Float32[ndarray, "4 2"]
) -> Float32[ndarray, "4 2"] | None:
    """Return where the photo ends: its own corners, corners with shifted edges, or None for no end.

    Of the images selected by `edge_share`, half have no end. On the others each edge shifts, inwards by up to
    `edge`, or outwards by up to three times as much.

    Args:
        rng: source of randomness.
        config: ranges of the augmentation.
        corners: corners of the photo, clockwise from the top left.
    """
    if rng.random() >= config.edge_share:
        return corners
    if rng.random() < 0.5:
        return None
    left, top, right, bottom = rng.uniform(-3, 1, 4) * config.edge
    unit = np.array([[left, top], [1 - right, top], [1 - right, 1 - bottom], [left, 1 - bottom]])
    axes = np.stack([corners[1] - corners[0], corners[3] - corners[0]])
    return (corners[0] + unit @ axes).astype(np.float32)


def blacken(image: Image, corners: Float32[ndarray, "4 2"], matrix: Float64[ndarray, "2 3"]) -> Image:
    """Return the image, black outside the photo.

    Args:
        image: the input of a net.
        corners: corners of the photo in pixels of the crop.
        matrix: the matrix from the crop to the image.
    """
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    mask = np.zeros(image.shape[:2], np.uint8)
    fixed_point = np.rint(moved * 16).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed_point, 255, shift=4)
    return cv2.bitwise_and(image, image, mask=mask)


def light(rng: np.random.Generator, config: Augmentation, image: Image) -> Image:
    """Return the image with random brightness, contrast, gamma and colour gains, or in grey."""
    if rng.random() < config.grey_share:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() >= config.light_share:
        return image
    level = np.linspace(0, 1, 256)[:, None] ** (2 ** _uniform(rng, config.gamma))
    level = (level - 0.5) * 2 ** _uniform(rng, config.contrast) + 0.5 + _uniform(rng, config.brightness)
    gain = 2 ** (rng.uniform(-1, 1, 3) * config.colour)
    table = np.clip(level * gain * 255, 0, 255).astype(np.uint8)
    return cv2.LUT(image, table[None])


def degrade(rng: np.random.Generator, config: Augmentation, image: Image) -> Image:
    """Return the image with blur, lower resolution, sensor noise and JPEG artefacts, each on its share."""
    if rng.random() < config.blur_share:
        image = cv2.GaussianBlur(image, (0, 0), max(0.1, rng.uniform(0, config.blur)))
    if rng.random() < config.shrink_share:
        side = max(8, round(image.shape[0] * rng.uniform(config.shrink, 1)))
        small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    if rng.random() < config.noise_share:
        deviation = np.float32(rng.uniform(0, config.noise) * 255)
        noise = rng.standard_normal(image.shape, np.float32) * deviation
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    if rng.random() < config.jpeg_share:
        quality = int(rng.integers(config.jpeg, 101))
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))
    return image


def occlude(rng: np.random.Generator, config: Augmentation, image: Image) -> Image:
    """Return the image with blocks of one colour, of noise, or copied from another part of the image."""
    if rng.random() >= config.occlude_share:
        return image
    image = image.copy()
    size = image.shape[0]
    for _ in range(rng.integers(1, config.occlude_blocks + 1)):
        height, width = (max(2, int(rng.uniform(0.1, 1) * config.occlude * size)) for _ in range(2))
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


def appearance(rng: np.random.Generator, config: Augmentation, image: Image) -> Image:
    """Return the image after all changes that move no point: `occlude`, `light`, `degrade`."""
    return degrade(rng, config, light(rng, config, occlude(rng, config, image)))


def _uniform(rng: np.random.Generator, limit: float) -> float:
    return float(rng.uniform(-limit, limit))
