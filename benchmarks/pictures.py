"""Requests for load tests: the photos of the project at several sizes, and invalid requests."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy import ndarray

from app.vision.image import decode

PHOTOS = Path("tests/photos")

_BOUNDARY = "boundary-of-the-load-generator"

SIZES = ((320, 240), (640, 480), (800, 600), (1024, 768), (1280, 720), (300, 1200))


@dataclass(frozen=True)
class Ask:
    """A request.

    Attributes:
        path: path and query.
        images: the encoded images.
        status: the expected HTTP status.
        body_type: content type of `images[0]` if this is a whole body, and no image; else empty.
    """

    path: str
    images: tuple[bytes, ...]
    status: int = 200
    body_type: str = ""

    @property
    def content_type(self) -> str:
        """The content type of the body: a form if there are several images, or if the route takes a list."""
        if self.body_type:
            return self.body_type
        return f"multipart/form-data; boundary={_BOUNDARY}" if self._fields else "image/jpeg"

    @cached_property
    def body(self) -> bytes:
        """The body of the request."""
        if not self._fields:
            return self.images[0]
        parts = []
        for field, image in zip(self._fields, self.images, strict=True):
            disposition = f'Content-Disposition: form-data; name="{field}"; filename="{field}"'
            parts.append(f"--{_BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + image + b"\r\n")
        return b"".join([*parts, f"--{_BOUNDARY}--\r\n".encode()])

    @property
    def _fields(self) -> tuple[str, ...]:
        if "/batch" in self.path and not self.body_type:
            return ("image",) * len(self.images)
        return ("image_a", "image_b") if len(self.images) == 2 else ()


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


def heads(boxes: Sequence[Sequence[Sequence[float]]], side: int = 80) -> list[ndarray]:
    """Return squares around the faces of the photos of the project, BGR (side, side, 3) uint8.

    Args:
        boxes: for each photo the boxes of its faces in pixels.
        side: side of a square in pixels; the face fills two thirds of it.
    """
    squares = []
    for photo, found in zip(photographs(), boxes, strict=True):
        for x1, y1, x2, y2 in found:
            half = max(1, round(0.75 * max(x2 - x1, y2 - y1)))
            wide = cv2.copyMakeBorder(photo, half, half, half, half, cv2.BORDER_REPLICATE)
            left, top = round((x1 + x2) / 2), round((y1 + y2) / 2)  # the border has moved the centre by half
            square = wide[top : top + 2 * half, left : left + 2 * half]
            squares.append(cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA))
    return squares


def montage(crops: Sequence[ndarray], count: int, width: int = 1280, height: int = 960) -> bytes:
    """Return a JPEG with so many crops in a grid on grey, in turn.

    Args:
        crops: the crops, BGR, all of the same size.
        count: number of crops in the image.
        width: width of the image in pixels.
        height: height of the image in pixels.

    Raises:
        ValueError: so many crops do not fit into the image.
    """
    canvas = np.full((height, width, 3), 96, np.uint8)
    columns = max(1, int(np.ceil((count * width / height) ** 0.5)))
    lines = -(-count // columns)
    for k in range(count):
        crop = crops[k % len(crops)]
        tall, wide = crop.shape[:2]
        left = int((k % columns + 0.5) * width / columns - wide / 2)
        top = int((k // columns + 0.5) * height / lines - tall / 2)
        if columns * wide > width or lines * tall > height:
            raise ValueError(f"{count} crops of {wide}x{tall} do not fit into {width}x{height}.")
        canvas[top : top + tall, left : left + wide] = crop
    return cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def same(path: str, width: int, height: int, images: int = 1) -> list[Ask]:
    """Return one request per photo, all with images of the same size in pixels.

    Args:
        path: path and query.
        width: width in pixels.
        height: height in pixels.
        images: number of images of each request: its photo and the next ones.
    """
    files = [jpeg(width, height, photo) for photo in range(len(photographs()))]
    return [
        Ask(path, tuple(files[(first + i) % len(files)] for i in range(images)))
        for first in range(len(files))
    ]


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
