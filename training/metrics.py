"""Measures of landmark errors, with bootstrap confidence intervals.

Errors are fractions of the distance of the outer eye corners, as 300-W (Sagonas et al., 2013) divides them,
for either scheme of points.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64
from numpy import ndarray

from app.vision.points import REGIONS, Scheme

OUTER_CORNERS: dict[Scheme, tuple[int, int]] = {"ibug68": (36, 45), "kaggle15": (5, 3)}
EYE_CENTRES = (1, 0)
"""The subject's right and left, as `OUTER_CORNERS` has them; in the scheme kaggle15."""

OUTER_OVER_CENTRES = 1.386
"""The corners' distance over the centres', the mean of 300-W's training faces (standard deviation 0.037)."""

LIMIT = 0.10
"""The error above which a face counts as failed, and up to which the AUC runs."""

KAGGLE_REACH = 63.9
"""Pixels: the longer side of the 15 points' box in Kaggle's 96x96 images, the mean of the complete rows.

Its standard deviation is 6%.
"""


def reach(truth: Float32[ndarray, "n k 2"], scheme: Scheme) -> Float32[ndarray, " n"]:
    """The distance of the outer eye corners; without their labels that of the eye centres, made as long."""
    a, b = OUTER_CORNERS[scheme]
    corners = np.linalg.norm(truth[:, a] - truth[:, b], axis=1)
    if scheme == "ibug68":
        return corners
    a, b = EYE_CENTRES
    centres = np.linalg.norm(truth[:, a] - truth[:, b], axis=1)
    return np.where(np.isnan(corners), centres * np.float32(OUTER_OVER_CENTRES), corners)


def nme(
    found: Float32[ndarray, "n k 2"], truth: Float32[ndarray, "n k 2"], scheme: Scheme
) -> Float32[ndarray, " n"]:
    """Mean point error over `reach`, one number a face; points without a label do not count."""
    return np.nanmean(np.linalg.norm(found - truth, axis=2), axis=1) / reach(truth, scheme)


def regional(
    found: Float32[ndarray, "n k 2"], truth: Float32[ndarray, "n k 2"], scheme: Scheme
) -> dict[str, Float32[ndarray, " m"]]:
    """The same by part of the face; a face without a label there, or not found, has no number there."""
    errors = np.linalg.norm(found - truth, axis=2) / reach(truth, scheme)[:, None]
    out = {}
    for name, index in REGIONS[scheme].items():
        part = errors[:, list(index)]
        out[name] = np.nanmean(part[np.isfinite(part).any(axis=1)], axis=1)
    return out


def squares(found: Float32[ndarray, "n k 2"], truth: Float32[ndarray, "n k 2"]) -> Float64[ndarray, "n 2"]:
    """By face: the sum of the squared errors of its labelled coordinates, and how many there are."""
    residual = (found - truth).astype(np.float64).reshape(len(found), -1)
    return np.stack([np.nansum(residual**2, axis=1), np.isfinite(residual).sum(axis=1)], axis=1)


def to_kaggle(truth: Float32[ndarray, "n 15 2"]) -> Float32[ndarray, " n"]:
    """By face, the scale that shows it as large as Kaggle's 96x96 pictures do on average."""
    extent = (truth.max(axis=1) - truth.min(axis=1)).max(axis=1)
    return np.float32(KAGGLE_REACH) / extent


def mean(errors: ndarray) -> float:
    """The mean error."""
    return float(np.mean(errors))


def median(errors: ndarray) -> float:
    """The median error."""
    return float(np.median(errors))


def failures(errors: ndarray) -> float:
    """The share of errors above 10%."""
    return float(np.mean(errors > LIMIT))


def auc(errors: ndarray) -> float:
    """The area under the cumulative error curve from 0 to 10%, over that length: 1 is no error at all."""
    return float(np.mean(np.clip(1 - errors / LIMIT, 0, 1)))


def rmse(rows: ndarray) -> float:
    """The root of the mean square over all coordinates of the faces that `squares` summed: Kaggle's score."""
    return float(np.sqrt(rows[:, 0].sum() / rows[:, 1].sum()))


MEASURES: dict[str, Callable[[ndarray], float]] = {
    "mean": mean,
    "median": median,
    "share_above_10%": failures,
    "auc_at_10%": auc,
}


@dataclass(frozen=True)
class Interval:
    """A figure and the bounds of its 95% confidence interval."""

    value: float
    low: float
    high: float


def interval(
    measure: Callable[[ndarray], float], rows: ndarray, rounds: int = 2000, seed: int = 0
) -> Interval:
    """A measure of the faces' rows, with a percentile bootstrap interval over the faces."""
    drawn = np.random.default_rng(seed).integers(0, len(rows), (rounds, len(rows)))
    low, high = np.percentile([measure(rows[row]) for row in drawn], [2.5, 97.5])
    return Interval(measure(rows), float(low), float(high))


def summary(errors: ndarray, rounds: int = 2000, seed: int = 0) -> dict[str, Interval]:
    """Every measure of the errors (n,), with intervals of the same drawn faces."""
    return {name: interval(measure, errors, rounds, seed) for name, measure in MEASURES.items()}
