"""Metrics of landmarks, with bootstrap confidence intervals.

The error of a face is its NME: the mean distance of its points from their labels, divided by the
interocular distance. That is the distance of the outer eye corners, as in 300-W (Sagonas et al., 2013).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from app.vision.points import REGIONS, Scheme

OUTER_CORNERS: dict[Scheme, tuple[int, int]] = {"ibug68": (36, 45), "kaggle15": (5, 3)}
"""Indices of the outer eye corners, the subject's right one first."""

EYE_CENTRES = (1, 0)
"""Indices of the eye centres in `kaggle15`, the subject's right one first."""

CORNERS_OVER_CENTRES = 1.386
"""Distance of the outer eye corners over that of the eye centres.

The mean of 300-W's training faces; the standard deviation is 0.037.
"""

FAILURE_LIMIT = 0.10
"""NME above which a face is a failure, and up to which the AUC is computed."""

KAGGLE_EXTENT = 63.9
"""Longer side of the box of the 15 points in Kaggle's images of 96x96 pixels.

The mean of the complete rows; the standard deviation is 6%.
"""


def interocular_distance(labels: Float32[ndarray, "n k 2"], scheme: Scheme) -> Float32[ndarray, " n"]:
    """Return the distance of the outer eye corners of each face.

    If a corner has no label (NaN), the distance is estimated from the eye centres.
    """
    a, b = OUTER_CORNERS[scheme]
    corners = np.linalg.norm(labels[:, a] - labels[:, b], axis=1)
    if scheme == "ibug68":
        return corners
    a, b = EYE_CENTRES
    centres = np.linalg.norm(labels[:, a] - labels[:, b], axis=1)
    return np.where(np.isnan(corners), centres * np.float32(CORNERS_OVER_CENTRES), corners)


def nme(
    predicted: Float32[ndarray, "n k 2"], labels: Float32[ndarray, "n k 2"], scheme: Scheme
) -> Float32[ndarray, " n"]:
    """Return the NME of each face; points without a label (NaN) are left out."""
    distances = np.linalg.norm(predicted - labels, axis=2)
    return np.nanmean(distances, axis=1) / interocular_distance(labels, scheme)


def nme_by_region(
    predicted: Float32[ndarray, "n k 2"], labels: Float32[ndarray, "n k 2"], scheme: Scheme
) -> dict[str, Float32[ndarray, " m"]]:
    """Return the NME of each region of the face, over the faces that have a label and a prediction there."""
    distances = np.linalg.norm(predicted - labels, axis=2)
    errors = distances / interocular_distance(labels, scheme)[:, None]
    regions = {}
    for name, index in REGIONS[scheme].items():
        part = errors[:, list(index)]
        regions[name] = np.nanmean(part[np.isfinite(part).any(axis=1)], axis=1)
    return regions


def squared_errors(
    predicted: Float32[ndarray, "n k 2"], labels: Float32[ndarray, "n k 2"]
) -> Float64[ndarray, "n 2"]:
    """Return two numbers per face: the sum of squared errors, and the number of labelled coordinates."""
    residual = (predicted - labels).astype(np.float64).reshape(len(predicted), -1)
    return np.stack([np.nansum(residual**2, axis=1), np.isfinite(residual).sum(axis=1)], axis=1)


def kaggle_scale(labels: Float32[ndarray, "n 15 2"]) -> Float32[ndarray, " n"]:
    """Return the factor that scales each face to the mean size of faces in Kaggle's 96x96 images."""
    extent = (labels.max(axis=1) - labels.min(axis=1)).max(axis=1)
    return np.float32(KAGGLE_EXTENT) / extent


def mean(errors: ndarray) -> float:
    """Return the mean of errors (n,)."""
    return float(np.mean(errors))


def median(errors: ndarray) -> float:
    """Return the median of errors (n,)."""
    return float(np.median(errors))


def failure_rate(errors: ndarray) -> float:
    """Return the share of errors (n,) above 10%."""
    return float(np.mean(errors > FAILURE_LIMIT))


def auc(errors: ndarray) -> float:
    """Return the area under the cumulative error curve from 0 to 10%, divided by 10%; 1 means no error."""
    return float(np.mean(np.clip(1 - errors / FAILURE_LIMIT, 0, 1)))


def rmse(squares: ndarray) -> float:
    """Return the root mean square error over all coordinates: the score of Kaggle's competition.

    Args:
        squares: rows of `squared_errors` (n, 2).
    """
    return float(np.sqrt(squares[:, 0].sum() / squares[:, 1].sum()))


MEASURES: dict[str, Callable[[ndarray], float]] = {
    "nme": mean,
    "median_nme": median,
    "failure_rate": failure_rate,
    "auc": auc,
}
"""The figures of a set of faces, computed from the NME of each face."""


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its 95% confidence interval."""

    value: float
    low: float
    high: float


def bootstrap(
    measure: Callable[[ndarray], float], faces: ndarray, rounds: int = 2000, seed: int = 0
) -> Interval:
    """Return a figure with its percentile bootstrap interval over the faces.

    Args:
        measure: computes the figure from rows of `faces`.
        faces: one row or number per face (n, ...).
        rounds: number of bootstrap samples.
        seed: seed of the samples; equal seeds give equal samples of n faces.
    """
    samples = np.random.default_rng(seed).integers(0, len(faces), (rounds, len(faces)))
    low, high = np.percentile([measure(faces[sample]) for sample in samples], [2.5, 97.5])
    return Interval(measure(faces), float(low), float(high))


def summary(errors: ndarray, rounds: int = 2000, seed: int = 0) -> dict[str, Interval]:
    """Return all of `MEASURES` of errors (n,) with their intervals, computed from the same samples."""
    return {name: bootstrap(measure, errors, rounds, seed) for name, measure in MEASURES.items()}
