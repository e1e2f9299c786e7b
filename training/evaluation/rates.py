"""Measure the calibrated thresholds of an embedder on other people than those of the calibration."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from app.pipeline.embedder import Embedder
from training.data.datasets.identities import IdentityImage
from training.evaluation.face_vectors import LocatedFaces, all_similarities, represent
from training.evaluation.verification import REPORTED_FARS
from training.metrics import verification


@dataclass(frozen=True)
class ThresholdRates:
    """The rates at one calibrated threshold.

    Attributes:
        calibrated_far: the false accept rate for which the threshold was calibrated.
        threshold: the threshold.
        far: the measured false accept rate.
        tar: the measured true accept rate.
    """

    calibrated_far: float
    threshold: float
    far: float
    tar: float


@dataclass(frozen=True)
class Rates:
    """The rates of one embedder on all pairs of the images of some people.

    Attributes:
        people: number of people.
        genuine: number of genuine pairs, including those with an undetected face.
        impostors: number of impostor pairs of detected faces.
        undetected: names of the images without a detected face.
        thresholds: the rates at each calibrated threshold.
        tar_at_far: true accept rate by false accept rate, both measured on these people.
    """

    people: int
    genuine: int
    impostors: int
    undetected: list[str]
    thresholds: list[ThresholdRates]
    tar_at_far: dict[str, float]


def limit_per_person(images: list[IdentityImage], count: int) -> list[IdentityImage]:
    """Return the first `count` images of each person."""
    taken: Counter[str] = Counter()
    chosen = []
    for image in images:
        taken[image.person] += 1
        if taken[image.person] <= count:
            chosen.append(image)
    return chosen


def measure_rates(embedder: Embedder, faces: LocatedFaces) -> Rates:
    """Return the rates of an embedder. Genuine pairs with an undetected face are counted as rejected."""
    detected, impostors = all_similarities(embedder, represent(embedder, faces), faces.people)
    images_per_person = np.array(list(Counter(faces.people.tolist()).values()))
    pairs = int((images_per_person * (images_per_person - 1) // 2).sum())
    genuine = np.full(pairs, np.nan, np.float32)
    genuine[: len(detected)] = detected
    thresholds = [
        ThresholdRates(
            calibrated_far=c.far,
            threshold=c.threshold,
            far=float((impostors >= c.threshold).mean()),
            tar=verification.tar(genuine, c.threshold),
        )
        for c in embedder.spec.thresholds
    ]
    tar_at_far = {
        f"{far:g}": verification.tar(genuine, verification.threshold_at_far(impostors, far))
        for far in REPORTED_FARS
        if far * len(impostors) >= 1
    }
    return Rates(len(images_per_person), pairs, len(impostors), faces.undetected, thresholds, tar_at_far)
