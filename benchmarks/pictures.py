"""Requests for load tests: the photos of the project at several sizes, and invalid requests."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy import ndarray

from app.vision.image import decode

PHOTOS = Path("tests/photos")

SIZES = ((320, 240), (640, 480), (800, 600), (1024, 768), (1280, 720), (300, 1200))


@dataclass(frozen=True)
class Ask:
    """A request.

    Attributes:
        path: path and query.
        images: the encoded images.
        status: the expected HTTP status.
    """

    path: str
    images: tuple[bytes, ...]
    status: int = 200


@cache
def photographs() -> list[ndarray]:
    """Return the photos of the project, BGR (h, w, 3) uint8."""
    files = sorted(path for path in PHOTOS.iterdir() if path.suffix in {".jpg", ".png"})
    return [decode(path.read_bytes(), 50_000_000, "image")[:, :, ::-1] for path in files]


def jpeg(width: int, height: int, photo: int = 0) -> bytes:
    """Return a JPEG of a size with a photo in its upper left corner, as large as possible, on grey.

    Args:
        width: width in pixels.
        height: height in pixels.
        photo: index of the photo.
    """
    source = photographs()[photo % len(photographs())]
    scale = min(width / source.shape[1], height / source.shape[0])
    size = (max(1, round(source.shape[1] * scale)), max(1, round(source.shape[0] * scale)))
    placed = cv2.resize(source, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas = np.full((height, width, 3), 96, np.uint8)
    canvas[: size[1], : size[0]] = placed
    return cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def same(path: str, width: int, height: int) -> list[Ask]:
    """Return one request per photo, all with images of the same size in pixels."""
    return [Ask(path, (jpeg(width, height, photo),)) for photo in range(len(photographs()))]


def mixed(seed: int = 0) -> Iterator[Ask]:
    """Generate random requests without end: most are valid, 10% are invalid, 5% are batches.

    Args:
        seed: seed of the random numbers.

    Yields:
        The requests.
    """
    random = np.random.default_rng(seed)
    good = [jpeg(*size, photo) for photo, size in enumerate(SIZES)]
    png = cv2.imencode(".png", photographs()[0])[1].tobytes()
    bad = [
        Ask("/detect", (b"no image",), 422),
        Ask("/detect", (good[1][: len(good[1]) // 2],), 422),
        Ask("/landmarks", (b"",), 422),
        Ask("/embed?model=nobody", (good[0],), 422),
        Ask("/detect?min_face_size=1", (good[0],), 422),
        Ask("/detect", (b"II*\0" + bytes(100),), 415),
        Ask("/nowhere", (good[0],), 404),
    ]
    several = [
        Ask("/detect/batch", (good[0], b"no image", good[1])),
        Ask("/embed/batch", (good[0], good[0])),
    ]
    while True:
        draw = random.random()
        if draw < 0.1:
            yield bad[random.integers(len(bad))]
        elif draw < 0.15:
            yield several[random.integers(len(several))]
        else:
            path = ("/detect", "/landmarks", "/embed")[random.integers(3)]
            picture = png if draw < 0.2 else good[random.integers(len(good))]
            yield Ask(path, (picture,))


def of_random_sizes(count: int, least: float, most: float, seed: int = 0) -> Iterator[bytes]:
    """Generate JPEGs of random size, with aspect ratios between 1:2 and 2:1.

    Args:
        count: number of images.
        least: minimum size in megapixels.
        most: maximum size in megapixels.
        seed: seed of the random numbers.

    Yields:
        The encoded images.
    """
    random = np.random.default_rng(seed)
    for number in range(count):
        pixels, ratio = random.uniform(least, most) * 1e6, 2 ** random.uniform(-1, 1)
        width = max(64, round((pixels * ratio) ** 0.5))
        yield jpeg(width, max(64, round(pixels / width)), number)
