"""Measures of landmark errors, with bootstrap confidence intervals."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from app.vision.points import Scheme

NORMALISERS: dict[Scheme, tuple[int, int]] = {"ibug68": (36, 45), "kaggle15": (1, 0)}
"""The two points whose distance an error is divided by: outer eye corners, or eye centres."""

LIMIT = 0.10
"""The error above which a face counts as failed, and up to which the AUC runs."""


def nme(
    found: Float32[ndarray, "n k 2"], truth: Float32[ndarray, "n k 2"], scheme: Scheme
) -> Float32[ndarray, " n"]:
    """Mean point error over the scheme's distance, one number a face; points without a label do not count."""
    a, b = NORMALISERS[scheme]
    reach = np.linalg.norm(truth[:, a] - truth[:, b], axis=1)
    return np.nanmean(np.linalg.norm(found - truth, axis=2), axis=1) / reach


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


def summary(errors: ndarray, rounds: int = 2000, seed: int = 0) -> dict[str, Interval]:
    """Every measure of the errors (n,), with percentile bootstrap intervals over the faces."""
    drawn = np.random.default_rng(seed).integers(0, len(errors), (rounds, len(errors)))
    out = {}
    for name, measure in MEASURES.items():
        low, high = np.percentile([measure(errors[row]) for row in drawn], [2.5, 97.5])
        out[name] = Interval(measure(errors), float(low), float(high))
    return out
