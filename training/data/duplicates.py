"""Photographs that stand in a dataset twice, under two names: told apart by no id, but by their pixels.

LFPW's training folder holds two photographs of its test folder, and many of its own twice, at another tone
or size. Aligned faces of one photograph agree almost wholly, those of two photographs less.
"""

import cv2
import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision import align
from training.data.crops import Crops

ALIKE = 0.94
"""Least correlation of one photograph's crops: in 300-W two shots of one person reach 0.931, and two versions
of one picture fall to 0.950."""

_SIDE = 24


def signatures(crops: Crops) -> Float32[ndarray, "n d"]:
    """The middle of each crop, its face aligned, small and grey, with mean 0 and length 1."""
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


def twins(crops: Crops, others: Crops) -> list[tuple[int, int]]:
    """`(i, j)` for each of the crops that is the photograph of one of the others: the one most alike."""
    alike = signatures(crops) @ signatures(others).T
    best = alike.argmax(axis=1)
    return [(int(i), int(best[i])) for i in np.flatnonzero(alike.max(axis=1) > ALIKE)]


def without_twins(crops: Crops, others: Crops) -> tuple[Crops, list[str]]:
    """The crops but for those whose photograph is among the others, and the names of those left out."""
    left_out = [i for i, _ in twins(crops, others)]
    kept = np.setdiff1d(np.arange(len(crops)), left_out)
    return crops.take(kept), [crops.names[i] for i in left_out]
