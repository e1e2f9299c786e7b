"""Verification: whether a similarity means the same person."""

import math
from dataclasses import dataclass

import numpy as np

from app.errors import BadParameter
from app.vision.spec import ComparedSpec


@dataclass(frozen=True)
class DecisionThreshold:
    """The minimum similarity for the same person, and the false accept rate it is calibrated for, if any."""

    value: float
    far: float | None


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison.

    Attributes:
        similarity: greater means more alike.
        probability: that both faces are the same person, assuming a 50% prior; None if not calibrated.
        threshold: what the similarity is compared with.
    """

    similarity: float
    probability: float | None
    threshold: DecisionThreshold

    @property
    def verified(self) -> bool:
        """Whether the similarity reaches the threshold."""
        return self.similarity >= self.threshold.value


def threshold_for(spec: ComparedSpec, far: float) -> float:
    """Return the threshold for a false accept rate, interpolated linearly in log10(FAR).

    Raises:
        BadParameter: the rate is outside the calibrated range.
    """
    table = sorted(spec.thresholds, key=lambda c: c.far)
    if not table or not table[0].far <= far <= table[-1].far:
        known = f"{table[0].far:g} to {table[-1].far:g}" if table else "none"
        raise BadParameter(
            f"The rate far={far:g} is outside the calibrated range of {spec.model} ({known}).", "far"
        )
    return float(np.interp(np.log10(far), [np.log10(c.far) for c in table], [c.threshold for c in table]))


def choose_threshold(spec: ComparedSpec, threshold: float | None, far: float | None) -> DecisionThreshold:
    """Return the given threshold, or the one calibrated for `far`, or for the model's default rate.

    Raises:
        BadParameter: both were given, or the model is not calibrated for the rate.
    """
    if threshold is not None and far is not None:
        raise BadParameter("Give either threshold or far, not both.", "far")
    if threshold is not None:
        return DecisionThreshold(threshold, None)
    rate = spec.default_far if far is None else far
    if rate is None:
        raise BadParameter(f"The model {spec.model} has no calibrated threshold; give one.", "threshold")
    return DecisionThreshold(threshold_for(spec, rate), rate)


def probability(spec: ComparedSpec, similarity: float) -> float | None:
    """Return the probability that both faces are the same person, assuming a 50% prior; None if unknown."""
    if spec.metric == "probability":
        return similarity
    if spec.probability is None:
        return None
    logit = spec.probability.slope * similarity + spec.probability.offset
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
