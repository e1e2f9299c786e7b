"""A photo with one white box as its face, and the search for the box in a crop."""

import numpy as np
from numpy import ndarray

from app.vision.pyramid import ImagePyramid
from training.data.datasets.scenes import Scene

FACE = np.array([60, 40, 90, 80], np.float32)
"""The box of the face in the photo."""


def photo() -> ImagePyramid:
    """Return a grey photo with the face's box in white."""
    image = np.full((160, 200, 3), 90, np.uint8)
    x1, y1, x2, y2 = FACE.astype(int)
    image[y1:y2, x1:x2] = 255
    return ImagePyramid(image)


def scene(ignored: bool = False) -> Scene:
    return Scene("a.jpg", photo(), FACE[None], np.array([ignored]))


def white_box(image: ndarray) -> ndarray:
    """Return the half-open box of the white pixels of a crop."""
    y, x = np.nonzero(image.mean(axis=2) > 170)
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], np.float32)
