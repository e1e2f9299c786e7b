"""Aligned crops of labelled faces for landmark nets, as TFRecord files.

A face is aligned by the five points that the detector finds, so that training has the noise that serving
has. Only a face that the detector misses is aligned by its labels, or, in a portrait, by O-Net's points on
the expected box; the report counts these. Crops are wider than the input of a net, so that a rotated,
scaled or shifted crop shows the photo there.
"""

from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.runtime import model_store
from app.runtime.timing import Timing
from app.vision import align, points
from app.vision.pyramid import ImagePyramid
from training.data.datasets import kaggle
from training.data.datasets.landmark_sets import SPLITS, Sample, Split
from training.data.prepare import cropped_faces
from training.data.prepare.face_matching import labelled_face
from training.data.prepare.near_duplicates import without_duplicates
from training.data.storage import landmark_crops
from training.data.storage.data_hash import hash_tfrecords
from training.data.storage.landmark_crops import LandmarkCrops

CropKind = Literal["face", "picture"]
Report = dict[str, object]

DETECTOR = "mtcnn"
"""The detector of all prepared sets. It is pinned: a set must not change with the service's default."""


@dataclass(frozen=True)
class CropShape:
    """The shape of a crop.

    Attributes:
        template: template of the alignment; `picture` takes the whole image without alignment.
        span: side in pixels of the central square that a net gets.
        margin: side of the crop over `span`.
    """

    template: align.Template | Literal["picture"] = "face"
    span: int = 160
    margin: float = 1.75

    @property
    def side(self) -> int:
        """The side of the crop in pixels."""
        return round(self.span * self.margin)

    def transform(self, picture: ImagePyramid, five: Float32[ndarray, "1 5 2"]) -> Float32[ndarray, "1 2 3"]:
        """Return the matrix from pixels of the image to pixels of the crop.

        Args:
            picture: the image.
            five: five points of the face in pixels of the image.
        """
        low = (self.side - self.span) / 2
        if self.template == "picture":
            whole = np.array([[0, 0, picture.width, picture.height]], np.float32)
            out = align.of_boxes(whole, self.span)
            out[:, :, 2] += np.float32(low)
            return out
        return align.umeyama(five, align.template(self.template, self.span) + np.float32(low))


SHAPES: dict[CropKind, CropShape] = {"face": CropShape(), "picture": CropShape("picture", kaggle.SIDE, 1.5)}
"""The values of `--crop`."""


@dataclass(frozen=True)
class Crop:
    """The crop of one face. All points are in pixels of the crop; see `LandmarkCrops`."""

    sample: Sample
    image: UInt8[ndarray, "side side 3"]
    points: Float32[ndarray, "k 2"]
    five: Float32[ndarray, "5 2"]
    transform: Float32[ndarray, "2 3"]
    corners: Float32[ndarray, "4 2"]
    detected: bool


def prepare(samples: list[Sample], out: Path, shape: CropShape, models: Path, about: Report) -> Report:
    """Write `train`, `validation` and `test.tfrecord`, those that have samples.

    Args:
        samples: labelled faces with their splits.
        out: the folder to write.
        shape: the shape of the crops.
        models: the model store with the detector.
        about: the first entries of the report: sources, seed and options.

    Returns:
        The report: the settings, and the counts of each split.

    Raises:
        ValueError: a split has no other photos than another one.
    """
    loaded = model_store.load(models, "cpu", names=frozenset({DETECTOR}))[0]
    detector = Detector(loaded.sessions)
    out.mkdir(parents=True, exist_ok=True)
    report: Report = about | {
        "crop": asdict(shape),
        "detector": {f.file: f.sha256 for f in loaded.entry.files},
    }
    by_split = {split: [s for s in samples if s.split == split] for split in SPLITS}
    faces = {
        split: stack([crop(s, detector, shape) for s in tqdm(chosen, desc=split, disable=None)], shape)
        for split, chosen in by_split.items()
        if chosen
    }
    left_out = remove_shared_photos(faces)
    if empty := [split for split in faces if not len(faces[split])]:
        raise ValueError(
            f"All photos of {' and '.join(empty)} are in another split, too. Add photos, or give another "
            "--seed."
        )
    for split, crops in faces.items():
        landmark_crops.save(out / f"{split}.tfrecord", crops)
        detected = dict(zip(crops.names, crops.detected, strict=True))
        report[split] = {
            "faces": len(crops),
            "photographs": len(set(crops.photos)),
            "undetected": []
            if shape.template == "picture"
            else [n for n, seen in detected.items() if not seen],
            "points_inside": round(share_inside(crops), 4),
            "left_out": left_out[split],
        }
    report["sha256"] = hash_tfrecords(out)
    return report


def crop(sample: Sample, detector: Detector, shape: CropShape) -> Crop:
    """Return the crop of a sample, aligned by the detector's points."""
    pixels = sample.pixels()
    picture = ImagePyramid(pixels)
    five, detected = labelled_five(sample), False
    if shape.template != "picture":
        five, detected = detected_five(sample, picture, detector)
    transform = shape.transform(picture, five)
    return Crop(
        sample,
        warp_mirrored(pixels, transform, shape.side),
        align.apply(transform, sample.points[None])[0],
        align.apply(transform, five)[0],
        transform[0],
        align.apply(transform, corners_of(picture.width, picture.height)[None])[0],
        detected,
    )


def detected_five(sample: Sample, picture: ImagePyramid, detector: Detector) -> cropped_faces.FivePoints:
    """Return the five points by which serving aligns the face; those of the labels if it is not detected."""
    if sample.portrait:
        return cropped_faces.find_five(detector, picture[0])
    faces = detector.detect(picture, DetectOptions(), Timing())
    chosen = labelled_face(faces, sample.points)
    if chosen is None:
        return cropped_faces.FivePoints(labelled_five(sample), False)
    return cropped_faces.FivePoints(faces.points[[chosen]], True)


def labelled_five(sample: Sample) -> Float32[ndarray, "1 5 2"]:
    """Return the five points of the labels.

    Points that Kaggle's labels lack are placed by fitting the mean face to the others.
    """
    if sample.scheme == "ibug68":
        return points.five_of_ibug68(sample.points[None])
    five = sample.points[None, kaggle.FIVE]
    known = np.isfinite(five[0]).all(axis=1)
    mean = align.template("kaggle15", kaggle.SIDE)
    expected = align.apply(align.umeyama(mean[None, known], five[0, known]), mean[None])
    return np.where(known[:, None], five, expected)


def corners_of(width: int, height: int) -> Float32[ndarray, "4 2"]:
    """Return the corners of an image's area, clockwise from the top left, with pixel centres at integers."""
    unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    return unit * np.array([width, height], np.float32) - np.float32(0.5)


def warp_mirrored(
    image: UInt8[ndarray, "h w 3"], transform: Float32[ndarray, "1 2 3"], side: int
) -> UInt8[ndarray, "side side 3"]:
    """Return the crop of `align.warp`, with the image mirrored beyond its edges instead of black.

    The images of the datasets are cut around the labels, so their edges tell where the face is. The
    augmentation draws where black begins.
    """
    height, width = image.shape[:2]
    extent = align.apply(align.invert(transform), corners_of(side, side)[None])[0]
    low = np.maximum(0, np.ceil(-extent.min(axis=0)).astype(int) + 2)
    high = np.maximum(0, np.ceil(extent.max(axis=0) - (width, height)).astype(int) + 3)
    wide = cv2.copyMakeBorder(image, low[1], high[1], low[0], high[0], cv2.BORDER_REFLECT_101)
    moved = transform.copy()
    moved[0, :, 2] -= transform[0, :, :2] @ low.astype(np.float32)
    return align.warp(ImagePyramid(wide), moved, side)[0]


def stack(crops: list[Crop], shape: CropShape) -> LandmarkCrops:
    """Return the crops of one split as arrays."""
    return LandmarkCrops(
        np.stack([c.image for c in crops]),
        np.stack([c.points for c in crops]),
        np.stack([c.five for c in crops]),
        np.stack([c.transform for c in crops]),
        np.stack([c.corners for c in crops]),
        np.array([c.detected for c in crops]),
        tuple(c.sample.name for c in crops),
        tuple(c.sample.photo for c in crops),
        shape.span,
    )


def remove_shared_photos(faces: dict[Split, LandmarkCrops]) -> dict[Split, list[str]]:
    """Remove from each split the photos that a later split also has.

    Returns:
        The names of the removed photos of each split.
    """
    left_out: dict[Split, list[str]] = {split: [] for split in faces}
    for before, after in combinations(faces, 2):
        faces[before], names = without_duplicates(faces[before], faces[after])
        left_out[before] += names
    return left_out


def share_inside(faces: LandmarkCrops) -> float:
    """Return the share of faces whose labels all lie within the input of a net."""
    low = (faces.side - faces.span) / 2
    within = (faces.points > low) & (faces.points < low + faces.span)
    return float((within | np.isnan(faces.points)).all(axis=(1, 2)).mean())
