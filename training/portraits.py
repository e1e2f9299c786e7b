"""The face of a portrait, a picture cut around one face as Kaggle's are, found by the service's own detector.

A face that fills its picture is seldom found: no window holds all of it. So the detector gets the picture
within a border, enlarged, and, as a face is known to be there, a lower threshold. Where it still finds none,
O-Net alone looks where a face is expected.
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
"""Of the picture's longer side."""

ENLARGED = 2
OPTIONS = DetectOptions(min_face_size=20.0 * ENLARGED, threshold=0.5)

EXPECTED = np.array([[0.1, 0.01, 0.9, 1.04]], np.float32)
"""The mean of the boxes found in Kaggle's training pictures, in units of the picture."""


class Five(NamedTuple):
    """Five points in pixels of the portrait, and whether the detector found them itself."""

    points: Float32[ndarray, "1 5 2"]
    detected: bool


def five(detector: Detector, image: UInt8[ndarray, "h w 3"]) -> Five:
    """The five points of the face that the portrait shows."""
    height, width = image.shape[:2]
    border = round(BORDER * max(height, width))
    wide = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_CONSTANT)
    picture = ImagePyramid(cv2.resize(wide, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC))
    faces = detector.detect(picture, OPTIONS, Timing()).largest(picture.width, picture.height)
    detected = len(faces) > 0
    if not detected:
        expected = EXPECTED * np.array([width, height] * 2, np.float32) + np.float32(border)
        faces = detector.locate(picture, expected * np.float32(ENLARGED), Timing())
    back = (faces.points + np.float32(0.5)) / np.float32(ENLARGED) - np.float32(0.5 + border)
    return Five(back, detected)
