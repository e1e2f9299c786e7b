"""Verification: decides by a similarity whether two faces are the same person."""

import math
from dataclasses import dataclass

import numpy as np

from app.errors import BadParameter
from app.vision.spec import ComparedSpec


@dataclass(frozen=True)
class DecisionThreshold:
    """The minimum similarity for the same person.

    Attributes:
        value: the minimum similarity.
        far: the false accept rate that it is calibrated for; None if it was given by the caller.
    """

    value: float
    far: float | None


@dataclass(frozen=True)
class Verdict:
    """The result of a comparison.

    Attributes:
        similarity: the similarity of the faces; greater means more similar.
        probability: probability that both faces are the same person, assuming a 50% prior; None if the model
            is not calibrated for it.
        threshold: the threshold for the similarity.
    """

    similarity: float
    probability: float | None
    threshold: DecisionThreshold

    @property
    def verified(self) -> bool:
        """Whether the similarity reaches the threshold: the faces count as the same person."""
        return self.similarity >= self.threshold.value


def threshold_for(spec: ComparedSpec, far: float) -> float:
    """Return the similarity threshold for a false accept rate.

    Calibrated thresholds are interpolated linearly over log10(FAR).

    Args:
        spec: the spec of the embedder.
        far: the false accept rate, between 0 and 1.

    Raises:
        BadParameter: the rate is outside the calibrated range of the model.
    """
    table = sorted(spec.thresholds, key=lambda c: c.far)
    if not table or not table[0].far <= far <= table[-1].far:
        known = f"{table[0].far:g} to {table[-1].far:g}" if table else "none"
        raise BadParameter(
            f"The parameter far is {far:g}; for {spec.model} it must be in the calibrated range ({known}).",
            "far",
        )
    return float(np.interp(np.log10(far), [np.log10(c.far) for c in table], [c.threshold for c in table]))


def choose_threshold(spec: ComparedSpec, threshold: float | None, far: float | None) -> DecisionThreshold:
    """Return the threshold of a verification.

    Args:
        spec: the spec of the embedder.
        threshold: the minimum similarity, if the caller gives it.
        far: the false accept rate that selects a calibrated threshold. If neither is given, the default rate
            of the model is used.

    Raises:
        BadParameter: both are given, or the model is not calibrated for the rate.
    """
    if threshold is not None and far is not None:
        raise BadParameter("The parameters threshold and far exclude each other. Give one, not both.", "far")
    if threshold is not None:
        return DecisionThreshold(threshold, None)
    rate = spec.default_far if far is None else far
    if rate is None:
        raise BadParameter(
            f"The model {spec.model} has no calibrated threshold. Set the parameter threshold.", "threshold"
        )
    return DecisionThreshold(threshold_for(spec, rate), rate)


def probability(spec: ComparedSpec, similarity: float) -> float | None:
    """Return the probability that both faces are the same person, assuming a 50% prior.

    Args:
        spec: the spec of the embedder, which has the calibration (Platt scaling).
        similarity: the similarity of the faces.

    Returns:
        The probability, or None if the model is not calibrated for it.
    """
    if spec.metric == "probability":
        return similarity
    if spec.probability is None:
        return None
    logit = spec.probability.slope * similarity + spec.probability.offset
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
