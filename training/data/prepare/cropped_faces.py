"""Locate the face in an image that is cropped around one face, such as those of Kaggle.

The detector rarely finds a face that fills the image, because no window contains all of it. The image is
therefore enlarged with a border around it. The threshold is lower than in the service, because a face is
known to be there. If the detector still finds none, O-Net alone runs on the box where a face is expected.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray

from app.pipeline.detector import DetectOptions, Detector
from app.runtime.timing import Timing
from app.vision.pyramid import ImagePyramid

BORDER = 0.25
"""Width of the border, as a share of the longer side of the image."""

ENLARGEMENT = 2
OPTIONS = DetectOptions(min_face_size=20.0 * ENLARGEMENT, threshold=0.5)

EXPECTED_BOX = np.array([[0.1, 0.01, 0.9, 1.04]], np.float32)
"""The mean of the boxes detected in Kaggle's training images, in units of the image's sides."""


class FivePoints(NamedTuple):
    """Five points in pixels of the image, and whether the detector found the face itself."""

    points: Float32[ndarray, "1 5 2"]
    detected: bool


def find_five(detector: Detector, image: UInt8[ndarray, "h w 3"]) -> FivePoints:
    """Return the five points of the face in an RGB image that is cropped around it."""
    height, width = image.shape[:2]
    border = round(BORDER * max(height, width))
    padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_CONSTANT)
    enlarged = cv2.resize(padded, None, fx=ENLARGEMENT, fy=ENLARGEMENT, interpolation=cv2.INTER_CUBIC)
    picture = ImagePyramid(enlarged)
    faces = detector.detect(picture, OPTIONS, Timing()).largest(picture.width, picture.height)
    detected = len(faces) > 0
    if not detected:
        expected = EXPECTED_BOX * np.array([width, height] * 2, np.float32) + np.float32(border)
        faces = detector.locate(picture, expected * np.float32(ENLARGEMENT), Timing())
    points = (faces.points + np.float32(0.5)) / np.float32(ENLARGEMENT) - np.float32(0.5 + border)
    return FivePoints(points, detected)
