"""Image pyramids: the octaves of an image, and the scales that a detector searches."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8
from numpy import ndarray

Image = UInt8[ndarray, "h w 3"]
"""An image, RGB. In one signature all images of this type have the same size."""

AnyImage = UInt8[ndarray, "_ _ 3"]
"""An image, RGB, of any size."""

REMAP_LIMIT = 32766
"""Maximum number of rows and columns of OpenCV's remap, in its source and in its output."""


class ImagePyramid:
    """An image and its successive halvings (area averages), each computed when it is first needed.

    Octave k has 2**-k of the size of the image. A crop is read from the octave just above its size. This
    avoids aliasing, and a crop of a large face costs no more than that of a small face.

    Args:
        image: the image, RGB (h, w, 3) uint8.

    Attributes:
        width: width of the image in pixels.
        height: height of the image in pixels.
    """

    def __init__(self, image: Image) -> None:
        self._images = [np.ascontiguousarray(image)]
        self.height, self.width = image.shape[:2]
        self._first = max(0, math.ceil(math.log2(max(self.height, self.width) / REMAP_LIMIT)))
        self._last = max(self._first, int(math.log2(min(self.height, self.width))))

    def __getitem__(self, octave: int) -> Image:
        while len(self._images) <= octave:
            above = self._images[-1]
            size = (max(1, above.shape[1] // 2), max(1, above.shape[0] // 2))
            self._images.append(cv2.resize(above, size, interpolation=cv2.INTER_AREA))
        return self._images[octave]

    def octave_for(self, shrink: Float32[ndarray, " n"]) -> Int[ndarray, " n"]:
        """Return the octaves to read crops from: at most a halving of the size remains.

        Octaves that are too large for OpenCV's remap are skipped.

        Args:
            shrink: pixels of the image per pixel of the crop.
        """
        wanted = np.floor(np.log2(np.maximum(np.nan_to_num(shrink, nan=1.0), 1.0)))
        return np.clip(wanted, self._first, self._last).astype(np.int64)

    def transforms_to(self, octave: int, back: Float32[ndarray, "n 2 3"]) -> Float32[ndarray, "n 2 3"]:
        """Return transforms to points of an octave, from transforms to points of the image.

        Args:
            octave: the octave.
            back: transforms from crops to the image. Pixel centres are at integers in all of them.
        """
        height, width = self[octave].shape[:2]
        scale = np.array([[width / self.width], [height / self.height]], np.float32)
        out = back * scale
        out[:, :, 2:] += scale / 2 - np.float32(0.5)
        return out


@dataclass(frozen=True)
class Level:
    """One scale of a detection.

    Attributes:
        width: width in pixels, even, including margins.
        height: height in pixels, even, including margins.
        ratio: pixels of the image per pixel of the level, in x and y.
        margin: width of the black margin on every side, in pixels.
    """

    width: int
    height: int
    ratio: tuple[float, float]
    margin: int = 0


def levels(
    width: int, height: int, min_face: float, cell: int, factor: float, margin: int = 0
) -> list[Level]:
    """Return the scales of a detection, largest first.

    At the first scale the smallest face fills one cell. At the last scale the shorter side of the image still
    has the size of a cell.

    Args:
        width: width of the image in pixels.
        height: height of the image in pixels.
        min_face: side of the smallest face in pixels.
        cell: side, in pixels of a level, of the faces that the net finds.
        factor: ratio of each scale to the previous one, below 1.
        margin: width of the black margin on every side of a level, in pixels.
    """
    out = []
    scale = cell / min_face
    while min(width, height) * scale >= cell:
        w, h = (max(cell, 2 * round(side * scale / 2)) for side in (width, height))
        out.append(Level(w + 2 * margin, h + 2 * margin, (width / w, height / h), margin))
        scale *= factor
    return out


def resize_to_levels(picture: ImagePyramid, sizes: list[Level]) -> list[AnyImage]:
    """Return the image resized to every level, including the margins."""
    octaves = picture.octave_for(np.array([min(level.ratio) for level in sizes], np.float32))
    return [_resize(picture[int(octave)], level) for level, octave in zip(sizes, octaves, strict=True)]


def _resize(image: AnyImage, level: Level) -> AnyImage:
    margin = level.margin
    size = (level.width - 2 * margin, level.height - 2 * margin)
    small = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    if margin:
        small = cv2.copyMakeBorder(small, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0.0)
    return np.asarray(small)


def level_ratios(sizes: list[Level]) -> Float32[ndarray, "levels 4"]:
    """Return the factors that convert a box of each level to a box of the image."""
    return np.array([(*size.ratio, *size.ratio) for size in sizes], np.float32)
