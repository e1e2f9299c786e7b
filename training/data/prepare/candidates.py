"""Candidates for R- and O-Net from a detector, and its boxes of portraits."""

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import Detector
from training.data.datasets.scenes import Portrait, Scene
from training.data.storage.candidates import Candidates

MIN_FACE_SIZE = 14.0
"""Pixels. Training includes faces that are smaller than the service's default."""


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
    """Return the box in which O-Net gets each portrait: R-Net's best candidate that contains its points.

    A portrait without such a candidate gets a box that lies around its points as the others' boxes do
    (median). A net can infer the points from the position of such a box.

    Args:
        detector: a detector with low thresholds.
        portraits: photos around one face each.

    Raises:
        ValueError: the detector found no face in any of the portraits.
    """
    out = np.full((len(portraits), 4), np.nan, np.float32)
    for i, portrait in enumerate(tqdm(portraits, desc="portraits", unit="photo", disable=None)):
        found = detector.refine(portrait.picture, detector.propose(portrait.picture, MIN_FACE_SIZE)).boxes
        low, high = portrait.points.min(axis=0), portrait.points.max(axis=0)
        around = np.flatnonzero(((found[:, :2] < low) & (found[:, 2:] > high)).all(axis=1))
        if len(around):
            out[i] = found[around[0]]
    missed = np.isnan(out[:, 0])
    if missed.all():
        raise ValueError("The detector found no face in any of the portraits.")
    points = np.stack([p.points for p in portraits])
    centre, spread = np.tile(points.mean(axis=1), 2), points.std(axis=1).mean(axis=1)[:, None]
    estimated = centre + np.median(((out - centre) / spread)[~missed], axis=0) * spread
    return np.where(missed[:, None], estimated, out).astype(np.float32)
