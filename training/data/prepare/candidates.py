"""Candidates for R- and O-Net from a detector, and estimated boxes of portraits."""

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import DetectOptions, Detector
from app.runtime.timing import Timing
from training.data.datasets.scenes import Portrait, Scene
from training.data.storage.candidates import Candidates

MIN_FACE_SIZE = 14.0
"""Pixels. Training includes faces that are smaller than the service's default."""

PORTRAIT_STEP = 4
"""The detector runs on one of so many portraits, to learn how a face's box lies around its points."""


def mine(detector: Detector, photos: list[Scene], refined: bool) -> Candidates:
    """Return the boxes that P-Net, or R-Net after it, proposes in every photo.

    Args:
        detector: a detector with low thresholds.
        photos: the photos to mine.
        refined: return R-Net's boxes.
    """
    mined = []
    for i, scene in enumerate(tqdm(photos, desc="candidates", unit="photo", disable=None)):
        proposals = detector.propose(scene.picture, MIN_FACE_SIZE)
        if refined:
            proposals = detector.refine(scene.picture, proposals)
        mined.append(Candidates(np.full(len(proposals.scores), i), proposals.boxes, proposals.scores))
    columns = zip(*((c.photo, c.boxes, c.scores) for c in mined), strict=True)
    return Candidates(*(np.concatenate(column) for column in columns))


def portrait_boxes(detector: Detector, portraits: list[Portrait]) -> Float32[ndarray, "n 4"]:
    """Return a box for each portrait that lies around its points as the detector's boxes do (median).

    Raises:
        ValueError: the detector found no face in any of the portraits.
    """
    points = np.stack([p.points for p in portraits])
    centre, spread = np.tile(points.mean(axis=1), 2), points.std(axis=1).mean(axis=1)[:, None]
    options = DetectOptions(min_face_size=MIN_FACE_SIZE, threshold=0.5)
    unit = []
    for i in tqdm(range(0, len(portraits), PORTRAIT_STEP), desc="portraits", unit="photo", disable=None):
        faces = detector.detect(portraits[i].picture, options, Timing()).boxes
        middle = centre[i, :2]
        around = np.flatnonzero(((faces[:, :2] < middle) & (faces[:, 2:] > middle)).all(axis=1))
        unit += [(faces[k] - centre[i]) / spread[i] for k in around[:1]]
    if not unit:
        raise ValueError("The detector found no face in any of the portraits.")
    return (centre + np.median(unit, axis=0) * spread).astype(np.float32)
