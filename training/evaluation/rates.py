"""Measure the calibrated thresholds of an embedder on other people than those of the calibration."""

from collections import Counter
from dataclasses import dataclass

from app.pipeline.analyzer import Analyzer
from app.pipeline.calibration import MeasuredRates, Pairs, threshold_at_far
from app.pipeline.embedder import Embedder
from training.data.datasets.identities import IdentityImage
from training.evaluation.face_vectors import LocatedFaces, represent
from training.evaluation.verification import REPORTED_FARS
from training.metrics import verification


@dataclass(frozen=True)
class ThresholdRates:
    """The rates at one calibrated threshold.

    Attributes:
        calibrated_far: the false accept rate for which the threshold was calibrated.
        threshold: the threshold.
        rates: the measured rates.
    """

    calibrated_far: float
    threshold: float
    rates: MeasuredRates


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


def measure_rates(analyzer: Analyzer, embedder: Embedder, faces: LocatedFaces) -> Rates:
    """Return the rates of an embedder. Genuine pairs with an undetected face are counted as rejected."""
    pairs = Pairs(embedder, represent(analyzer, embedder, faces), faces.people)
    return Rates(
        people=pairs.people,
        genuine=len(pairs.genuine),
        impostors=len(pairs.impostors),
        undetected=faces.undetected,
        thresholds=[
            ThresholdRates(c.far, c.threshold, pairs.measure(c.threshold)) for c in embedder.spec.thresholds
        ],
        tar_at_far={
            f"{far:g}": verification.tar(pairs.genuine, threshold_at_far([pairs], far))
            for far in REPORTED_FARS
            if far * len(pairs.impostors) >= 1
        },
    )
