"""Image pyramids: a picture at successive halvings, and at the scales that a detector searches."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Int, UInt8
from numpy import ndarray

Image = UInt8[ndarray, "h w 3"]
AnyImage = UInt8[ndarray, "_ _ 3"]
"""A picture whose size may differ from that of the other pictures in a signature."""

REMAP_LIMIT = 32766
"""Maximum rows or columns of OpenCV's remap, in its source and in its output."""


class ImagePyramid:
    """A picture and its successive halvings (area averages), each computed when first needed.

    Octave k has 2**-k of the picture's size. Reading a face of any size from the octave just above the wanted
    size costs no more than reading a small face, and does not alias.

    Args:
        image: RGB (h, w, 3) uint8.
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
        """Return the octave to read for a reduction by `shrink` (1 is full size): at most a halving remains.

        The first octaves of a picture that is too long for OpenCV's remap are skipped.
        """
        wanted = np.floor(np.log2(np.maximum(np.nan_to_num(shrink, nan=1.0), 1.0)))
        return np.clip(wanted, self._first, self._last).astype(np.int64)

    def transforms_to(self, octave: int, back: Float32[ndarray, "n 2 3"]) -> Float32[ndarray, "n 2 3"]:
        """Convert transforms to points of the picture into transforms to points of the octave.

        Pixel centres are at integers in both, hence the half pixels.
        """
        height, width = self[octave].shape[:2]
        scale = np.array([[width / self.width], [height / self.height]], np.float32)
        out = back * scale
        out[:, :, 2:] += scale / 2 - np.float32(0.5)
        return out


@dataclass(frozen=True)
class Level:
    """One scale of a detector's search.

    Attributes:
        width: in pixels, even, margins included.
        height: likewise.
        ratio: pixels of the picture per pixel of the level, by x and y.
        margin: black pixels on every side.
    """

    width: int
    height: int
    ratio: tuple[float, float]
    margin: int = 0


def levels(
    width: int, height: int, min_face: float, cell: int, factor: float, margin: int = 0
) -> list[Level]:
    """Return the scales of a search, largest first.

    The smallest face fills one cell at the first scale; the picture's shorter side fills one at the last.

    Args:
        width: of the picture in pixels.
        height: likewise.
        min_face: side of the smallest face in pixels.
        cell: side, in pixels of a level, of the faces that the net finds.
        factor: ratio of one scale to the previous one.
        margin: black pixels on every side of a level.
    """
    out = []
    scale = cell / min_face
    while min(width, height) * scale >= cell:
        w, h = (max(cell, 2 * round(side * scale / 2)) for side in (width, height))
        out.append(Level(w + 2 * margin, h + 2 * margin, (width / w, height / h), margin))
        scale *= factor
    return out


def resize_to_levels(picture: ImagePyramid, sizes: list[Level]) -> list[AnyImage]:
    """Return the picture at the size of every level."""
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
    """Return the factors that take a box from each level to the picture."""
    return np.array([(*size.ratio, *size.ratio) for size in sizes], np.float32)
