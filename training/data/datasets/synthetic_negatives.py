"""Synthetic images without faces, on which every detection is a false positive.

They show noise, gradients, stripes, checkerboards, rings, dots, text, diagrams, bricks, foliage, cloth,
windows at night and gravel. Discs, ovals and pairs of dots are included because they resemble faces. No photo
is used. The functions take a source of randomness and the size in pixels.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

COUNT = 200
"""Number of images of the test set."""

Image = UInt8[ndarray, "h w 3"]
_WORDS = (
    "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor 0123456789 %&@ OQ8B :-)"
)


def images(count: int = COUNT, seed: int = 0) -> Iterator[Image]:
    """Yield images of 320 to 1024 pixels per side, of all kinds in turn.

    Args:
        count: number of images.
        seed: the set depends on it alone.

    Yields:
        The images.
    """
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        width, height = (int(v) for v in rng.integers(320, 1025, 2))
        yield KINDS[i % len(KINDS)](rng, width, height)


def _colour(rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = rng.integers(0, 256, 3)
    return int(red), int(green), int(blue)


def _plain(rng: np.random.Generator, width: int, height: int) -> Image:
    return np.full((height, width, 3), _colour(rng), np.uint8)


def _grain(rng: np.random.Generator, width: int, height: int, cell: float) -> ndarray:
    """Return smooth noise (height, width) in 0..1; `cell` is its grain in pixels."""
    coarse = rng.random((max(2, round(height / cell)), max(2, round(width / cell))), np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)


def _blend(rng: np.random.Generator, share: ndarray) -> Image:
    """Return a blend of two random colours by shares (height, width) in 0..1."""
    low, high = (np.array(_colour(rng), np.float32) for _ in range(2))
    return np.clip(low + share[..., None] * (high - low), 0, 255).astype(np.uint8)


def noise(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return noise in each channel, with one grain between single pixels and large clouds."""
    cell = 2 ** rng.uniform(0, 7)
    planes = [_grain(rng, width, height, cell) for _ in range(3)]
    return (np.stack(planes, -1) * 255).astype(np.uint8)


def clouds(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return the sum of noise of all grains."""
    grains = np.stack([_grain(rng, width, height, 2.0**k) * 2.0**k for k in range(1, 8)])
    return _blend(rng, grains.sum(axis=0) / sum(2.0**k for k in range(1, 8)))


def gradient(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return a gradient between two colours at a random angle."""
    y, x = np.mgrid[:height, :width]
    angle = rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    return _blend(rng, (along - along.min()) / np.ptp(along))


def waves(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return stripes or a weave."""
    y, x = np.mgrid[:height, :width] * 2 * np.pi / rng.uniform(6, 90)
    angle = rng.uniform(0, np.pi)
    share = np.sin(np.cos(angle) * x + np.sin(angle) * y)
    if rng.random() < 0.5:
        share = share * np.sin(-np.sin(angle) * x + np.cos(angle) * y)
    return _blend(rng, 0.5 + 0.5 * share)


def board(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return a checkerboard."""
    side = int(rng.integers(6, 90))
    y, x = np.mgrid[:height, :width] // side
    return _blend(rng, ((x + y) % 2).astype(np.float32))


def rings(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return rings around a few centres."""
    share = np.zeros((height, width))
    y, x = np.mgrid[:height, :width]
    for _ in range(rng.integers(1, 5)):
        distance = np.hypot(x - rng.uniform(0, width), y - rng.uniform(0, height))
        share += np.sin(distance / rng.uniform(3, 25))
    return _blend(rng, 0.5 + 0.5 * np.tanh(share))


def shapes(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return discs, ovals and boxes of all sizes, some of them blurred."""
    image = _plain(rng, width, height)
    for _ in range(rng.integers(10, 120)):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (int(rng.integers(3, 90)), int(rng.integers(3, 90)))
        if rng.random() < 0.6:
            cv2.ellipse(
                image, centre, axes, float(rng.uniform(0, 180)), 0, 360, _colour(rng), -1, cv2.LINE_AA
            )
        else:
            cv2.rectangle(image, centre, (centre[0] + axes[0], centre[1] + axes[1]), _colour(rng), -1)
    return cv2.GaussianBlur(image, (0, 0), 2.0) if rng.random() < 0.3 else image


def dots(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return dots in pairs and rows, like buttons, sockets and lights."""
    image = _plain(rng, width, height)
    for _ in range(rng.integers(10, 80)):
        x, y, size = int(rng.integers(0, width)), int(rng.integers(0, height)), int(rng.integers(2, 14))
        for k in range(rng.integers(2, 5)):
            cv2.circle(image, (x + 4 * size * k, y), size, _colour(rng), -1, cv2.LINE_AA)
    return image


def text(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return lines of text."""
    image = _plain(rng, width, height)
    ink, size = _colour(rng), float(rng.uniform(0.4, 3))
    words = _WORDS.split()
    for y in range(20, height, max(12, int(34 * size))):
        line = " ".join(words[i] for i in rng.integers(0, len(words), 14))
        cv2.putText(
            image, line, (int(rng.integers(0, 30)), y), int(rng.integers(0, 8)), size, ink, 1, cv2.LINE_AA
        )
    return image


def diagram(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return curves, bars and a grid."""
    image = np.full((height, width, 3), 255, np.uint8)
    for x in range(0, width, 60):
        cv2.line(image, (x, 0), (x, height), (220, 220, 220), 1)
    for k in range(rng.integers(1, 6)):
        steps = np.cumsum(rng.normal(0, 8, width // 4)) + height * (k + 1) / 7
        line = np.stack([np.arange(len(steps)) * 4, steps], 1).astype(np.int32)
        cv2.polylines(image, [line], False, _colour(rng), 2, cv2.LINE_AA)
    for x in range(0, width, int(rng.integers(20, 90))):
        cv2.rectangle(
            image, (x, height), (x + 12, height - int(rng.integers(5, height // 2))), _colour(rng), -1
        )
    return image


def bricks(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return a wall of bricks in different shades."""
    image = _plain(rng, width, height)
    tall = int(rng.integers(8, 60))
    base = np.array(_colour(rng))
    for row, y in enumerate(range(0, height, tall)):
        for x in range(-2 * tall * (row % 2), width, 4 * tall):
            shade = np.clip(base + rng.normal(0, 18, 3), 0, 255).astype(int).tolist()
            cv2.rectangle(image, (x + 2, y + 2), (x + 4 * tall - 2, y + tall - 2), shade, -1)
    return _sensor_noise(rng, image)


def foliage(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return thousands of leaves, light over dark."""
    image = np.full((height, width, 3), (25, 45, 20), np.uint8)
    leaf = float(rng.uniform(3, 22))
    for k in range(2500):
        shade = (np.array([60, 110, 40]) * (0.4 + 0.9 * k / 2500) + rng.normal(0, 15, 3)).clip(0, 255)
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        axes = (max(1, int(leaf)), max(1, int(leaf * rng.uniform(0.2, 0.6))))
        cv2.ellipse(image, centre, axes, float(rng.uniform(0, 360)), 0, 360, shade.astype(int).tolist(), -1)
    return _sensor_noise(rng, image)


def cloth(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return folds: the illuminated slopes of a surface of smooth noise."""
    hills = _grain(rng, width, height, rng.uniform(30, 150)) + 0.3 * _grain(rng, width, height, 20)
    slope = cv2.Sobel(hills, cv2.CV_32F, 1, 1, ksize=5)
    return _sensor_noise(rng, _blend(rng, 0.5 + 0.5 * np.tanh(slope / slope.std() * 0.7)))


def windows(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return a front of houses with light in some windows."""
    image = np.full((height, width, 3), (30, 30, 40), np.uint8)
    step = int(rng.integers(14, 70))
    for y in range(step // 2, height, step):
        for x in range(step // 2, width, step):
            lit = (230, 200, 120) if rng.random() < 0.4 else (45, 50, 65)
            cv2.rectangle(image, (x, y), (x + step // 2, y + step // 2), lit, -1)
    return _sensor_noise(rng, image)


def gravel(rng: np.random.Generator, width: int, height: int) -> Image:
    """Return stones: the cells around random points, darker towards their edges."""
    count = int(rng.integers(60, 900))
    seeds = np.ones((height, width), np.uint8)
    seeds[rng.integers(0, height, count), rng.integers(0, width, count)] = 0
    distance, cell = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5)
    shade = rng.uniform(60, 220, int(cell.max()) + 1)[cell] - 3 * distance
    return _sensor_noise(rng, np.repeat(np.clip(shade, 0, 255).astype(np.uint8)[..., None], 3, 2))


def _sensor_noise(rng: np.random.Generator, image: Image) -> Image:
    """Return the image with the noise of a camera sensor."""
    grain = rng.normal(0, rng.uniform(0, 12), image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


KINDS: tuple[Callable[[np.random.Generator, int, int], Image], ...] = (
    noise,
    clouds,
    gradient,
    waves,
    board,
    rings,
    shapes,
    dots,
    text,
    diagram,
    bricks,
    foliage,
    cloth,
    windows,
    gravel,
)
"""The kinds of images, in the order of their turns."""
