"""Platt scaling: the curve from a similarity to the probability that both faces are the same person."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from app.vision.spec import Probability

_MAX_STEPS = 100
_GRADIENT = 1e-12
_MAX_LOGIT = 500.0
_MAX_FITTED = 1_000_000


def fit_probability(genuine: Sequence[ndarray], impostors: Sequence[ndarray]) -> Probability:
    """Return the logistic curve from a similarity to the probability of a genuine pair (Platt, 1999).

    The prior is 50%: both kinds of pairs have the same total weight, and so have the populations of each
    kind. As in Platt's paper, the targets are slightly inside 0 and 1, so that kinds that do not overlap give
    a finite slope. Newton's method finds the minimum. Of more than a million pairs, a million take part, at
    even distances in the order of their similarities.

    Args:
        genuine: similarities of genuine pairs (n,) of each population; NaN is left out.
        impostors: similarities of impostor pairs (m,) of each population; NaN is left out.
    """
    known = [[v[~np.isnan(v)] for v in kind] for kind in (genuine, impostors)]
    counts = [sum(map(len, kind)) for kind in known]
    kinds = [[_thinned(v) for v in kind] for kind in known]
    targets = (counts[0] + 1) / (counts[0] + 2), 1 / (counts[1] + 2)
    parts = [
        _Part(values, target, 0.5 / len(kind) / len(values))
        for kind, target in zip(kinds, targets, strict=True)
        for values in kind
    ]
    mean = sum(part.weight * part.values.sum() for part in parts)
    spread = sum(part.weight * ((part.values - mean) ** 2).sum() for part in parts) ** 0.5
    parts = [_Part((part.values - mean) / spread, part.target, part.weight) for part in parts]
    curve, loss = np.zeros(2), _loss(parts, np.zeros(2))
    for _ in range(_MAX_STEPS):
        gradient, hessian = _derivatives(parts, curve)
        if np.abs(gradient).max() < _GRADIENT:
            break
        step = np.linalg.solve(hessian, gradient)
        while (new := _loss(parts, curve - step)) > loss and np.abs(step).max() > _GRADIENT:
            step /= 2
        curve, loss = curve - step, new
    slope, intercept = float(curve[0]), float(curve[1])
    return Probability(slope=slope / spread, offset=intercept - slope * mean / spread)


def _thinned(values: ndarray) -> Float64[ndarray, " n"]:
    """Return the values, or every k-th of them in ascending order if there are too many."""
    step = -(-len(values) // _MAX_FITTED)
    return (np.sort(values)[step // 2 :: step] if step > 1 else values).astype(np.float64)


class _Part(NamedTuple):
    """Similarities with the same target and weight."""

    values: Float64[ndarray, " n"]
    target: float
    weight: float


def _loss(parts: list[_Part], curve: Float64[ndarray, " 2"]) -> float:
    total = 0.0
    for values, target, weight in parts:
        logit = curve[0] * values + curve[1]
        total += weight * float(
            (np.maximum(logit, 0) + np.log1p(np.exp(-np.abs(logit))) - target * logit).sum()
        )
    return total


def _derivatives(
    parts: list[_Part], curve: Float64[ndarray, " 2"]
) -> tuple[Float64[ndarray, " 2"], Float64[ndarray, "2 2"]]:
    """Return gradient and Hessian of the loss."""
    gradient, hessian = np.zeros(2), np.zeros((2, 2))
    for values, target, weight in parts:
        p = 1 / (1 + np.exp(-np.clip(curve[0] * values + curve[1], -_MAX_LOGIT, _MAX_LOGIT)))
        error, variance = weight * (p - target), weight * p * (1 - p)
        gradient += error @ values, error.sum()
        mixed = variance @ values
        hessian += [[variance @ values**2, mixed], [mixed, variance.sum()]]
    return gradient, hessian
