"""Photos that a dataset contains twice under two names, found by the pixels of aligned faces.

LFPW's training folder has two photos of its test folder, and many of its own photos twice, in another tone or
size.
"""

import cv2
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision import align
from training.data.storage.landmark_crops import LandmarkCrops

MIN_CORRELATION = 0.94
"""Correlation of two aligned faces above which they are from the same photo.

In 300-W two photos of the same person reach 0.931, and two versions of one photo fall to 0.950.
"""

_SIDE = 24


def signatures(crops: LandmarkCrops) -> Float32[ndarray, "n d"]:
    """Return the central part of each crop, aligned, small and grey, with mean 0 and length 1.

    The product of two signatures is the correlation of their pixels.
    """
    low, high = (crops.side - crops.span * 3 // 4) // 2, (crops.side + crops.span * 3 // 4) // 2
    target = align.template("face", crops.span) + np.float32((crops.side - crops.span) / 2)
    grey = [
        cv2.warpAffine(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), matrix, image.shape[:2])[low:high, low:high]
        for image, matrix in zip(crops.images, align.umeyama(crops.five, target), strict=True)
    ]
    small = [cv2.resize(image, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for image in grey]
    flat = np.stack(small).reshape(len(crops), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), np.float32(1e-6))


def find_duplicates(crops: LandmarkCrops, others: LandmarkCrops) -> list[tuple[int, int]]:
    """Return (i, j) for each crop i whose photo is among the others; j is the most similar one."""
    correlation = signatures(crops) @ signatures(others).T
    best = correlation.argmax(axis=1)
    return [(int(i), int(best[i])) for i in np.flatnonzero(correlation.max(axis=1) > MIN_CORRELATION)]


def without_duplicates(crops: LandmarkCrops, others: LandmarkCrops) -> tuple[LandmarkCrops, list[str]]:
    """Return the crops whose photo is not among the others, and the names of those left out."""
    left_out = [i for i, _ in find_duplicates(crops, others)]
    kept = np.setdiff1d(np.arange(len(crops)), left_out)
    return crops.take(kept), [crops.names[i] for i in left_out]
