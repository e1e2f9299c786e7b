"""Upright square crops of labelled faces, and the offsets between label squares and detector squares."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.runtime.timing import Timing
from app.vision import align, boxes
from app.vision.points import five_of_ibug68
from app.vision.pyramid import ImagePyramid
from training.data.datasets.landmark_sets import Sample, Split
from training.data.prepare.face_matching import bounding_box, labelled_face
from training.data.prepare.landmark_crops import corners_of, remove_shared_photos, warp_mirrored
from training.data.storage import landmark_crops
from training.data.storage.data_hash import hash_tfrecords
from training.data.storage.prepared import REPORT

SPAN = 80
"""Side of a square in pixels of its crop."""

DUPLICATE_MARGIN = 2.0
"""Side of a crop over that of its square, in the search for duplicates."""

CROPS_PER_FACE = 4
"""Number of training crops per face: an epoch reads each face so many times."""

Samples = Mapping[Split, list[Sample]]


@dataclass(frozen=True)
class OffsetStatistics:
    """Statistics of the offsets of `square_offsets`; each field but the first has three numbers.

    Attributes:
        faces: number of faces.
        mean: means.
        deviation: standard deviations.
        rms: root mean squares.
    """

    faces: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    rms: tuple[float, ...]

    @staticmethod
    def of(offsets: Float32[ndarray, "n 3"]) -> "OffsetStatistics":
        """Return the statistics of measured offsets."""
        rows = (offsets.mean(axis=0), offsets.std(axis=0), np.sqrt((offsets**2).mean(axis=0)))
        return OffsetStatistics(len(offsets), *(tuple(row.tolist()) for row in rows))


def labelled_points(samples: list[Sample]) -> Float32[ndarray, "n 68 2"]:
    """Return the labels of the samples."""
    return np.stack([s.points for s in samples])


def label_squares(points: Float32[ndarray, "n k 2"]) -> Float32[ndarray, "n 4"]:
    """Return the squares around the boxes of labelled points, whose pixels they contain."""
    pixel = np.array([0, 0, 1, 1], np.float32)
    return boxes.square(np.stack([bounding_box(p) + pixel for p in points]))


def detector_squares(samples: list[Sample], detector: Detector) -> Float32[ndarray, "n 4"]:
    """Return the squares around the detected boxes of the labelled faces; NaN for undetected faces."""
    squares = np.full((len(samples), 4), np.nan, np.float32)
    for i, sample in enumerate(tqdm(samples, "detect", unit="image", disable=None, leave=False)):
        faces = detector.detect(ImagePyramid(sample.pixels()), DetectOptions(), Timing())
        index = labelled_face(faces, sample.points)
        if index is not None:
            squares[i] = boxes.square(faces.boxes[[index]])[0]
    return squares


def square_offsets(
    labels: Float32[ndarray, "n 4"], detected: Float32[ndarray, "n 4"]
) -> Float32[ndarray, "n 3"]:
    """Return three numbers per face: x and y of the centre, and log2 of the side.

    All are those of the detected square relative to the label square, in units of its side.
    """
    side, detected_side = (squares[:, 2:3] - squares[:, :1] for squares in (labels, detected))
    centre = (detected[:, :2] + detected[:, 2:] - labels[:, :2] - labels[:, 2:]) / 2
    return np.concatenate([centre / side, np.log2(detected_side / side)], axis=1)


def shift(squares: Float32[ndarray, "n 4"], offsets: Float32[ndarray, "n 3"]) -> Float32[ndarray, "n 4"]:
    """Return the squares moved and scaled by offsets as `square_offsets` defines them."""
    side = squares[:, 2:3] - squares[:, :1]
    centre = (squares[:, :2] + squares[:, 2:]) / 2 + side * offsets[:, :2]
    half = side / 2 * 2 ** offsets[:, 2:]
    return np.concatenate([centre - half, centre + half], axis=1)


def remove_mean(detected: Float32[ndarray, "n 4"], statistics: OffsetStatistics) -> Float32[ndarray, "n 4"]:
    """Return detector squares moved and scaled so that their mean offset from label squares vanishes."""
    dx, dy, scale = statistics.mean
    inverse = np.array([-dx / 2**scale, -dy / 2**scale, -scale], np.float32)
    return shift(detected, np.tile(inverse, (len(detected), 1)))


def cut(
    samples: list[Sample], squares: Float32[ndarray, "n 4"], margin: float = 1.0
) -> landmark_crops.LandmarkCrops:
    """Return upright crops of the samples.

    Args:
        samples: the samples.
        squares: one square per sample, in pixels of its image.
        margin: side of the crop over that of the square.
    """
    side = round(SPAN * margin)
    transforms = align.of_boxes(squares, SPAN)
    transforms[:, :, 2] += (side - SPAN) / 2
    images, corners = [], []
    for sample, transform in zip(tqdm(samples, "cut", disable=None, leave=False), transforms, strict=True):
        pixels = sample.pixels()
        images.append(warp_mirrored(pixels, transform[None], side))
        corners.append(align.apply(transform[None], corners_of(pixels.shape[1], pixels.shape[0])[None])[0])
    points = align.apply(transforms, labelled_points(samples))
    return landmark_crops.LandmarkCrops(
        images=np.stack(images),
        points=points,
        five=five_of_ibug68(points),
        transforms=transforms,
        corners=np.stack(corners),
        detected=np.zeros(len(samples), bool),
        names=tuple(s.name for s in samples),
        photos=tuple(s.photo for s in samples),
        span=SPAN,
    )


def without_duplicates(samples: Samples) -> Samples:
    """Return the samples without those whose photo is also in a later split."""
    crops = {
        split: cut(some, label_squares(labelled_points(some)), DUPLICATE_MARGIN)
        for split, some in samples.items()
    }
    left_out = remove_shared_photos(crops)
    return {split: [s for s in some if s.name not in left_out[split]] for split, some in samples.items()}


def prepare(samples: Samples, offsets: Float32[ndarray, "m 3"], folder: Path, seed: int) -> None:
    """Write a prepared set for `training.train`, with `CROPS_PER_FACE` crops of each face.

    Args:
        samples: the samples by split; those of `train` and `validation` are used.
        offsets: offsets from which that of each crop is drawn.
        folder: the folder to write.
        seed: seed of the draws.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    splits: tuple[Split, ...] = ("train", "validation")
    for split in splits:
        some = samples[split] * CROPS_PER_FACE
        drawn = offsets[rng.integers(0, len(offsets), len(some))]
        crops = cut(some, shift(label_squares(labelled_points(some)), drawn))
        landmark_crops.save(folder / f"{split}.tfrecord", crops)
    facts = {"study": "detector-boxes", "seed": seed, "sha256": hash_tfrecords(folder)}
    (folder / REPORT).write_text(json.dumps(facts) + "\n")


def is_prepared(folder: Path, seed: int) -> bool:
    """Return whether a folder holds a set that `prepare` wrote with this seed."""
    path = folder / REPORT
    return path.exists() and json.loads(path.read_text()).get("seed") == seed
