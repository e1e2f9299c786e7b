"""Measure the robustness of landmark nets: the end-to-end error on degraded images."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy import ndarray
from tqdm import tqdm

from app.pipeline.detector import Detector
from app.pipeline.landmarks import Landmarker
from app.vision.pyramid import ImagePyramid
from training.data.datasets.landmark_sets import Sample
from training.data.prepare.face_matching import bounding_box, raise_top
from training.evaluation.landmarks import detect_five, labels_in
from training.metrics.landmarks import Interval, bootstrap, interocular_distance, mean, nme

Degraded = tuple[UInt8[ndarray, "h w 3"], Float32[ndarray, "68 2"]]
"""A degraded image and the labels in it."""

GREY = 128
"""Colour of the occluding block."""

MIN_FACES = 20
"""Minimum number of detected faces for a mean error."""


def blur(image: ndarray, points: ndarray, amount: float, rng: np.random.Generator) -> Degraded:
    """Return an image blurred by a Gaussian with a deviation of `amount` interocular distances."""
    sigma = amount * float(interocular_distance(points[None], "ibug68")[0])
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0 else image, points


def rotate(image: ndarray, points: ndarray, amount: float, rng: np.random.Generator) -> Degraded:
    """Return an image rotated by `amount` degrees in a random direction; the new corners are black."""
    angle = math.radians(amount) * rng.choice([-1, 1])
    cos, sin = math.cos(angle), math.sin(angle)
    height, width = image.shape[:2]
    new_width = math.ceil(abs(cos) * width + abs(sin) * height)
    new_height = math.ceil(abs(sin) * width + abs(cos) * height)
    rotation = np.array([[cos, -sin], [sin, cos]])
    centre, new_centre = np.array([width - 1, height - 1]) / 2, np.array([new_width - 1, new_height - 1]) / 2
    shift = new_centre - rotation @ centre
    matrix = np.concatenate([rotation, shift[:, None]], axis=1)
    rotated = cv2.warpAffine(image, matrix, (new_width, new_height), flags=cv2.INTER_LINEAR)
    return rotated, (points @ rotation.T + shift).astype(np.float32)


def occlude(image: ndarray, points: ndarray, amount: float, rng: np.random.Generator) -> Degraded:
    """Return an image with a grey block at a random position inside the face box.

    The block has the aspect ratio of the box, and `amount` of its area.
    """
    box = raise_top(bounding_box(points))
    size = box[2:] - box[:2]
    block = size * math.sqrt(amount)
    corner = box[:2] + rng.random(2) * (size - block)
    x1, y1, x2, y2 = np.rint(np.clip([*corner, *(corner + block)], 0, None)).astype(int)
    occluded = image.copy()
    occluded[y1:y2, x1:x2] = GREY
    return occluded, points


@dataclass(frozen=True)
class Degradation:
    """A way to degrade images.

    Attributes:
        name: name of the degradation.
        unit: description of the amounts.
        amounts: the measured amounts; the first one does not change the image.
        apply: returns the degraded image and labels, from image, labels, amount and random generator.
    """

    name: str
    unit: str
    amounts: tuple[float, ...]
    apply: Callable[[ndarray, ndarray, float, np.random.Generator], Degraded]


DEGRADATIONS = (
    Degradation(
        "blur",
        "blur: standard deviation / interocular distance",
        (0, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2),
        blur,
    ),
    Degradation("rotation", "in-plane rotation, degrees", (0, 15, 30, 45, 60, 75, 90), rotate),
    Degradation("occlusion", "occluded share of the face box", (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5), occlude),
)


@dataclass(frozen=True)
class RobustnessCurve:
    """The figures of one degradation, by amount.

    Attributes:
        degradation: the degradation.
        undetected: share of faces that are not detected.
        nme: mean NME of each model on the detected faces; None below `MIN_FACES` of them.
    """

    degradation: Degradation
    undetected: tuple[float, ...]
    nme: dict[str, tuple[Interval | None, ...]]


def measure(
    samples: list[Sample], detector: Detector, landmarkers: dict[str, Landmarker], seed: int
) -> list[RobustnessCurve]:
    """Return the curves of all degradations.

    Args:
        samples: faces with labels of 68 points.
        detector: the detector.
        landmarkers: the landmark nets by name.
        seed: seed of directions and positions. A face has the same ones at all amounts.
    """
    return [_curve(degradation, samples, detector, landmarkers, seed) for degradation in DEGRADATIONS]


def _curve(
    degradation: Degradation,
    samples: list[Sample],
    detector: Detector,
    landmarkers: dict[str, Landmarker],
    seed: int,
) -> RobustnessCurve:
    errors = {name: np.full((len(degradation.amounts), len(samples)), np.nan) for name in landmarkers}
    for i, sample in enumerate(tqdm(samples, degradation.name, unit="image", disable=None, leave=False)):
        pixels = sample.pixels()
        for j, amount in enumerate(degradation.amounts):
            rng = np.random.default_rng((seed, i))
            image, points = degradation.apply(pixels, sample.points, amount, rng)
            picture = ImagePyramid(image)
            five = detect_five(detector, picture, points)
            if five is None:
                continue
            for name, landmarker in landmarkers.items():
                labels = labels_in(replace(sample, points=points), landmarker.scheme)
                errors[name][j, i] = nme(landmarker(picture, five), labels, landmarker.scheme)[0]
    undetected = np.isnan(next(iter(errors.values()))).mean(axis=1)
    means = {name: tuple(_mean(row) for row in table) for name, table in errors.items()}
    return RobustnessCurve(degradation, tuple(undetected.tolist()), means)


def _mean(errors: ndarray) -> Interval | None:
    known = errors[np.isfinite(errors)]
    return bootstrap(mean, known) if len(known) >= MIN_FACES else None
