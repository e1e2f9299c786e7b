"""Textures as photos with labelled faces, and a detector that always finds the same faces."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy import ndarray

from app.pipeline.detector import DetectOptions, Detector
from app.pipeline.faces import Faces
from app.runtime.timing import Timing
from app.vision import align, points
from app.vision.pyramid import ImagePyramid
from tests.fakes import FIVE_IN_BOX
from training.data.datasets import kaggle
from training.data.datasets.landmark_sets import Sample
from training.data.prepare.landmark_crops import CropShape, crop, stack
from training.data.storage.landmark_crops import LandmarkCrops

SHAPE = CropShape(span=40, margin=1.5)


class FixedDetector(Detector):
    """A detector that finds the same faces in every image, and the fakes' five points in a box."""

    def __init__(self, faces: Faces) -> None:
        self.faces = faces

    def detect(self, picture: ImagePyramid, options: DetectOptions, timing: Timing) -> Faces:
        return self.faces

    def locate(self, picture: ImagePyramid, given: ndarray, timing: Timing) -> Faces:
        side = given[:, None, 2:] - given[:, None, :2]
        five = given[:, None, :2] + FIVE_IN_BOX * side - np.float32(0.5)
        return Faces(given, np.full(len(given), 0.1, np.float32), five.astype(np.float32))


def texture(seed: int, side: int = 160) -> ndarray:
    """Return a smooth random image (side, side, 3)."""
    small = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
    return cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)


def labelled_photo(seed: int = 0) -> Sample:
    """Return a texture with 68 points, of which the five of the alignment lie as in the template."""
    face = np.random.default_rng(seed).uniform(50, 110, (68, 2)).astype(np.float32)
    five = align.template("face", 90) + np.float32(35)
    parts: tuple[slice | int, ...] = (slice(36, 42), slice(42, 48), 30, 48, 54)
    for where, point in zip(parts, five, strict=True):
        face[where] = point
    return Sample(f"s/{seed}", f"p{seed}", texture(seed), face, "ibug68", "train")


def portrait(seed: int = 0) -> Sample:
    """Return a texture with Kaggle's 15 points."""
    face = np.random.default_rng(seed).uniform(20, 80, (15, 2)).astype(np.float32)
    face[kaggle.FIVE] = align.template("kaggle15", 96) + np.float32(seed % 3)
    return Sample(f"k/{seed}", f"k{seed}", texture(seed, 96), face, "kaggle15", "train", portrait=True)


def five_of(photo: Sample) -> ndarray:
    """Return the five points of the 68 labels (1, 5, 2)."""
    return points.five_of_ibug68(photo.points[None])


def detected(photo: Sample, offset: float = 0.0) -> Faces:
    """Return the labelled face as a detector finds it, with its points moved by some pixels."""
    box = np.concatenate([photo.points.min(axis=0), photo.points.max(axis=0)])[None]
    return Faces(box, np.ones(1, np.float32), five_of(photo) + np.float32(offset))


def crops_of_textures(brightness: Mapping[int, float], prefix: str) -> LandmarkCrops:
    """Return the crops of textures, each with the given factor of its brightness."""
    crops = []
    for seed, factor in brightness.items():
        photo = Sample(
            f"{prefix}/{seed}",
            f"{prefix}{seed}",
            (texture(seed) * factor).astype(np.uint8),
            labelled_photo().points,
            "ibug68",
            "train",
        )
        crops.append(crop(photo, FixedDetector(detected(labelled_photo())), SHAPE))
    return stack(crops, SHAPE)
