"""Thresholds for a gallery: the similarity of the best face for a known person, and that of near duplicates.

FPIR, the false positive identification rate, is the share of searches for people who are not in the gallery
that return somebody. It grows with the gallery, because every enrolled face can be accepted falsely.
docs/decisions/0039-open-set-thresholds.md has the reasons and the measurements.
"""

import math
from statistics import NormalDist

import numpy as np

from app.errors import BadParameter
from app.pipeline.verifier import threshold_for
from app.vision.spec import Calibration, ComparedSpec

DEFAULT_FPIR = 0.01
"""False positive identification rate of the default threshold."""

EXTRAPOLATION = 1000
"""A false accept rate may be lower than the lowest calibrated one by at most this factor."""

NEAR_DUPLICATE = 0.1
"""Squared distance of near duplicates over that at the default threshold, at most."""

_FITTED = 100
"""The tail is fitted to the calibrated rates up to the lowest one times this factor."""

_HIGHEST = 0.999
"""The highest rate. At 1 no threshold would be needed."""

_ROUNDING = 1e-3
"""A rate may exceed its limits by this share, because the message rounds them."""


def threshold_for_fpir(spec: ComparedSpec, faces: int, fpir: float) -> float:
    """Return the minimum similarity of the best face in a gallery.

    The comparisons with the faces of the gallery count as independent, so the false accept rate of one
    comparison must be 1 - (1 - fpir)^(1 / faces). Faces of one person are alike, and then the measured FPIR
    is lower. Below the calibrated rates the impostor similarities follow the tail of a normal distribution:
    the threshold is linear in the normal quantile of the rate.

    Args:
        spec: the spec of the embedder, which has the calibrated thresholds.
        faces: number of faces in the gallery; 0 counts as 1.
        fpir: the false positive identification rate, between 0 and 1.

    Returns:
        The threshold, at most 1.

    Raises:
        BadParameter: the model is not calibrated, or the rate is outside the range for this gallery.
    """
    table = sorted(spec.thresholds, key=lambda c: c.far)
    if not table:
        raise BadParameter(
            f"The model {spec.model} has no calibrated thresholds, so it cannot keep a rate of false "
            "identifications. Set the parameter threshold.",
            "fpir",
        )
    faces = max(1, faces)
    tail = [c for c in table if c.far <= _FITTED * table[0].far]
    lowest = table[0].far / (EXTRAPOLATION if len(tail) > 1 else 1)
    low, high = _any_of(faces, lowest), min(_HIGHEST, _any_of(faces, table[-1].far))
    if not low * (1 - _ROUNDING) <= fpir <= high * (1 + _ROUNDING):  # NaN is refused as well
        raise BadParameter(
            f"The parameter fpir is {fpir:g}; for {spec.model} and a gallery of {faces} faces it must be "
            f"between {low:.4g} and {high:.4g}. Choose such a rate, or set the parameter threshold.",
            "fpir",
        )
    far = -math.expm1(math.log1p(-fpir) / faces)
    return _tail_threshold(tail, far) if far < table[0].far else threshold_for(spec, min(far, table[-1].far))


def near_duplicate_threshold(spec: ComparedSpec) -> float | None:
    """Return the similarity from which two faces count as copies of one photograph.

    The squared distance of their vectors, 2 - 2 * similarity, is at most a tenth of that at the default
    threshold of the model.

    Args:
        spec: the spec of the embedder.

    Returns:
        The threshold; None if the model is not calibrated, or if its similarity is no cosine.
    """
    if spec.metric != "cosine" or spec.default_far is None:
        return None
    return 1 - NEAR_DUPLICATE * (1 - threshold_for(spec, spec.default_far))


def _tail_threshold(tail: list[Calibration], far: float) -> float:
    """Return the threshold for a rate below those of the calibrated thresholds, ascending by rate."""
    quantiles = [_quantile(c.far) for c in tail]
    slope = float(np.polyfit(quantiles, [c.threshold for c in tail], 1)[0])
    return min(1.0, tail[0].threshold + slope * (_quantile(far) - quantiles[0]))


def _quantile(far: float) -> float:
    """Return the number that a standard normal variable exceeds with a probability."""
    return -NormalDist().inv_cdf(far)


def _any_of(faces: int, far: float) -> float:
    """Return the probability that at least one of some independent comparisons is accepted."""
    return -math.expm1(faces * math.log1p(-far))
