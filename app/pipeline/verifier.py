"""Verification: whether a similarity is one person's."""

import math
from dataclasses import dataclass

import numpy as np

from app.errors import BadParameter
from app.vision.spec import ComparedSpec


@dataclass(frozen=True)
class Bar:
    """The threshold a similarity is held against, and the false accept rate it is calibrated for, if any."""

    threshold: float
    far: float | None


@dataclass(frozen=True)
class Verdict:
    """The similarity (greater means more alike), its probability where it is known, and the bar."""

    similarity: float
    probability: float | None
    bar: Bar

    @property
    def verified(self) -> bool:
        return self.similarity >= self.bar.threshold


def threshold_for(spec: ComparedSpec, far: float) -> float:
    """The calibrated threshold for a false accept rate: one of those calibrated, else between two of them.

    Between two calibrated rates the threshold runs straight in log10 of the rate. Raises BadParameter
    outside the calibrated range.
    """
    table = sorted(spec.thresholds, key=lambda c: c.far)
    if not table or not table[0].far <= far <= table[-1].far:
        known = f"{table[0].far:g} to {table[-1].far:g}" if table else "none"
        raise BadParameter(f"far={far:g} is outside what {spec.model} is calibrated for ({known})", "far")
    return float(np.interp(np.log10(far), [np.log10(c.far) for c in table], [c.threshold for c in table]))


def bar(spec: ComparedSpec, threshold: float | None, far: float | None) -> Bar:
    """The given threshold, or the one calibrated for `far`, or for the model's own rate."""
    if threshold is not None and far is not None:
        raise BadParameter("give threshold or far, not both", "far")
    if threshold is not None:
        return Bar(threshold, None)
    rate = spec.default_far if far is None else far
    if rate is None:
        raise BadParameter(f"{spec.model} has no calibrated threshold: give one", "threshold")
    return Bar(threshold_for(spec, rate), rate)


def probability(spec: ComparedSpec, similarity: float) -> float | None:
    """How likely the similarity is one person's, where half of all pairs are; None if nobody measured it."""
    if spec.metric == "probability":
        return similarity
    if spec.probability is None:
        return None
    logit = spec.probability.slope * similarity + spec.probability.offset
    return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))
